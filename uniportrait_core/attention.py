"""ID attention of one cross-attention layer: `id_scale · Σ_n route_n(x) · Attn(q, K_n, V_n)` (paper section 3.3).

Everything that is the same at every step is in `IDAttention`; calling it does what is left. `route_n` is the router's
choice, or the share that region masks give (`regions.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

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
        key: (people, tokens, channels).
        value: the same shape, already times id_scale and the person's weight.
        folded: what the router needs to choose, (2·channels, candidates); None where there is nothing to choose.
        owner: the candidate that each token belongs to, (people · tokens,), −1 for people who are placed by a mask;
            None where there is nothing to choose.
    """

    key: Tensor
    value: Tensor
    folded: Tensor | None = None
    owner: Tensor | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "People":
        cast = (None if t is None else t.to(device, dtype) for t in (self.key, self.value, self.folded))
        return People(*cast, None if self.owner is None else self.owner.to(device))

    @property
    def candidate(self) -> Tensor:
        """`owner` per person, (people, 1, 1)."""
        return self.owner.view(len(self.key), -1, 1)[:, :1]


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

    def __call__(
        self, hidden: Tensor, x: Tensor, query: Tensor, heads: int, kinds: Sequence[int], shares: Tensor | None = None
    ) -> Tensor:
        """Add ID attention to a layer's attention output.

        Args:
            hidden: the attention output before the output projection, (rows, spots, channels); left as it is.
            x: the layer's normed input, of the same shape.
            query: the layer's queries, of the same shape.
            heads: attention heads.
            kinds: COND or UNCOND for each of the equal parts that the rows consist of.
            shares: of each spot for each person, (people, spots), where people have region masks
                (`regions.region_shares`).

        Returns:
            The sum, of the same shape.
        """
        part, start, sums = len(hidden) // len(kinds), 0, []
        for kind, run in groupby(kinds):
            rows = slice(start, start := start + part * len(list(run)))
            sums.append(hidden[rows] + self._attend(self.halves[kind], x[rows], query[rows], heads, shares))
        return sums[0] if len(sums) == 1 else torch.cat(sums)

    def _attend(self, people: People, x: Tensor, query: Tensor, heads: int, shares: Tensor | None) -> Tensor:
        winner = None if people.folded is None else route(x, self.query_in, people.folded)
        if shares is None:
            return _attend_to_winner(people, query, heads, winner)
        return _attend_to_all(people, query, heads, shares, winner)


def _attend_to_winner(people: People, query: Tensor, heads: int, winner: Tensor | None) -> Tensor:
    # Softmax over the winner's own tokens only: N separate attentions and a one-hot sum, in one.
    mask = None if winner is None else (winner[..., None] == people.owner)[:, None]
    key, value = (t.flatten(0, 1).expand(len(query), -1, -1) for t in (people.key, people.value))
    q, k, v = (_split_heads(t, heads) for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def _attend_to_all(people: People, query: Tensor, heads: int, shares: Tensor, winner: Tensor | None) -> Tensor:
    shares = shares[:, None]
    if winner is not None:  # among the people without a mask, the winner takes what remains
        shares = shares * ((people.candidate < 0) | (people.candidate == winner))
    q = _split_heads(query, heads).expand(len(people.key), -1, -1, -1, -1)
    k, v = (_split_heads(t, heads)[:, None].expand(-1, len(query), -1, -1, -1) for t in (people.key, people.value))
    attended = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(3)
    return (attended * shares[..., None]).sum(dim=0)


def _split_heads(t: Tensor, heads: int) -> Tensor:
    """(batch, length, channels) to (batch, heads, length, channels / heads)."""
    return t.unflatten(-1, (heads, -1)).transpose(1, 2)


def prepare(
    layers: Sequence[IDLayer], routers: Sequence[RouterLayer] | None, face_id: FaceID, id_scale: float
) -> tuple[IDAttention, ...]:
    """Project people into every cross-attention layer, in float32 on the CPU.

    Args:
        layers: ID keys and values of every layer.
        routers: the router of every layer; may be None where there are not two people without a region mask.
        face_id: the people, tokens of (tokens, dim).
        id_scale: strength of ID attention, 0..2; 0.7 in the published app.

    Returns:
        The ID attention of every layer, in the order of `layers`.
    """
    routers = routers or [None] * len(layers)
    return tuple(
        _prepare_layer(layer, router, face_id, id_scale) for layer, router in zip(layers, routers, strict=True)
    )


def _prepare_layer(layer: IDLayer, router: RouterLayer | None, face_id: FaceID, id_scale: float) -> IDAttention:
    scales = torch.tensor([id_scale * person.weight for person in face_id])
    candidates = [i for i, person in enumerate(face_id) if person.mask is None]
    halves = tuple(
        _project(layer, router, torch.stack([getattr(person, half) for person in face_id]), scales, candidates)
        for half in ("cond", "uncond")
    )
    routed = any(half.folded is not None for half in halves)
    return IDAttention(halves, router.query_in if routed else None)


def _project(
    layer: IDLayer, router: RouterLayer | None, tokens: Tensor, scales: Tensor, candidates: list[int]
) -> People:
    # People encoded with one structure scale share their unconditional tokens. The router cannot tell them apart, and
    # with equal weights the result is the same whoever wins; with different ones each gets an equal share.
    alike = all(torch.equal(tokens[a], tokens[b]) for a, b in pairwise(candidates))
    if alike and len(candidates) == len(tokens):
        tokens, scales, candidates = tokens[:1], scales.mean(dim=0, keepdim=True), [0]
    elif alike and candidates:
        scales = scales.clone()
        scales[candidates] /= len(candidates)
    key, value = F.linear(tokens, layer.to_k), F.linear(tokens, layer.to_v) * scales[:, None, None]
    if alike:
        return People(key, value)
    owner = torch.full((len(tokens),), -1)
    owner[candidates] = torch.arange(len(candidates))
    return People(key, value, fold(router, tokens[candidates]), owner.repeat_interleave(tokens.shape[1]))
