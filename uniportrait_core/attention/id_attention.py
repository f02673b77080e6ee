"""ID attention of one cross-attention layer: `id_scale · Σ_n route_n(x) · Attn(q, K_n, V_n)` (paper section 3.3).

Everything that is the same at every step is in `IDAttention` (`projection.py` makes it); calling it does what is left.
`route_n` is the router's choice, or the share that region masks give (`routing/regions.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..routing.router import Choice, Linear, route, theta
from . import fused

COND, UNCOND = 0, 1

Record = Callable[[Tensor, int], None]
"""Told who has each spot in some conditional rows, and the first row: the winner, (rows, spots), int64; where people
have region masks each person's share, (people, rows, spots), 0..1. `routing.record.shares_of` makes shares of both."""

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

    def __call__(self, hidden: Tensor, _x: Tensor, query: Tensor, kinds: Sequence[int], *_unused: None) -> Tensor:
        """As for several people; there are no shares, and nothing is recorded."""
        if fused.wanted(hidden, query):
            return fused.add_attention(hidden, query, self.key[:, None], self.value[:, None], _indices(kinds))[0]
        return hidden + _attend(query, *_in_order(self, kinds))


@dataclass(frozen=True)
class RoutedAttention(_Tensors):
    """One layer's ID attention where every spot belongs to one person.

    Both halves of a call are one attention. Where the people of a half are all alike (`projection.py`), nobody has to
    be chosen: everybody's tokens are the same, and whoever is chosen in the other half will do.

    Attributes:
        key: everybody's in a row, (2, heads, people · tokens, channels per head), ordered as in `PlainAttention`.
        value: the same shape, already times id_scale and each person's weight.
        chosen: what each person's win adds to the logits of everybody's tokens, −∞ or 0, (people, people · tokens).
        first: θ's first layer (`router.first_layer`).
        folded: what the router chooses by in conditional rows and in unconditional rows, indexed by COND and UNCOND
            (`router.fold`); None where all are alike.
    """

    key: Tensor
    value: Tensor
    chosen: Tensor
    first: Linear
    folded: tuple[Linear | None, Linear | None]

    def __call__(
        self,
        hidden: Tensor,
        x: Tensor,
        query: Tensor,
        kinds: Sequence[int],
        _shares: None = None,
        record: Record | None = None,
    ) -> Tensor:
        """Add ID attention to a layer's attention output.

        Args:
            hidden: the attention output before the output projection, (rows, spots, channels); left as it is, as it
                may be another pack's.
            x: the layer's normed input, of the same shape.
            query: the layer's queries, of the same shape.
            kinds: COND or UNCOND for each of the equal parts that the rows consist of.
            record: told who has each spot.

        Returns:
            The sum, of the same shape.
        """
        parts = list(runs(kinds, len(x)))
        routed = [run for run in parts if self.folded[run.kind] is not None]
        if len(routed) <= 1 and fused.wanted(hidden, x, query):
            return self._fused(hidden, x, query, kinds, routed[0] if routed else None, record)
        winners: list[Tensor | None] = []  # of each part, (spots of all its rows,)
        for run in parts:
            if self.folded[run.kind] is None:
                winners += [None] * run.parts
                continue
            won = route(x[run.rows], self.first, self.folded[run.kind])
            winners += [won] if run.parts == 1 else won.chunk(run.parts)
            if record and run.kind == COND:
                record(won.view(-1, x.shape[1]), run.rows.start)
        # Softmax over the winner's own tokens only: N separate attentions and a one-hot sum, in one.
        mask = None if (who := _of_all(winners)) is None else F.embedding(who, self.chosen)
        return hidden + _attend(query, *_in_order(self, kinds), mask)

    def _fused(
        self,
        hidden: Tensor,
        x: Tensor,
        query: Tensor,
        kinds: Sequence[int],
        routed: "Run | None",
        record: Record | None,
    ) -> Tensor:
        """In one kernel, which knows the routed parts as neighbours."""
        choice = None
        if routed:
            before = theta(x[routed.rows], self.first)
            choice = Choice((routed.first, routed.first + routed.parts), before, self.folded[routed.kind])
        each = (t.unflatten(2, (len(self.chosen), -1)).transpose(1, 2) for t in (self.key, self.value))
        total, winners = fused.add_attention(hidden, query, *each, _indices(kinds), choice)
        if record and routed and routed.kind == COND:
            record(winners.view(-1, x.shape[1]), routed.rows.start)
        return total


@dataclass(frozen=True)
class Half:
    """Several people, some with region masks, as one layer sees them in one half of the batch.

    Attributes:
        key: each apart, (people, heads, tokens, channels per head).
        value: the same shape, already times id_scale and each person's weight.
        folded: what the router chooses by among the candidates, the people without a mask; None where there is
            nothing to choose.
        chosen: who has a part in the spot that a candidate wins, 0 or 1, (candidates, people); None likewise.
    """

    key: Tensor
    value: Tensor
    folded: Linear | None = None
    chosen: Tensor | None = None


