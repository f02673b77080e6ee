"""Taking a cross-attention layer for the time of one UNet call.

While a layer is taken, two modules of ours stand in for its `to_q` and its `to_out`. The first keeps the layer's input
and queries, the second adds ID attention to the attention output before the output projection. The host calls both
whether or not another pack replaced the attention between them. Where people have words of their own, two more keep
what `to_k` and `to_v` make of the scene's.

They are modules and not hooks because of torch.compile: it never looks again for hooks in a UNet that it has compiled
without them, but does notice that a module is another one. What the modules hold are inputs to what it compiles, so
other people need no new compilation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...uniportrait_core.attention.id_attention import COND, IDAttention, Record, runs
from ...uniportrait_core.attention.word_attention import Spoken, difference
from ...uniportrait_core.routing.record import shares_of
from .rows import Origins, Rows, by_row


@dataclass(frozen=True)
class Addition:
    """What one UNet call adds to its layers.

    Attributes:
        layers: ID attention by number of the layer, on a device in a dtype.
        count: rows of the call.
        rows: who knows the rows of a layer, where they are not the call's.
        kinds: as for ID attention.
        shares: the regions' shares for some queries, where people have region masks.
        record: told who has each spot, if anybody wants to know.
        pictures: of each part, if the first of them is a reference, to which nothing is added.
        words: by number of the layer, what is said of each person alone, if anything is.
    """

    layers: Callable[[torch.device, torch.dtype], Mapping[int, IDAttention]]
    count: int
    rows: Rows
    kinds: Sequence[int]
    shares: Callable[[Tensor], Tensor] | None = None
    record: Record | None = None
    pictures: int | None = None
    words: Mapping[int, Sequence[Spoken | None]] | None = None


class StandIn(nn.Module):
    """In place of a layer's module for the time of one UNet call."""

    def __init__(self, layer: nn.Module, name: str):
        super().__init__()
        self.layer, self.name, self.taken = [layer], name, None  # in a list it is no module of ours

    def take(self) -> None:
        (layer,) = self.layer
        self.taken = getattr(layer, self.name)
        setattr(layer, self.name, self)

    def give_back(self) -> None:
        """Undo `take`; in the reverse order where a module was taken twice."""
        if self.taken is not None:
            (layer,) = self.layer
            setattr(layer, self.name, self.taken)
            self.taken = None

    # For packs that look at these during the call.

    @property
    def weight(self) -> Tensor:
        return self.taken.weight

    def __getitem__(self, index: int) -> nn.Module:
        return self.taken[index]


@contextmanager
def standing_in(modules: Sequence[StandIn]) -> Iterator[None]:
    """Take the places of modules, and give them back whatever happens."""
    try:
        for module in modules:
            module.take()
        yield
    finally:
        for module in reversed(modules):
            module.give_back()


