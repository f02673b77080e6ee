"""The weights that UniPortrait adds to the UNet: ID keys and values, routers, and two LoRAs.

Keys of the published `faceid_adapter` begin with the index of the attention layer in the order of diffusers: down
blocks, up blocks, middle block; even indices are self-attention, odd ones cross-attention.
"""

import re
from dataclasses import dataclass

from torch import Tensor

from ..routing.router import RouterLayer

PROJECTIONS = ("q", "k", "v", "out")


@dataclass(frozen=True)
class IDLayer:
    """ID keys and values of one cross-attention layer: both (channels, dim)."""

    to_k: Tensor
    to_v: Tensor

    @property
    def channels(self) -> int:
        return self.to_k.shape[0]


@dataclass(frozen=True)
class LoRAPair:
    """Low-rank weight difference `up @ down`: down (rank, in_channels), up (out_channels, rank)."""

    down: Tensor
    up: Tensor


LoRA = tuple[dict[str, LoRAPair], ...]
"""Per attention layer, in the order of the checkpoint: the pair of each projection in `PROJECTIONS`."""


def id_layers(adapter: dict[str, Tensor]) -> tuple[IDLayer, ...]:
    """The ID keys and values of all cross-attention layers, float32. Raises KeyError where one is missing."""
    return tuple(
        IDLayer(adapter[f"{i}.to_k_faceid.weight"].float(), adapter[f"{i}.to_v_faceid.weight"].float())
        for i in range(1, _layer_count(adapter), 2)
    )


def router_layers(adapter: dict[str, Tensor]) -> tuple[RouterLayer, ...]:
    """The routers of all cross-attention layers, float32. Raises KeyError where one is missing."""
    return tuple(
        RouterLayer(
            query_in=_linear(adapter, f"{i}.to_q_router.0"),
            query_out=adapter[f"{i}.to_q_router.2.weight"].float(),
            aggregate=_linear(adapter, f"{i}.aggr_router"),
            key_in=_linear(adapter, f"{i}.to_k_router.0"),
            key_out=adapter[f"{i}.to_k_router.2.weight"].float(),
        )
        for i in range(1, _layer_count(adapter), 2)
    )


def lora(adapter: dict[str, Tensor]) -> LoRA:
    """The LoRA of all attention layers, in the dtype of the file. Raises KeyError where a matrix is missing."""
    return tuple(
        {
            name: LoRAPair(adapter[f"{i}.to_{name}_lora.down.weight"], adapter[f"{i}.to_{name}_lora.up.weight"])
            for name in PROJECTIONS
        }
        for i in range(_layer_count(adapter))
    )


def _linear(adapter: dict[str, Tensor], key: str) -> tuple[Tensor, Tensor]:
    return adapter[f"{key}.weight"].float(), adapter[f"{key}.bias"].float()


def _layer_count(adapter: dict[str, Tensor]) -> int:
    return 1 + max(int(match[0]) for match in (re.match(r"\d+", key) for key in adapter) if match)
