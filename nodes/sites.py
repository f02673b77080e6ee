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

from ..uniportrait_core.attention import IDAttention, Record
from .reference import spare_reference


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


class Site:
    """A cross-attention layer (`attn2`) that can be taken and given back."""

    def __init__(self, attention: nn.Module, index: int):
        self.attention, self.index = attention, index
        self.queries, self.output = _Queries(self), _Output(self)
        self.addition: Addition | None = None
        self.x: Tensor | None = None
        self.query: Tensor | None = None
        self.worked = False

    def take(self, addition: Addition) -> None:
        """Stand in for the layer's `to_q` and `to_out`."""
        attention = self.attention
        self.queries.taken, self.output.taken = attention.to_q, attention.to_out
        attention.to_q, attention.to_out = self.queries, self.output
        self.addition, self.worked = addition, False

    def give_back(self) -> None:
        """Undo `take`; in the reverse order where a layer was taken twice."""
        self.attention.to_q, self.attention.to_out = self.queries.taken, self.output.taken
        self.queries.taken = self.output.taken = self.addition = self.x = self.query = None

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
        return spare_reference(hidden, added, len(addition.kinds), addition.pictures)


@contextmanager
def taken(sites: Sequence[Site], addition: Addition) -> Iterator[None]:
    """Take the layers, and give them back whatever happens."""
    count = 0
    try:
        for site in sites:
            site.take(addition)
            count += 1
        yield
    finally:
        for site in sites[:count]:
            site.give_back()


class _Queries(nn.Module):
    """In place of `to_q`."""

    def __init__(self, site: Site):
        super().__init__()
        self.site, self.taken = site, None

    def forward(self, x: Tensor) -> Tensor:
        query = self.taken(x)
        self.site.x, self.site.query = x, query
        return query

    @property
    def weight(self) -> Tensor:
        """For packs that look at it during the call."""
        return self.taken.weight


class _Output(nn.Module):
    """In place of `to_out`."""

    def __init__(self, site: Site):
        super().__init__()
        self.site, self.taken = site, None

    def forward(self, hidden: Tensor) -> Tensor:
        return self.taken(self.site.add(hidden))

    def __getitem__(self, index: int) -> nn.Module:
        """For packs that look at it during the call."""
        return self.taken[index]