class Site:
    """A cross-attention layer (`attn2`), for whose projections modules of ours can stand in."""

    def __init__(self, attention: nn.Module, index: int):
        self.index, self.attention = index, attention
        self.queries, self.output = _Queries(attention, self), _Output(attention, self)
        self.scene = _Scene(attention, "to_k"), _Scene(attention, "to_v")
        self.addition: Addition | None = None
        self.x: Tensor | None = None
        self.query: Tensor | None = None
        self.worked = False
        self.told: list[tuple[Tensor, int]] = []  # who had each spot in its last run, as for `Record`
        self.origins: Origins | None = None  # of the rows of its last run

    def add(self, hidden: Tensor) -> Tensor:
        """`hidden` with ID attention; as it is where the layer's queries were not made by `to_q`."""
        x, query, addition = self.x, self.query, self.addition
        if query is None:
            return hidden
        self.x = self.query = None
        self.worked = True
        self.told = told = []  # a layer that runs twice in a call is told of once: what runs last makes the picture
        wanted = addition.record is not None or addition.words is not None
        record = (lambda *run: told.append(run)) if wanted else None
        shares = None if addition.shares is None else addition.shares(query)
        layer = addition.layers(query.device, query.dtype)[self.index]
        self.origins = origins = addition.rows.origins
        if len(query) != (addition.count if origins is None else len(origins)):
            addition.rows.say_that_some_are_nobodys()
            return hidden
        if origins is None:
            added = self._say(layer(hidden, x, query, addition.kinds, shares, record), query, addition.kinds)
            return added if addition.pictures is None else _spare_first(hidden, added, addition.pictures)
        own = [row or 0 for row in origins]
        if shares is not None and shares.shape[1] > 1:
            shares = by_row(shares, own, dim=1)
        kinds = [addition.kinds[row * len(addition.kinds) // addition.count] for row in own]
        added = self._say(layer(hidden, x, query, kinds, shares, record), query, kinds)
        return _spare(hidden, added, origins, addition.pictures)

    def _say(self, added: Tensor, query: Tensor, kinds: Sequence[int]) -> Tensor:
        """`added`, of ID attention, and so ours to change, with people's own words in conditional rows."""
        words, scene = self.addition.words, [module.output for module in self.scene]
        if words is None or any(t is None for t in scene):
            return added
        spoken = words[self.index]
        for rows, shares in self._places(len(spoken), query, kinds):
            own = [t.expand(len(query), -1, -1)[rows] for t in scene]
            added[rows] += difference(query[rows], own, spoken, shares, self.attention.heads)
        return added

    def _places(self, people: int, query: Tensor, kinds: Sequence[int]) -> Iterator[tuple[slice, Tensor]]:
        """Conditional rows, and who has which spot of them, (people, rows, spots)."""
        for decision, first in self.told:
            yield slice(first, first + decision.shape[-2]), shares_of(decision, people)
        if not self.told:  # there is nobody to choose from
            for run in runs(kinds, len(query)):
                if run.kind == COND:
                    everywhere = query.new_full((people, *query[run.rows].shape[:2]), 1 / people)
                    yield run.rows, everywhere

    def modules(self, addition: Addition) -> tuple[StandIn, ...]:
        """What stands in for modules of the layer during a call."""
        own = (self.queries, self.output)
        return own if addition.words is None else (*own, *self.scene)

    def tell(self) -> None:
        """Let who wants to know hear of the layer's last run, of every row of the call once."""
        record, size = self.addition.record, self.addition.count // len(self.addition.kinds)
        if self.origins is None:
            for decision, first in self.told:
                record(decision, first)
            return
        rows: dict[int | None, Tensor] = {}
        for decision, first in self.told:
            for number, row in enumerate(self.origins[first : first + decision.shape[-2]]):
                rows.setdefault(row, decision[..., number : number + 1, :])
        for first in range(0, self.addition.count, size):
            part = range(first, first + size)
            if rows.keys() >= set(part):
                record(torch.cat([rows[row] for row in part], dim=-2), first)


@contextmanager
def adding(sites: Sequence[Site], addition: Addition) -> Iterator[None]:
    """Let the layers make an addition, for the time of a UNet call."""
    for site in sites:
        site.addition, site.worked, site.told = addition, False, []
    try:
        with standing_in([module for site in sites for module in site.modules(addition)]):
            yield
        if addition.record is not None:
            for site in sites:
                site.tell()
    finally:
        for site in sites:
            site.addition = site.x = site.query = site.origins = None
            site.told = []
            for module in site.scene:
                module.output = None


def _spare_first(before: Tensor, after: Tensor, pictures: int) -> Tensor:
    """`after`, but with the rows of each part's first picture from `before`; both (rows, spots, channels)."""
    before, after = (t.unflatten(0, (-1, pictures)) for t in (before, after))
    return torch.cat((before[:, :1], after[:, 1:]), dim=1).flatten(0, 1)


def _spare(before: Tensor, after: Tensor, origins: Origins, pictures: int | None) -> Tensor:
    """`after`, but from `before` the copies of first pictures, and rows that are no copies."""
    spared = [row is None or (pictures is not None and row % pictures == 0) for row in origins]
    if not any(spared):
        return after
    return torch.cat([(before if own else after)[i : i + 1] for i, own in enumerate(spared)])


class _Queries(StandIn):
    """In place of `to_q`."""

    def __init__(self, attention: nn.Module, site: Site):
        super().__init__(attention, "to_q")
        self.site = site

    def forward(self, x: Tensor) -> Tensor:
        query = self.taken(x)
        self.site.x, self.site.query = x, query
        return query


class _Scene(StandIn):
    """In place of `to_k` or `to_v`: keeps what it makes of the scene's words."""

    def __init__(self, attention: nn.Module, name: str):
        super().__init__(attention, name)
        self.output: Tensor | None = None

    def forward(self, text: Tensor) -> Tensor:
        self.output = self.taken(text)
        return self.output


class _Output(StandIn):
    """In place of `to_out`."""

    def __init__(self, attention: nn.Module, site: Site):
        super().__init__(attention, "to_out")
        self.site = site

    def forward(self, hidden: Tensor) -> Tensor:
        return self.taken(self.site.add(hidden))
