"""Attention whose keys come in parts, so that memory does not grow with their number."""

from collections.abc import Iterable

import torch
from torch import Tensor


def attend_in_parts(query: Tensor, parts: Iterable[tuple[Tensor, Tensor, Tensor | None]]) -> Tensor:
    """Softmax attention over all parts together, exact, with one part at a time in memory.

    The softmax is kept up to date as parts arrive (Milakov and Gimelshein, arXiv 1805.02867).

    Args:
        query: (batch, heads, queries, head_dim).
        parts: per part key and value, (batch, heads, keys, head_dim), and what is added to its logits, of a shape that
            broadcasts to (batch, heads, queries, keys), or None.

    Returns:
        (batch, heads, queries, head_dim).
    """
    query = query * query.shape[-1] ** -0.5
    peak = query.new_full((*query.shape[:-1], 1), -torch.inf)
    total, weighted = torch.zeros_like(peak), torch.zeros_like(query)
    for key, value, bias in parts:
        logits = query @ key.mT if bias is None else query @ key.mT + bias
        higher = torch.maximum(peak, logits.amax(dim=-1, keepdim=True))
        decay, weights = (peak - higher).exp(), (logits - higher).exp()
        total = total * decay + weights.sum(dim=-1, keepdim=True)
        weighted = weighted * decay + weights @ value
        peak = higher
    return weighted / total
