"""Taking a cross-attention layer for the time of one UNet call.

While a layer is taken, two modules of ours stand in for its `to_q` and its `to_out`. The first keeps the layer's input
and queries, the second adds ID attention to the attention output before the output projection. The host calls both
whether or not another pack replaced the attention between them.

They are modules and not hooks because of torch.compile: it never looks again for hooks in a UNet that it has compiled
without them, but does notice that a module is another one. What the modules hold are inputs to what it compiles, so
other people need no new compilation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...uniportrait_core.attention.id_attention import IDAttention, Record


@dataclass(frozen=True)
class Addition:
    """What one UNet call adds to its layers.

    Attributes:
        layers: ID attention by number of the layer, on a device in a dtype.
        kinds: as for ID attention.
        shares: the regions' shares for some queries, where people have region masks.
        record: told who has each spot, if anybody wants to know.
        pictures: of each part, if the first of them is a reference, to which nothing is added.
    """

    layers: Callable[[torch.device, torch.dtype], Mapping[int, IDAttention]]
    kinds: Sequence[int]
    shares: Callable[[Tensor], Tensor] | None = None
    record: Record | None = None
    pictures: int | None = None


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
    """A cross-attention layer (`attn2`) that can be taken and given back."""

    def __init__(self, attention: nn.Module, index: int):
        self.index = index
        self.queries, self.output = _Queries(attention, self), _Output(attention, self)
        self.addition: Addition | None = None
        self.x: Tensor | None = None
        self.query: Tensor | None = None
        self.worked = False

    def add(self, hidden: Tensor) -> Tensor:
        """`hidden` with ID attention; as it is where the layer's queries were not made by `to_q`."""
        x, query, addition = self.x, self.query, self.addition
        if query is None:
            return hidden
        self.x = self.query = None
        self.worked = True
        shares = None if addition.shares is None else addition.shares(query)
        layer = addition.layers(query.device, query.dtype)[self.index]
        added = layer(hidden, x, query, addition.kinds, shares, addition.record)
        if addition.pictures is None:
            return added
        return _spare_first(hidden, added, len(addition.kinds), addition.pictures)


@contextmanager
def taken(sites: Sequence[Site], addition: Addition) -> Iterator[None]:
    """Let the layers make an addition, for the time of a UNet call."""
    for site in sites:
        site.addition, site.worked = addition, False
    try:
        with standing_in([module for site in sites for module in (site.queries, site.output)]):
            yield
    finally:
        for site in sites:
            site.addition = site.x = site.query = None


def _spare_first(before: Tensor, after: Tensor, parts: int, pictures: int) -> Tensor:
    """`after`, but with the rows of each part's first picture from `before`; both (rows, spots, channels)."""
    before, after = (t.unflatten(0, (parts, pictures, -1)) for t in (before, after))
    return torch.cat((before[:, :1], after[:, 1:]), dim=1).flatten(0, 2)


class _Queries(StandIn):
    """In place of `to_q`."""

    def __init__(self, attention: nn.Module, site: Site):
        super().__init__(attention, "to_q")
        self.site = site

    def forward(self, x: Tensor) -> Tensor:
        query = self.taken(x)
        self.site.x, self.site.query = x, query
        return query


class _Output(StandIn):
    """In place of `to_out`."""

    def __init__(self, attention: nn.Module, site: Site):
        super().__init__(attention, "to_out")
        self.site = site

    def forward(self, hidden: Tensor) -> Tensor:
        return self.taken(self.site.add(hidden))
