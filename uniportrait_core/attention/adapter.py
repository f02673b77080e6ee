"""The weights that UniPortrait adds to the UNet: ID keys and values, routers, and two LoRAs.

Keys of the published `faceid_adapter` begin with the index of the attention layer in the order of diffusers: down
blocks, up blocks, middle block; even indices are self-attention, odd ones cross-attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..routing.router import RouterLayer
from ..tensor_checks import check_shapes, layer_count

PROJECTIONS = ("q", "k", "v", "out")
# Axes of a router's tensors; those with # are of this layer alone.
ROUTER_AXES = {
    "to_q_router.0.weight": "hidden# channels#",
    "to_q_router.0.bias": "hidden#",
    "to_q_router.2.weight": "channels# hidden#",
    "aggr_router.weight": "1 tokens",
    "aggr_router.bias": "1",
    "to_k_router.0.weight": "inner dim",
    "to_k_router.0.bias": "inner",
    "to_k_router.2.weight": "channels# inner",
}


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
    """The ID keys and values of all cross-attention layers, float32.

    Raises KeyError where one is missing, ValueError where they do not fit each other.
    """
    numbers = range(1, layer_count(adapter), 2)
    if not numbers:
        raise ValueError("there is no cross-attention layer in it")
    return keys_and_values(adapter, [f"{i}.to_{{}}_faceid.weight" for i in numbers])


def keys_and_values(tensors: dict[str, Tensor], names: Sequence[str]) -> tuple[IDLayer, ...]:
    """Layers by the names of their tensors, with {} for k and v; the errors are those of `id_layers`."""
    layers, sizes = [], {}
    for i, name in enumerate(names):
        key, value = name.format("k"), name.format("v")
        sizes = check_shapes(tensors, {key: f"channels{i} dim", value: f"channels{i} dim"}, sizes)
        layers.append(IDLayer(tensors[key].float(), tensors[value].float()))
    return tuple(layers)


def router_layers(adapter: dict[str, Tensor]) -> tuple[RouterLayer, ...]:
    """The routers of all cross-attention layers, float32. Raises the errors of `id_layers`."""
    numbers = range(1, layer_count(adapter), 2)
    if not numbers:
        raise ValueError("there is no cross-attention layer in it")
    sizes: dict[str, int] = {}
    for i in numbers:
        axes = {f"{i}.{name}": sides.replace("#", str(i)) for name, sides in ROUTER_AXES.items()}
        sizes = check_shapes(adapter, axes, sizes)
    return tuple(_router_layer(adapter, f"{i}.") for i in numbers)


def lora(adapter: dict[str, Tensor]) -> LoRA:
    """The LoRA of all attention layers, in the dtype of the file. Raises the errors of `id_layers`."""
    return tuple(
        {name: _pair(adapter, f"{i}.to_{name}_lora") for name in PROJECTIONS} for i in range(layer_count(adapter))
    )


def _pair(adapter: dict[str, Tensor], key: str) -> LoRAPair:
    down, up = f"{key}.down.weight", f"{key}.up.weight"
    check_shapes(adapter, {down: "rank in", up: "out rank"})
    return LoRAPair(adapter[down], adapter[up])


def _router_layer(adapter: dict[str, Tensor], prefix: str) -> RouterLayer:
    return RouterLayer(
        query_in=_linear(adapter, f"{prefix}to_q_router.0"),
        query_out=adapter[f"{prefix}to_q_router.2.weight"].float(),
        aggregate=_linear(adapter, f"{prefix}aggr_router"),
        key_in=_linear(adapter, f"{prefix}to_k_router.0"),
        key_out=adapter[f"{prefix}to_k_router.2.weight"].float(),
    )


def _linear(adapter: dict[str, Tensor], key: str) -> tuple[Tensor, Tensor]:
    return adapter[f"{key}.weight"].float(), adapter[f"{key}.bias"].float()
