"""Whose copy each row of a cross-attention layer is, where another pack repeats rows.

Packs for regional prompts let an `attn2_patch` give back more rows than it is given, a copy for each region, in an
order of their own, and an `attn2_output_patch` join them behind the layer. So for the time of a UNet call each
`attn2_patch` is watched. One that has changed the number of rows is run once more, on rows that differ from one
another, and what it gives back says which of them is a copy of which. The rows of a call cannot say so themselves: in
the first layer those of both prompts are equal.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

KEY = "uniportrait_rows"  # in transformer_options: the `Rows` of a call
PATCH = "attn2_patch"

Origins = tuple[int | None, ...]
"""For each row the row that it is a copy of; None where it is none."""

logger = logging.getLogger("uniportrait")


class Rows:
    """The rows of the layer that is running.

    Attributes:
        origins: by rows of the call; None where they are the call's own.
    """

    def __init__(self, node: str):
        """`node` is the title of the node that wants to know, for messages."""
        self.node = node
        self.origins: Origins | None = None
        self.known: dict[tuple, tuple[Callable, Origins]] = {}  # for one sampling; with the patch its id stays its own
        self.warned = False

    def __len__(self) -> int:
        """How much it knows of the sampling; nothing between two."""
        return len(self.known)

    def clear(self) -> None:
        """Forget what belongs to one sampling."""
        self.origins, self.warned = None, False
        self.known.clear()

    @torch.compiler.disable
    def follow(self, patch: Callable, count: int, query: Tensor, *others: Any) -> None:
        """Take note of what a patch has made `count` rows of; the arguments behind are those that it was given."""
        options = others[-1]
        asked = (tuple(options.get(key) or ()) for key in ("block", "cond_or_uncond", "uuids"))
        key = (id(patch), count, tuple(query.shape), options.get("block_index"), *asked)
        if key not in self.known:
            self.known[key] = patch, copied_from(patch, query, *others)
        origins, before = self.known[key][1], self.origins
        if before is not None:
            origins = tuple(None if row is None else before[row] for row in origins)
        self.origins = origins
        if None in origins:
            self.say_that_some_are_nobodys()

    @torch.compiler.disable
    def say_that_some_are_nobodys(self) -> None:
        if not self.warned:
            self.warned = True
            logger.warning(
                "%s adds nothing to some rows: another node changes the U-Net's rows, and it cannot be told to which "
                "prompt and picture they belong. Take that node away.",
                self.node,
            )


@dataclass(frozen=True)
class _Watched:
    """An `attn2_patch` in whose place it is called."""

    patch: Callable
    rows: Rows
    first: bool  # of the patches of a layer

    def __call__(self, query: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
        if self.first:
            self.rows.origins = None
        given = self.patch(query, *others)
        if len(given[0]) != len(query):
            self.rows.follow(self.patch, len(given[0]), query, *others)
        return given


def watched(options: dict[str, Any], rows: Rows) -> tuple[dict[str, Any], Rows]:
    """A call's options in which every `attn2_patch` is watched, and who watches: `rows`, or who does already.

    Where there is no such patch the options are as they were.
    """
    rows.origins = None
    patches = options.get("patches", {})
    if KEY in options or not patches.get(PATCH):
        return options, options.get(KEY, rows)
    ours = [_Watched(patch, rows, first=number == 0) for number, patch in enumerate(patches[PATCH])]
    return {**options, KEY: rows, "patches": {**patches, PATCH: ours}}, rows


def copied_from(patch: Callable, query: Tensor, context: Tensor, value: Tensor, options: dict[str, Any]) -> Origins:
    """Which of the rows that it is given an `attn2_patch` copies to where.

    Args:
        patch: is called once more; what it does to its arguments is of no consequence.
        query, context, value: what it was given, (rows, spots, channels) and (rows, tokens, channels).
        options: likewise.
    """
    marks = torch.rand(len(query), 1, query.shape[-1], generator=torch.Generator().manual_seed(0)).to(query)
    found, *_ = patch(marks.expand_as(query).clone(), context.clone(), value.clone(), dict(options))
    if found.shape[1:] != query.shape[1:]:
        return (None,) * len(found)
    same = torch.stack([(found == mark).flatten(1).all(dim=1) for mark in marks], dim=1)
    return tuple(row.index(True) if True in row else None for row in same.tolist())


def by_row(things: Tensor, rows: Sequence[int], dim: int) -> Tensor:
    """Those rows of a tensor, in that order, without an index on the device."""
    return torch.cat([things.narrow(dim, row, 1) for row in rows], dim=dim)
