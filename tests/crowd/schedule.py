"""What the crowd does, one thing after the other: all of it follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .graphs import KINDS, WITHOUT_MEMORY, Order

QUEUE, INTERRUPT, DELETE, UNLOAD, FREE, WAIT, CALM = "queue", "interrupt", "delete", "unload", "free", "wait", "calm"
WEIGHTS = {QUEUE: 60, WAIT: 12, INTERRUPT: 9, DELETE: 8, UNLOAD: 4, FREE: 2}
BETWEEN_CALMS = 40  # actions
SHARE_WITHOUT_MEMORY = 0.25
MOST_ALLOCATIONS = 3000  # in a node; where it needs fewer it finishes


@dataclass(frozen=True)
class Action:
    """
    Attributes:
        what: to do.
        who: does it, a number.
        order: what to queue.
        share: which prompt in the queue, from the first, 0, to the last, 1; or how long to wait.
    """

    what: str
    who: int = 0
    order: Order | None = None
    share: float = 0.0


def actions(seed: int, visitors: int, kinds: Sequence[str] = tuple(KINDS), most_seeds: int = 2) -> Iterator[Action]:
    """An endless list of things to do.

    Args:
        seed: of the dice.
        visitors: how many there are to do them.
        kinds: of graphs.
        most_seeds: of samplers; together with the kinds they say how many different orders there are.
    """
    dice, number = random.Random(seed), 0
    while True:
        for _ in range(BETWEEN_CALMS):
            (what,) = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
            who, share, number = dice.randrange(visitors), dice.random(), number + 1
            order = _order(dice, kinds, most_seeds, number) if what == QUEUE else None
            yield Action(what, who, order, share)
        yield Action(CALM)


def _order(dice: random.Random, kinds: Sequence[str], most_seeds: int, number: int) -> Order:
    kind, seed, other = dice.choice(kinds), dice.randint(1, most_seeds), dice.randint(0, 1)
    memory = None
    if dice.random() < SHARE_WITHOUT_MEMORY and kind in WITHOUT_MEMORY:
        # Early allocations as often as late ones.
        memory = dice.choice(WITHOUT_MEMORY[kind]), round(MOST_ALLOCATIONS ** dice.random())
    # Some run anew, some find all in the cache, or a part.
    again = number if kind == "saved" or memory else dice.choice((0, 0, number))
    return Order(kind, seed, other, again, memory)
