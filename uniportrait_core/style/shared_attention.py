"""Shared self-attention: every picture of a batch also sees the first (StyleAligned, arXiv 2312.02133, section 3.2).

UniPortrait shares keys and values as they are, and shifts the logits of the first picture's by −0.5
(`shared_score_shift` of the published `uniportrait_attention_processor.py`).
"""

from collections.abc import Callable
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

PUBLISHED_SHIFT = -0.5
CHANNELS = 8  # added to a head, where one would do: fast kernels want sizes of eight

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Attention of queries, keys and values, (rows, spots, channels), split into heads and scaled by their size."""


def logit_shift(strength: float) -> float:
    """The logit shift that gives the first picture `strength` times its published weight in the softmax.

    Args:
        strength: above 0; 1 is published.
    """
    return PUBLISHED_SHIFT + log(strength)


def shared_attention(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, heads: int, parts: int, pictures: int, shift: float
) -> Tensor:
    """Self-attention in which every picture but the first of its part sees the first one's keys and values as well.

    The first one would see its own twice, which changes nothing, so it sees them once.

    Args:
        attend: attention as it is without sharing.
        query, key, value: (rows, spots, channels); a part's rows follow one another, and where a node cuts pictures
            into tiles, so do a picture's tiles. Tiles see the first picture's tile in the same place.
        heads: that the channels are split into.
        parts: equal parts that the rows consist of, such as the two halves of guidance.
        pictures: in a part, two or more.
        shift: what is added to the logits of the first picture's keys.

    Returns:
        (rows, spots, channels).
    """
    query, key, value = (t.unflatten(0, (parts, pictures, -1)) for t in (query, key, value))
    first = attend(*(t[:, 0].flatten(0, 1) for t in (query, key, value)))
    query, key, value = _shifted(query[:, 1:], *(_twice(t, heads) for t in (key, value)), heads, shift)
    others = attend(*(t.flatten(-2).flatten(0, 2) for t in (query, key, value)))
    others = others.unflatten(-1, (heads, -1))[..., :-CHANNELS].flatten(-2)
    first, others = first.unflatten(0, (parts, 1, -1)), others.unflatten(0, (parts, pictures - 1, -1))
    return torch.cat((first, others), dim=1).flatten(0, 2)


def _twice(t: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Keys or values of all pictures but the first, and the first one's for each of them, in heads."""
    t = t.unflatten(-1, (heads, -1))
    return t[:, 1:], t[:, :1].expand_as(t[:, 1:])


def _shifted(
    query: Tensor, keys: tuple[Tensor, Tensor], values: tuple[Tensor, Tensor], heads: int, shift: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values with channels by whose product the first picture's logits are shifted.

    An added mask would say the same, but some attention functions ignore it, and the fastest ones take none.
    """
    query = query.unflatten(-1, (heads, -1))
    size = query.shape[-1]
    grown = size + CHANNELS  # attention divides by its square root now
    query = _grow(query * (grown / size) ** 0.5, 1.0)
    key = torch.cat((_grow(keys[0], 0.0), _grow(keys[1], shift * grown**0.5)), dim=-3)
    return query, key, F.pad(torch.cat(values, dim=-3), (0, CHANNELS))


def _grow(t: Tensor, value: float) -> Tensor:
    """A tensor with a channel of `value` and further channels of zeros behind its last."""
    return F.pad(F.pad(t, (0, 1), value=value), (0, CHANNELS - 1))
