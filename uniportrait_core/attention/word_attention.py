"""Own words: where a person is, the picture is drawn by the scene's words joined with the person's own.

The paper leaves attributes that belong to one person each to future work (section 5, "attribute-binding ID routing").
Here the router's map does it at sampling, without training: a cross-attention layer's output `Attn(q, K_s, V_s)` to the
scene's words becomes, where person n is, `(1 − β_n) · Attn(q, K_s, V_s) + β_n · Attn(q, [K_s; K_n], [V_s; V_n])`.

Both attentions see the scene's words, so their difference needs these only once. With Z the sums of exponents, it is
`Attn(q, [K_s; K_n]) − Attn(q, K_s) = Z_n / (Z_s + Z_n) · (Attn(q, K_n) − Attn(q, K_s))`; and only the difference is
added, so that what other packs have made of the attention to the scene's words stays.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .trained_attention import split_heads


class Spoken(NamedTuple):
    """One person's words as one layer sees them.

    Attributes:
        key, value: of the layer, (tokens, channels).
        strength: β.
    """

    key: Tensor
    value: Tensor
    strength: float


def difference(
    query: Tensor,
    scene: tuple[Tensor, Tensor],
    spoken: Sequence[Spoken | None],
    shares: Tensor,
    heads: int,
) -> Tensor:
    """What own words change in the attention output of a layer.

    Args:
        query: the layer's queries, (rows, spots, channels).
        scene: the layer's keys and values of the scene's words, (rows, tokens, channels) each.
        spoken: of each person, None for who has no words.
        shares: of each spot for each person, (people, rows, spots), 0..1.
        heads: attention heads of the layer.

    Returns:
        (rows, spots, channels), to be added to the attention output before its output projection.
    """
    scale = (query.shape[-1] // heads) ** -0.5
    q = split_heads(query, heads) * scale
    of_scene, scene_sum = _attend(q, *(split_heads(t, heads) for t in scene))
    total = torch.zeros_like(of_scene)
    for words, share in zip(spoken, shares, strict=True):
        if words is not None:
            of_words, words_sum = _attend(q, *(split_heads(t[None], heads) for t in (words.key, words.value)))
            part = torch.sigmoid(words_sum - scene_sum) * (words.strength * share[:, None, :, None])
            total = total + part.to(q) * (of_words - of_scene)
    return total.transpose(1, 2).flatten(2)


def _attend(q: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of queries that are scaled already, and the logarithm of its sum of exponents in float32."""
    logits = (q @ key.mT).float()
    total = logits.logsumexp(dim=-1, keepdim=True)
    return (logits - total).exp().to(value) @ value, total