@dataclass(frozen=True)
class RegionAttention(_Tensors):
    """One layer's ID attention where people have region masks, all or some of them.

    Attributes:
        halves: the people in conditional rows and in unconditional rows, indexed by COND and UNCOND.
        first: θ's first layer; None where there is nothing to choose.
    """

    halves: tuple[Half, Half]
    first: Linear | None = None

    def __call__(
        self,
        hidden: Tensor,
        x: Tensor,
        query: Tensor,
        kinds: Sequence[int],
        shares: Tensor,
        record: Record | None = None,
    ) -> Tensor:
        """As for several people without masks.

        Args:
            hidden, x, query, kinds, record: likewise.
            shares: of each spot for each person, (people, rows or 1, spots) (`regions.region_shares`).
        """
        shares = shares.expand(-1, len(hidden), -1)
        in_one_kernel = not record and fused.wanted(hidden, x, query, shares)  # which tells of winners, not of shares
        total = []
        for run in runs(kinds, len(hidden)):
            half, rows = self.halves[run.kind], run.rows
            part = hidden[rows], x[rows], query[rows], shares[:, rows]
            if in_one_kernel:
                total.append(self._fused(half, *part))
                continue
            before, spots, queries, own = part
            if half.folded is not None:  # among the people without a mask, the winner takes what remains
                won = route(spots, self.first, half.folded)
                own = own * F.embedding(won, half.chosen).view(*own.shape[1:], -1).movedim(-1, 0)
            if record and run.kind == COND:
                record(own, rows.start)
            total.append(before + self._attended(half, queries, own))
        return total[0] if len(total) == 1 else torch.cat(total)

    def _fused(self, half: Half, hidden: Tensor, x: Tensor, query: Tensor, shares: Tensor) -> Tensor:
        choice = None
        if half.folded is not None:
            choice = Choice((0, 1), theta(x, self.first), half.folded, half.chosen)
        return fused.add_attention(hidden, query, half.key[None], half.value[None], [0], choice, shares)[0]

    @staticmethod
    def _attended(half: Half, query: Tensor, shares: Tensor) -> Tensor:
        # Every person's attention for all rows, which have the same keys: they are one long picture.
        everybody = query.reshape(1, -1, query.shape[-1]).expand(len(half.key), -1, -1)
        apart = _attend(everybody, half.key, half.value).reshape(-1, *query.shape)
        return (apart * shares[..., None]).sum(dim=0)


IDAttention = PlainAttention | RoutedAttention | RegionAttention
"""One layer's ID attention, ready for sampling."""


def _in_order(layer: PlainAttention | RoutedAttention, kinds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Keys and values for each part of a call."""
    return _parts_of(layer.key, list(kinds)), _parts_of(layer.value, list(kinds))


def _parts_of(pair: Tensor, kinds: list[int]) -> Tensor:
    # The first three need no copy.
    if kinds == [UNCOND, COND]:
        return pair
    if kinds == [UNCOND]:
        return pair[:1]
    if kinds == [COND]:
        return pair[1:]
    return torch.stack([pair[index] for index in _indices(kinds)])


def _indices(kinds: Sequence[int]) -> list[int]:
    """Where in a pair, unconditional, then conditional, the parts' keys and values are."""
    return [1 - kind for kind in kinds]


class Run(NamedTuple):
    """Neighbouring parts of a kind, COND or UNCOND, and their rows."""

    kind: int
    first: int
    parts: int
    rows: slice


def runs(kinds: Sequence[int], rows: int) -> Iterator[Run]:
    """Runs of the equal parts that some rows consist of."""
    first = 0
    for kind, run in groupby(kinds):
        parts = len(list(run))
        yield Run(kind, first, parts, slice(*(part * rows // len(kinds) for part in (first, first + parts))))
        first += parts


def _of_all(winners: list[Tensor | None]) -> Tensor | None:
    """The winners of all parts, as a mask for attention is laid out; a part that has none takes another's.

    Returns:
        (spots,) where one part's do for all; else (parts, 1 for all heads, spots); None where nobody was chosen.
    """
    known = [won for won in winners if won is not None]
    if len(known) <= 1:
        return known[0] if known else None
    return torch.stack([known[0] if won is None else won for won in winners])[:, None]


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of queries, (…, channels), in as many equal parts as there are keys.

    Args:
        mask: is added to the logits.

    Returns:
        Of the queries' shape.
    """
    parts, heads, _, channels = key.shape
    q = query.reshape(parts, -1, heads, channels).transpose(1, 2)
    attended = F.scaled_dot_product_attention(q, key, value, attn_mask=mask)
    return attended.transpose(1, 2).reshape(query.shape)


def _moved(thing: Self, device: torch.device, dtype: torch.dtype) -> Self:
    if isinstance(thing, Tensor):
        return thing.to(device, dtype)
    if isinstance(thing, tuple):
        return tuple(_moved(part, device, dtype) for part in thing)
    if thing is None:
        return None
    return replace(thing, **{f.name: _moved(getattr(thing, f.name), device, dtype) for f in fields(thing)})
