"""ID attention as it is trained: differentiable, several pictures at a time, each with people of its own.

The equation is that of `id_attention.py`, `Σ_n route_n(x) · Attn(q, K_n, V_n)` (paper section 3.3), which at sampling
is computed from what was made once. Tests hold the two together.
"""

import torch.nn.functional as F
from torch import Tensor

from .adapter import IDLayer, LoRAPair


def attend_to_people(query: Tensor, layer: IDLayer, tokens: Tensor, shares: Tensor, heads: int) -> Tensor:
    """The ID attention of one cross-attention layer.

    Args:
        query: the layer's queries, (pictures, spots, channels).
        layer: its ID keys and values.
        tokens: of the people, (pictures, people, tokens, dim).
        shares: of each spot for each person: the router's choice, or 1 for everybody who is there, (pictures, people,
            spots), or anything that broadcasts to it.
        heads: attention heads of the layer.

    Returns:
        (pictures, spots, channels).
    """
    pictures, people = tokens.shape[:2]
    key, value = (F.linear(tokens, weight) for weight in (layer.to_k, layer.to_v))
    # People and heads are one dimension: a fused kernel takes three, and every one of them sees the same queries.
    q, k, v = (split_heads(t, heads) for t in (query, key.flatten(0, 1), value.flatten(0, 1)))
    q = q[:, None].expand(-1, people, -1, -1, -1).flatten(1, 2)
    k, v = (t.unflatten(0, (pictures, people)).flatten(1, 2) for t in (k, v))
    attended = F.scaled_dot_product_attention(q, k, v).unflatten(1, (people, heads))
    return (attended * shares[:, :, None, :, None].to(attended)).sum(dim=1).transpose(1, 2).flatten(2)


def with_lora(x: Tensor, projected: Tensor, pair: LoRAPair) -> Tensor:
    """`projected`, a linear layer's output for `x`, with the pair's low-rank difference added."""
    return projected + F.linear(F.linear(x, pair.down), pair.up)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Ordinary attention of (pictures, spots, channels) to (pictures, tokens, channels)."""
    attended = F.scaled_dot_product_attention(*(split_heads(t, heads) for t in (query, key, value)))
    return attended.transpose(1, 2).flatten(2)


def split_heads(t: Tensor, heads: int) -> Tensor:
    """(…, n, channels) as attention takes it, (…, heads, n, channels per head)."""
    return t.unflatten(-1, (heads, -1)).transpose(1, 2)
