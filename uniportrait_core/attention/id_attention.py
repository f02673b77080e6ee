"""ID attention of one cross-attention layer: `id_scale · Σ_n route_n(x) · Attn(q, K_n, V_n)` (paper section 3.3).

Everything that is the same at every step is in `IDAttention` (`projection.py` makes it); calling it does what is left.
`route_n` is the router's choice, or the share that region masks give (`routing/regions.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..routing.router import route

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

    def __call__(self, hidden: Tensor, x: Tensor, query: Tensor, kinds: Sequence[int], *_unused: None) -> Tensor:
        """As for several people; there are no shares, and nothing is recorded."""
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
class Half:
    """Several people as one layer sees them in one half (conditional or unconditional) of the batch.

    Attributes:
        key: all of them in a row, (1, heads, people · tokens, channels per head); where people have region masks,
            each apart, (people, heads, tokens, channels per head).
        value: the same shape, already times id_scale and each person's weight.
        folded: what the router needs to choose among the candidates, the people without a mask (`router.fold`); None
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
class _SeveralPeople(_Tensors):
    """One layer's ID attention half by half.

    Attributes:
        halves: the people in conditional rows and in unconditional rows, indexed by COND and UNCOND.
        query_in: θ's first layer, weight and bias; None where there is nothing to choose.
    """

    halves: tuple[Half, Half]
    query_in: tuple[Tensor, Tensor] | None = None

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
        each_run = [None] * len(runs) if shares is None else shares.expand(-1, len(hidden), -1).split(sizes, dim=1)
        attended: list[Tensor] = []
        for kind, x_run, query_run, own in zip(runs, x.split(sizes), query.split(sizes), each_run, strict=True):
            half, first = self.halves[kind], sum(map(len, attended))
            winners = half.winners(x_run, self.query_in)
            attended.append(self._attended(half, query_run, winners, own, record if kind == COND else None, first))
        return hidden + (attended[0] if len(attended) == 1 else torch.cat(attended))


class RoutedAttention(_SeveralPeople):
    """Every spot belongs to one person."""

    def _attended(
        self, half: Half, query: Tensor, winners: Tensor | None, _own: None, record: Record | None, first: int
    ) -> Tensor:
        if record and winners is not None:
            record(winners, first)
        # Softmax over the winner's own tokens only: N separate attentions and a one-hot sum, in one.
        mask = None if winners is None else F.embedding(winners.flatten(), half.chosen)
        return _attend(query, half.key, half.value, mask).reshape(query.shape)


class RegionAttention(_SeveralPeople):
    """People have region masks, all or some of them."""

    def _attended(
        self, half: Half, query: Tensor, winners: Tensor | None, own: Tensor, record: Record | None, first: int
    ) -> Tensor:
        if winners is not None:  # among the people without a mask, the winner takes what remains
            own = own * F.embedding(winners, half.chosen).movedim(-1, 0)
        if record:
            record(own, first)
        # Every person's attention for all rows, which have the same keys: they are one long picture.
        everybody = query.reshape(1, -1, query.shape[-1]).expand(len(half.key), -1, -1)
        apart = _attend(everybody, half.key, half.value).reshape(-1, *query.shape)
        return (apart * own[..., None]).sum(dim=0)


IDAttention = PlainAttention | RoutedAttention | RegionAttention
"""One layer's ID attention, ready for sampling."""


def _runs(kinds: Sequence[int], rows: int) -> tuple[list[int], list[int]]:
    """Neighbouring parts of a kind as one: their kinds, and how many rows they have."""
    runs = [(kind, len(list(run))) for kind, run in groupby(kinds)]
    return [kind for kind, _ in runs], [parts * rows // len(kinds) for _, parts in runs]


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
