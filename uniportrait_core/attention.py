"""ID attention of one cross-attention layer: `id_scale · Σ_n route_n(x) · Attn(q, K_n, V_n)` (paper section 3.3).

Everything that is the same at every step is in `IDAttention`; calling it does what is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from .adapter import IDLayer, RouterLayer
from .identity import FaceID
from .routing import fold, route

COND, UNCOND = 0, 1


@dataclass(frozen=True)
class People:
    """The people as one layer sees them in one half (conditional or unconditional) of the batch.

    Attributes:
        key: (1, people · tokens, channels).
        value: the same shape, already times id_scale.
        folded: what the router needs to choose among people, (2·channels, people); None where all are alike.
        owner: the person that each token belongs to, (people · tokens,); None where all are alike.
    """

    key: Tensor
    value: Tensor
    folded: Tensor | None = None
    owner: Tensor | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "People":
        cast = (None if t is None else t.to(device, dtype) for t in (self.key, self.value, self.folded))
        return People(*cast, None if self.owner is None else self.owner.to(device))


@dataclass(frozen=True)
class IDAttention:
    """One layer's ID attention, ready for sampling.

    Attributes:
        halves: the people in conditional rows and in unconditional rows, indexed by COND and UNCOND.
        query_in: θ's first layer, weight and bias; None where no half needs routing.
    """

    halves: tuple[People, People]
    query_in: tuple[Tensor, Tensor] | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "IDAttention":
        query_in = self.query_in and tuple(t.to(device, dtype) for t in self.query_in)
        return IDAttention(tuple(half.to(device, dtype) for half in self.halves), query_in)

    def __call__(self, hidden: Tensor, x: Tensor, query: Tensor, heads: int, kinds: Sequence[int]) -> Tensor:
        """Add ID attention to a layer's attention output.

        Args:
            hidden: the attention output before the output projection, (rows, spots, channels); left as it is.
            x: the layer's normed input, of the same shape.
            query: the layer's queries, of the same shape.
            heads: attention heads.
            kinds: COND or UNCOND for each of the equal parts that the rows consist of.

        Returns:
            The sum, of the same shape.
        """
        part, start, sums = len(hidden) // len(kinds), 0, []
        for kind, run in groupby(kinds):
            rows = slice(start, start := start + part * len(list(run)))
            sums.append(hidden[rows] + self._attend(self.halves[kind], x[rows], query[rows], heads))
        return sums[0] if len(sums) == 1 else torch.cat(sums)

    def _attend(self, people: People, x: Tensor, query: Tensor, heads: int) -> Tensor:
        mask = None
        if people.folded is not None:
            winner = route(x, self.query_in, people.folded)
            # Softmax over the winner's own tokens only: N separate attentions and a one-hot sum, in one.
            mask = (winner[..., None] == people.owner)[:, None]
        key, value = (t.expand(len(query), -1, -1) for t in (people.key, people.value))
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def prepare(
    layers: Sequence[IDLayer], routers: Sequence[RouterLayer] | None, face_id: FaceID, id_scale: float
) -> tuple[IDAttention, ...]:
    """Project people into every cross-attention layer, in float32 on the CPU.

    Args:
        layers: ID keys and values of every layer.
        routers: the router of every layer; may be None for one person.
        face_id: the people, tokens of (tokens, dim).
        id_scale: strength of ID attention, 0..2; 0.7 in the published app.

    Returns:
        The ID attention of every layer, in the order of `layers`.
    """
    halves = [torch.stack([getattr(person, half) for person in face_id]) for half in ("cond", "uncond")]
    return tuple(
        _prepare_layer(layer, routers[i] if routers else None, halves, id_scale) for i, layer in enumerate(layers)
    )


def _prepare_layer(layer: IDLayer, router: RouterLayer | None, halves: list[Tensor], id_scale: float) -> IDAttention:
    people = tuple(_project(layer, router, tokens, id_scale) for tokens in halves)
    routed = any(half.folded is not None for half in people)
    return IDAttention(people, router.query_in if routed else None)


def _project(layer: IDLayer, router: RouterLayer | None, tokens: Tensor, id_scale: float) -> People:
    # People encoded with one structure scale share their unconditional tokens: whoever wins, the result is the same.
    if all(torch.equal(tokens[0], other) for other in tokens[1:]):
        tokens = tokens[:1]
    flat = tokens.flatten(0, 1)[None]
    key, value = F.linear(flat, layer.to_k), F.linear(flat, layer.to_v) * id_scale
    if len(tokens) == 1:
        return People(key, value)
    owner = torch.arange(len(tokens)).repeat_interleave(tokens.shape[1])
    return People(key, value, fold(router, tokens), owner)
