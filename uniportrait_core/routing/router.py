"""ID routing: every spot of the picture goes to the one person that belongs there (paper section 3.3).

`logits_n = θ(x) · φ_n`, the largest wins. θ's second layer and φ depend on the people alone, so they are folded into
one vector per person before sampling: `θ(x) · φ_n = gelu(W₁x + b₁) · (W₂ᵀφ_n)`. Per step only θ's first layer and a
product with one row per person are left.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


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

    query_in: tuple[Tensor, Tensor]
    query_out: Tensor
    aggregate: tuple[Tensor, Tensor]
    key_in: tuple[Tensor, Tensor]
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


def fold(layer: RouterLayer, tokens: Tensor) -> Tensor:
    """`φ_nW₂` of all people as rows, then zeros up to a multiple of eight rows, (rows, 2·channels).

    The mean over people is taken off: it moves all logits of a spot alike, so the winner stays, and in half precision
    the small differences that decide are not lost in a large common part. The zeros are for the GPU, whose fast
    kernels want sizes of eight.

    Args:
        layer, tokens: as in `person_keys`.
    """
    folded = person_keys(layer, tokens) @ layer.query_out
    return F.pad(folded - folded.mean(dim=0), (0, 0, 0, -len(folded) % 8))


def route(x: Tensor, query_in: tuple[Tensor, Tensor], folded: Tensor, people: int) -> Tensor:
    """The person that wins each spot.

    Args:
        x: the cross-attention layer's normed input, (rows, spots, channels).
        query_in: weight (2·channels, channels) and bias (2·channels,) of θ's first layer.
        folded: from `fold`.
        people: how many of the rows of `folded` are people.

    Returns:
        Index of a person per spot, (rows, spots), int64.
    """
    return F.linear(F.gelu(F.linear(x, *query_in)), folded)[..., :people].argmax(dim=-1)
