"""Random choices that are the same for a seed in every version of Python."""

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws from a seed. All is built on `Random.random`, whose sequence Python promises to keep."""

    def __init__(self, *seed: str | int):
        self._next = random.Random(" ".join(map(str, seed))).random

    def between(self, low: float, high: float) -> float:
        """Evenly spread."""
        return low + (high - low) * self._next()

    def bell(self, low: float, high: float) -> float:
        """Mostly near the middle, never outside."""
        return low + (high - low) * (self._next() + self._next() + self._next()) / 3

    def chance(self, share: float) -> bool:
        return self._next() < share

    def one_of(self, options: Sequence[T]) -> T:
        return options[int(self._next() * len(options))]

    def weighted(self, options: Mapping[T, float]) -> T:
        """A key, as often as its value says in relation to the others."""
        left = self._next() * sum(options.values())
        for option, weight in options.items():
            left -= weight
            if left < 0:
                return option
        return next(reversed(options))

    def shuffled(self, options: Sequence[T]) -> list[T]:
        return [option for _, option in sorted(((self._next(), index), option) for index, option in enumerate(options))]
