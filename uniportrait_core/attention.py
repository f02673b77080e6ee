"""ID attention of one cross-attention layer: `id_scale · Σ_n route_n(x) · Attn(q, K_n, V_n)` (paper section 3.3).

Everything that is the same at every step is in `IDAttention`; calling it does what is left. `route_n` is the router's
choice, or the share that region masks give (`regions.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby, pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .adapter import IDLayer, RouterLayer
from .identity import FaceID
from .routing import fold, route

COND, UNCOND = 0, 1

Record = Callable[[Tensor, int], None]
"""Told each person's share of the spots in some conditional rows, (people, rows, spots), 0..1, and the first row."""

Self = TypeVar("Self")


class _Tensors:
    """A dataclass of tensors, and of tuples of them."""

    def to(self: Self, device: torch.device, dtype: torch.dtype) -> Self:
        """A copy of all tensors."""
        return _moved(self, device, dtype)


@dataclass(frozen=True)
class PlainAttention(_Tensors):
    """One layer's ID attention where nobody has to be chosen: one attention for all rows.

    Attributes:
        key: (2, heads, tokens, channels per head), unconditional, then conditional, which is the host's usual order.
        value: the same shape, already times id_scale and the person's weight.
    """

    key: Tensor
    value: Tensor

    def __call__(
        self,
        hidden: Tensor,
        x: Tensor,
        query: Tensor,
        kinds: Sequence[int],
        shares: Tensor | None = None,
        record: Record | None = None,
    ) -> Tensor:
        """As `RoutedAttention`; there are no shares, and nothing is recorded."""
        key, value = (_in_order(t, list(kinds)) for t in (self.key, self.value))
        return hidden + _attend(query, key, value).reshape(hidden.shape)


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
class People:
    """Several people as one layer sees them in one half (conditional or unconditional) of the batch.

    Attributes:
        key: all of them in a row, (1, heads, people · tokens, channels per head); where people have region masks,
            each apart, (people, heads, tokens, channels per head).
        value: the same shape, already times id_scale and each person's weight.
        folded: what the router needs to choose among the candidates, the people without a mask (`routing.fold`); None
            where there is nothing to choose.
        chosen: what follows from each candidate's win. All in a row: what is added to the logits of everybody's
            tokens, −∞ or 0, (candidates, people · tokens). Each apart: who has a part in the spot, 0 or 1,
            (candidates, people). None where there is nothing to choose.
    """

    key: Tensor
    value: Tensor
    folded: Tensor | None = None
    chosen: Tensor | None = None

    def winners(self, x: Tensor, query_in: tuple[Tensor, Tensor]) -> Tensor | None:
        """The candidate that wins each spot, (rows, spots); None where there is nothing to choose."""
        return None if self.folded is None else route(x, query_in, self.folded, len(self.chosen))


@dataclass(frozen=True)
class RoutedAttention(_Tensors):
    """One layer's ID attention where every spot belongs to one person.

    Attributes:
        halves: the people in conditional rows and in unconditional rows, indexed by COND and UNCOND.
        query_in: θ's first layer, weight and bias.
    """

    halves: tuple[People, People]
    query_in: tuple[Tensor, Tensor]

    def __call__(
        self,
        hidden: Tensor,
        x: Tensor,
        query: Tensor,
        kinds: Sequence[int],
        shares: Tensor | None = None,
        record: Record | None = None,
    ) -> Tensor:
        """Add ID attention to a layer's attention output.

        Args:
            hidden: the attention output before the output projection, (rows, spots, channels); left as it is.
            x: the layer's normed input, of the same shape.
            query: the layer's queries, of the same shape.
            kinds: COND or UNCOND for each of the equal parts that the rows consist of.
            shares: of each spot for each person, (people, rows or 1, spots), where people have region masks
                (`regions.region_shares`).
            record: told who has each spot.

        Returns:
            The sum, of the same shape.
        """
        runs, sizes = _runs(kinds, len(hidden))
        attended: list[Tensor] = []
        for kind, x_run, query_run in zip(runs, x.split(sizes), query.split(sizes), strict=True):
            people = self.halves[kind]
            winners = people.winners(x_run, self.query_in)
            if record and kind == COND and winners is not None:
                record(F.one_hot(winners, len(people.chosen)).movedim(-1, 0), _rows(attended))
            # Softmax over the winner's own tokens only: N separate attentions and a one-hot sum, in one.
            mask = None if winners is None else F.embedding(winners.flatten(), people.chosen)
            attended.append(_attend(query_run, people.key, people.value, mask).reshape(query_run.shape))
        return hidden + _join(attended)


