"""ID routing: every spot of the picture goes to the one person that belongs there (paper section 3.3).

`logits_n = θ(x) · φ_n`, the largest wins. θ's second layer and φ depend on the people alone, so they are folded into
one vector per person before sampling: `θ(x) · φ_n = gelu(W₁x + b₁) · (W₂ᵀφ_n)`. Per step only θ's first layer and a
product with one row per person are left.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Linear = tuple[Tensor, Tensor]
"""Weight and bias of a linear layer."""


@dataclass(frozen=True)
class RouterLayer:
    """Router of one cross-attention layer: θ on spots of the picture, φ on people.

    Attributes:
        query_in: θ's first linear layer, weight (2·channels, channels) and bias.
        query_out: θ's second, weight (channels, 2·channels).
        aggregate: linear layer over the token axis, weight (1, tokens) and bias (1,).
        key_in: φ's first linear layer, weight (2·dim, dim) and bias.
        key_out: φ's second, weight (channels, 2·dim).
    """

    query_in: Linear
    query_out: Tensor
    aggregate: Linear
    key_in: Linear
    key_out: Tensor


def person_keys(layer: RouterLayer, tokens: Tensor) -> Tensor:
    """φ: what the router looks for in each person.

    Args:
        layer: the router of one cross-attention layer.
        tokens: (people, tokens, dim).

    Returns:
        (people, channels).
    """
    aggregated = F.linear(tokens.mT, *layer.aggregate).squeeze(-1)
    return F.linear(F.gelu(F.linear(aggregated, *layer.key_in)), layer.key_out)


def first_layer(layer: RouterLayer) -> Linear:
    """θ's first layer as `route` takes it: weight (channels, 2·channels), bias (2·channels,)."""
    weight, bias = layer.query_in
    return weight.mT, bias


def fold(layer: RouterLayer, tokens: Tensor) -> Linear:
    """`φ_nW₂` of all people as a linear layer, weight (2·channels, columns) and bias (columns,).

    A column for each person, then some that never win, up to a multiple of eight: a GPU's fast kernels want sizes of
    eight. The mean over people is taken off: it moves all logits of a spot alike, so the winner stays, and in half
    precision the small differences that decide are not lost in a large common part.

    Args:
        layer, tokens: as in `person_keys`.
    """
    folded = person_keys(layer, tokens) @ layer.query_out
    more = -len(folded) % 8
    weight = F.pad(folded - folded.mean(dim=0), (0, 0, 0, more)).mT.contiguous()
    return weight, F.pad(weight.new_zeros(len(folded)), (0, more), value=-torch.inf)


def route(x: Tensor, first: Linear, folded: Linear) -> Tensor:
    """The person that wins each spot.

    Args:
        x: the cross-attention layer's normed input, (rows, spots, channels).
        first: from `first_layer`.
        folded: from `fold`.

    Returns:
        Index of a person per spot, (rows · spots,), int64.
    """
    weight, bias = folded
    return torch.addmm(bias, F.gelu(theta(x, first)), weight).argmax(dim=-1)


def theta(x: Tensor, first: Linear) -> Tensor:
    """θ's first layer, before GELU, (rows · spots, 2·channels); arguments as in `route`."""
    weight, bias = first
    return torch.addmm(bias, x.flatten(0, 1), weight)


@dataclass(frozen=True)
class Choice:
    """What people are chosen by in some neighbouring parts of a call, for a kernel that chooses (`fused_kernel.py`).

    Attributes:
        parts: the first of these parts, and the one behind the last.
        theta: of their spots, from `theta`.
        folded: from `fold`.
        chosen: who has a part in the spot that a candidate wins, (candidates, people); None where the winner alone.
    """

    parts: tuple[int, int]
    theta: Tensor
    folded: Linear
    chosen: Tensor | None = None
