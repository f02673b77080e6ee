"""The weights that are trained beside the resampler: ID keys and values, routers, a LoRA in every attention layer.

Modules and parameters are named as in the published files, so what is trained is saved as it is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from uniportrait_core.attention.adapter import IDLayer, LoRAPair
from uniportrait_core.routing.router import RouterLayer

from .layout import AttentionLayer


class LoRA(nn.Module):
    """A low-rank difference, zero to begin with."""

    def __init__(self, channels: int, rank: int, out_channels: int):
        super().__init__()
        self.down = nn.Linear(channels, rank, bias=False)
        self.up = nn.Linear(rank, out_channels, bias=False)
        nn.init.normal_(self.down.weight, std=1 / rank)
        nn.init.zeros_(self.up.weight)

    def pair(self) -> LoRAPair:
        return LoRAPair(self.down.weight, self.up.weight)


class LayerWeights(nn.Module):
    """Of one attention layer; in cross-attention ID keys and values, and a router where one is wanted."""

    def __init__(self, layer: AttentionLayer, rank: int, token_shape: tuple[int, int], routed: bool, hidden: int = 0):
        """
        Args:
            rank: of the LoRA; 0 for none.
            token_shape: tokens of a person, and their width.
            routed: whether people are told apart.
            hidden: width inside φ; 0 for twice the tokens' width.
        """
        super().__init__()
        self.rank = rank
        tokens, dim = token_shape
        if rank:
            self.to_q_lora = LoRA(layer.channels, rank, layer.inner)
            self.to_k_lora = LoRA(layer.context, rank, layer.inner)
            self.to_v_lora = LoRA(layer.context, rank, layer.inner)
            self.to_out_lora = LoRA(layer.inner, rank, layer.channels)
        if layer.cross:
            self.to_k_faceid = nn.Linear(dim, layer.inner, bias=False)
            self.to_v_faceid = nn.Linear(dim, layer.inner, bias=False)
        if layer.cross and routed:
            self.to_q_router = _mlp(layer.channels, 2 * layer.channels, layer.inner)
            self.to_k_router = _mlp(dim, hidden or 2 * dim, layer.inner)
            self.aggr_router = nn.Linear(tokens, 1)

    def lora(self, projection: str) -> LoRAPair | None:
        """Of "q", "k", "v" or "out"; None where there is no LoRA."""
        found = getattr(self, f"to_{projection}_lora", None)
        return None if found is None else found.pair()

    def id_layer(self) -> IDLayer:
        return IDLayer(self.to_k_faceid.weight, self.to_v_faceid.weight)

    def router(self) -> RouterLayer | None:
        """None where people are not told apart."""
        if not hasattr(self, "aggr_router"):
            return None
        return RouterLayer(
            query_in=(self.to_q_router[0].weight, self.to_q_router[0].bias),
            query_out=self.to_q_router[2].weight,
            aggregate=(self.aggr_router.weight, self.aggr_router.bias),
            key_in=(self.to_k_router[0].weight, self.to_k_router[0].bias),
            key_out=self.to_k_router[2].weight,
        )


class Adapter(nn.Module):
    """The weights of all attention layers; keys of its state are those of the published `faceid_adapter`."""

    def __init__(
        self,
        layers: Sequence[AttentionLayer],
        rank: int,
        token_shape: tuple[int, int],
        routed: bool,
        hidden: int = 0,
    ):
        """
        Args:
            rank, token_shape, routed, hidden: of each layer.
        """
        super().__init__()
        for index, layer in enumerate(layers):
            self.add_module(str(index), LayerWeights(layer, rank, token_shape, routed, hidden))

    def layers(self) -> list[LayerWeights]:
        """In the order of the published weights."""
        return list(self.children())

    @torch.no_grad()
    def start_from_text(self, keys: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        """Let ID keys and values begin as the text's, as IP-Adapter's do.

        Args:
            keys, values: weights of `to_k` and `to_v` of the cross-attention layers, in order; those that are not of
                the tokens' width are passed over.
        """
        crossing = [layer for layer in self.layers() if hasattr(layer, "to_k_faceid")]
        for layer, key, value in zip(crossing, keys, values, strict=True):
            if key.shape == layer.to_k_faceid.weight.shape:
                layer.to_k_faceid.weight.copy_(key)
                layer.to_v_faceid.weight.copy_(value)


def _mlp(dim: int, hidden: int, out_dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, out_dim, bias=False))