@dataclass(frozen=True)
class RegionAttention(_Tensors):
    """One layer's ID attention where people have region masks, all or some of them.

    Attributes:
        halves: as in `RoutedAttention`.
        query_in: θ's first layer; None where masks leave nothing to choose.
    """

    halves: tuple[People, People]
    query_in: tuple[Tensor, Tensor] | None = None

    def __call__(
        self,
        hidden: Tensor,
        x: Tensor,
        query: Tensor,
        kinds: Sequence[int],
        shares: Tensor,
        record: Record | None = None,
    ) -> Tensor:
        """As `RoutedAttention`."""
        runs, sizes = _runs(kinds, len(hidden))
        each_row = shares.expand(-1, len(hidden), -1)
        attended: list[Tensor] = []
        for kind, x_run, query_run, own in zip(
            runs, x.split(sizes), query.split(sizes), each_row.split(sizes, dim=1), strict=True
        ):
            people = self.halves[kind]
            winners = people.winners(x_run, self.query_in)
            if winners is not None:  # among the people without a mask, the winner takes what remains
                own = own * F.embedding(winners, people.chosen).movedim(-1, 0)
            if record and kind == COND:
                record(own, _rows(attended))
            # Every person's attention for all rows, which have the same keys: they are one long picture.
            everybody = query_run.reshape(1, -1, query_run.shape[-1]).expand(len(people.key), -1, -1)
            apart = _attend(everybody, people.key, people.value).reshape(-1, *query_run.shape)
            attended.append((apart * own[..., None]).sum(dim=0))
        return hidden + _join(attended)


IDAttention = PlainAttention | RoutedAttention | RegionAttention
"""One layer's ID attention, ready for sampling."""


def _runs(kinds: Sequence[int], rows: int) -> tuple[list[int], list[int]]:
    """Neighbouring parts of a kind as one: their kinds, and how many rows they have."""
    runs = [(kind, len(list(run))) for kind, run in groupby(kinds)]
    return [kind for kind, _ in runs], [parts * rows // len(kinds) for _, parts in runs]


def _rows(parts: list[Tensor]) -> int:
    return sum(len(part) for part in parts)


def _join(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries (…, channels), in as many equal parts as there are keys; `mask` is added to the logits.

    Returns:
        (parts, queries of a part, channels).
    """
    parts, heads, _, channels = key.shape
    q = query.reshape(parts, -1, heads, channels).transpose(1, 2)
    return F.scaled_dot_product_attention(q, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


def _moved(thing: Self, device: torch.device, dtype: torch.dtype) -> Self:
    if isinstance(thing, Tensor):
        return thing.to(device, dtype)
    if isinstance(thing, tuple):
        return tuple(_moved(part, device, dtype) for part in thing)
    if thing is None:
        return None
    return replace(thing, **{f.name: _moved(getattr(thing, f.name), device, dtype) for f in fields(thing)})


def prepare(layer: IDLayer, router: RouterLayer | None, face_id: FaceID, id_scale: float, heads: int) -> IDAttention:
    """Project people into a cross-attention layer, in float32 on the CPU.

    Args:
        layer: ID keys and values of the layer.
        router: its router; may be None where there are not two people without a region mask.
        face_id: the people, tokens of (tokens, dim).
        id_scale: strength of ID attention, 0..2; 0.7 in the published app.
        heads: attention heads of the layer.
    """
    scales = torch.tensor([id_scale * person.weight for person in face_id])
    candidates = [i for i, person in enumerate(face_id) if person.mask is None]
    masked = len(candidates) < len(face_id)
    cond, uncond = (
        _project(layer, router, torch.stack([getattr(person, half) for person in face_id]), scales, candidates, heads)
        for half in ("cond", "uncond")
    )
    routed = cond.folded is not None or uncond.folded is not None
    query_in = router.query_in if routed else None
    if masked:
        return RegionAttention((cond, uncond), query_in)
    if routed:
        return RoutedAttention((cond, uncond), query_in)
    return PlainAttention(torch.cat((uncond.key, cond.key)), torch.cat((uncond.value, cond.value)))


def _project(
    layer: IDLayer, router: RouterLayer | None, tokens: Tensor, scales: Tensor, candidates: list[int], heads: int
) -> People:
    # People encoded with one structure scale share their unconditional tokens. The router cannot tell them apart, and
    # with equal weights the result is the same whoever wins; with different ones each gets an equal share.
    alike = all(torch.equal(tokens[a], tokens[b]) for a, b in pairwise(candidates))
    masked = len(candidates) < len(tokens)
    if alike and not masked:
        tokens, scales = tokens[:1], scales.mean(dim=0, keepdim=True)
    elif alike and candidates:
        scales = scales.clone()
        scales[candidates] /= len(candidates)
    key = F.linear(tokens, layer.to_k).unflatten(-1, (heads, -1))
    value = (F.linear(tokens, layer.to_v) * scales[:, None, None]).unflatten(-1, (heads, -1))
    if not masked:
        key, value = (t.flatten(0, 1)[None] for t in (key, value))
    key, value = (t.transpose(1, 2).contiguous() for t in (key, value))
    if alike:
        return People(key, value)
    return People(key, value, fold(router, tokens[candidates]), _chosen(candidates, tokens, masked))


def _chosen(candidates: list[int], tokens: Tensor, masked: bool) -> Tensor:
    if not masked:
        others = torch.full((len(candidates),) * 2, -torch.inf).fill_diagonal_(0)
        return others.repeat_interleave(tokens.shape[1], dim=1)
    chosen = torch.ones(len(candidates), len(tokens))
    chosen[:, candidates] = torch.eye(len(candidates))
    return chosen
