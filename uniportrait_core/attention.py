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
        folded: what the router needs to choose among the candidates, the people without a mask (`routing.fold`); None
            where there is nothing to choose.
        apart: what a candidate's win adds to the logits of everybody's tokens, (candidates, people · tokens): −∞ for
            the other candidates, 0 for the winner and for people with a mask. None where there is nothing to choose.
    """

    key: Tensor
    value: Tensor
    folded: Tensor | None = None
    apart: Tensor | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "People":
        tensors = (self.key, self.value, self.folded, self.apart)
        return People(*(None if t is None else t.to(device, dtype) for t in tensors))


@dataclass(frozen=True)
class PlainAttention:
    """One layer's ID attention where nobody has to be chosen: one attention for all rows.

    Attributes:
        key, value: unconditional, then conditional, which is the host's usual order, (2, tokens, channels).
    """

    key: Tensor
    value: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "PlainAttention":
        return PlainAttention(self.key.to(device, dtype), self.value.to(device, dtype))

    def __call__(
        self, hidden: Tensor, x: Tensor, query: Tensor, heads: int, kinds: Sequence[int], shares: Tensor | None = None
    ) -> Tensor:
        """As `RoutedAttention`; there are no shares."""
        key, value = (_in_order(t, list(kinds)) for t in (self.key, self.value))
        attended = _attend(query.reshape(len(kinds), -1, query.shape[-1]), key, value, heads)
        return hidden + attended.reshape(hidden.shape)


def _in_order(pair: Tensor, kinds: list[int]) -> Tensor:
    # The first three need no copy.
    if kinds == [UNCOND, COND]:
        return pair
    if kinds == [UNCOND]:
        return pair[:1]
    if kinds == [COND]:
        return pair[1:]
    return torch.stack([pair[1 - kind] for kind in kinds])


@dataclass(frozen=True)
class RoutedAttention:
    """One layer's ID attention where every spot has people of its own.

    Attributes:
        halves: the people in conditional rows and in unconditional rows, indexed by COND and UNCOND.
        query_in: θ's first layer, weight and bias; None where masks leave nothing to choose.
    """

    halves: tuple[People, People]
    query_in: tuple[Tensor, Tensor] | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "RoutedAttention":
        query_in = self.query_in and tuple(t.to(device, dtype) for t in self.query_in)
        return RoutedAttention(tuple(half.to(device, dtype) for half in self.halves), query_in)

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
            people = self.halves[kind]
            winner = None if people.folded is None else route(x[rows], self.query_in, people.folded, len(people.apart))
            if shares is None:
                attended = _attend_to_winner(people, query[rows], heads, winner)
            else:
                attended = _attend_to_all(people, query[rows], heads, shares, winner)
            sums.append(hidden[rows] + attended)
        return sums[0] if len(sums) == 1 else torch.cat(sums)


IDAttention = PlainAttention | RoutedAttention
"""One layer's ID attention, ready for sampling."""


def _attend_to_winner(people: People, query: Tensor, heads: int, winner: Tensor | None) -> Tensor:
    # Softmax over the winner's own tokens only: N separate attentions and a one-hot sum, in one.
    mask = None if winner is None else F.embedding(winner.flatten(), people.apart)
    key, value = (t.flatten(0, 1)[None] for t in (people.key, people.value))
    # All rows have the same keys: they are one long picture.
    return _attend(query.reshape(1, -1, query.shape[-1]), key, value, heads, mask).reshape(query.shape)


def _attend_to_all(people: People, query: Tensor, heads: int, shares: Tensor, winner: Tensor | None) -> Tensor:
    count, channels = len(people.key), query.shape[-1]
    shares = shares[:, None]
    if winner is not None:  # among the people without a mask, the winner takes what remains
        visible = people.apart.unflatten(-1, (count, -1))[..., 0].exp()
        shares = shares * F.embedding(winner, visible).movedim(-1, 0)
    attended = _attend(query.reshape(1, -1, channels).expand(count, -1, -1), people.key, people.value, heads)
    return (attended.reshape(count, *query.shape) * shares[..., None]).sum(dim=0)


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Attention with heads, of (batch, length, channels) each; `mask` is added to the logits."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


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
    cond, uncond = (
        _project(layer, router, torch.stack([getattr(person, half) for person in face_id]), scales, candidates)
        for half in ("cond", "uncond")
    )
    routed = cond.folded is not None or uncond.folded is not None
    if routed or len(candidates) < len(face_id):
        return RoutedAttention((cond, uncond), router.query_in if routed else None)
    return PlainAttention(torch.cat((uncond.key, cond.key)), torch.cat((uncond.value, cond.value)))


def _project(
    layer: IDLayer, router: RouterLayer | None, tokens: Tensor, scales: Tensor, candidates: list[int]
) -> People:
    # People encoded with one structure scale share their unconditional tokens. The router cannot tell them apart, and
    # with equal weights the result is the same whoever wins; with different ones each gets an equal share.
    alike = all(torch.equal(tokens[a], tokens[b]) for a, b in pairwise(candidates))
    if alike and len(candidates) == len(tokens):
        tokens, scales = tokens[:1], scales.mean(dim=0, keepdim=True)
    elif alike and candidates:
        scales = scales.clone()
        scales[candidates] /= len(candidates)
    key, value = F.linear(tokens, layer.to_k), F.linear(tokens, layer.to_v) * scales[:, None, None]
    if alike:
        return People(key, value)
    apart = torch.zeros(len(candidates), len(tokens))
    apart[:, candidates] = torch.full((len(candidates),) * 2, -torch.inf).fill_diagonal_(0)
    return People(key, value, fold(router, tokens[candidates]), apart.repeat_interleave(tokens.shape[1], dim=1))
