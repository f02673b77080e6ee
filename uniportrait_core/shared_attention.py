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

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Attention of queries, keys and values, (rows, spots, channels), with an optional (1, 1, 1, keys) added to logits."""


def logit_shift(strength: float) -> float:
    """The logit shift that gives the first picture `strength` times its published weight in the softmax.

    Args:
        strength: above 0; 1 is published.
    """
    return PUBLISHED_SHIFT + log(strength)


def shared_attention(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, parts: int, pictures: int, shift: float
) -> Tensor:
    """Self-attention in which every picture but the first of its part sees the first one's keys and values as well.

    The first one would see its own twice, which changes nothing, so it sees them once.

    Args:
        attend: attention as it is without sharing.
        query, key, value: (rows, spots, channels); a part's rows follow one another, and where a node cuts pictures
            into tiles, so do a picture's tiles. Tiles see the first picture's tile in the same place.
        parts: equal parts that the rows consist of, such as the two halves of guidance.
        pictures: in a part, two or more.
        shift: what is added to the logits of the first picture's keys.

    Returns:
        (rows, spots, channels).
    """
    query, key, value = (t.unflatten(0, (parts, pictures, -1)) for t in (query, key, value))
    first = attend(*(t[:, 0].flatten(0, 1) for t in (query, key, value)), None)
    key, value = (torch.cat((t[:, 1:], t[:, :1].expand_as(t[:, 1:])), dim=-2) for t in (key, value))
    own = key.shape[-2] // 2
    mask = F.pad(key.new_zeros(own), (0, own), value=shift)[None, None, None]
    others = attend(*(t.flatten(0, 2) for t in (query[:, 1:], key, value)), mask)
    first, others = first.unflatten(0, (parts, 1, -1)), others.unflatten(0, (parts, pictures - 1, -1))
    return torch.cat((first, others), dim=1).flatten(0, 2)
