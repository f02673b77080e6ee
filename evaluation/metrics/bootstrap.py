"""How sure a mean is: 95 % intervals by the bootstrap, with people as what is drawn anew.

Pictures of one person are not independent: forty prompts for somebody who is easy to draw are all good. So it is people
who are drawn, with replacement, and a picture counts as often as all its people were drawn together (for pairs this is
the bootstrap of a U-statistic). Where there are fewer than `FEWEST` people, pictures are drawn.

A percentile interval of few people is too narrow. The percentiles are moved outwards as Student's t asks for (the
expanded percentile interval of Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 5.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

LEVEL = 0.95
FEWEST = 5  # people
RESAMPLES = 2000
SEED = 0  # the same table from the same pictures


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, None where it has none."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int = 0  # pictures that it is of


@dataclass(frozen=True)
class Units:
    """What is drawn anew.

    Attributes:
        count: how many there are.
        of: for each picture the numbers of those that it depends on.
    """

    count: int
    of: tuple[tuple[int, ...], ...]


def units_of(people: Sequence[tuple[str, ...]], all_of: str | None = None) -> Units:
    """The units of pictures with these people: the people, or each picture where they are too few.

    Args:
        people: of each picture that has a value.
        all_of: somebody who is in all of them, and is not drawn anew: then it is the others who are.
    """
    people = [tuple(name for name in picture if name != all_of) for picture in people]
    names = sorted({name for picture in people for name in picture})
    if len(names) < FEWEST or not all(people):
        return Units(len(people), tuple((number,) for number in range(len(people))))
    places = {name: place for place, name in enumerate(names)}
    return Units(len(names), tuple(tuple(places[name] for name in picture) for picture in people))


def resampled_weights(units: Units, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """How often pictures count in each resample.

    Returns:
        Of each group of units that pictures depend on, (resamples, groups), and each picture's group, (pictures,).
    """
    drawn = np.random.default_rng(SEED).multinomial(units.count, np.full(units.count, 1 / units.count), size=resamples)
    groups = {group: number for number, group in enumerate(sorted(set(units.of)))}
    weights = np.stack([np.prod(drawn[:, list(group)], axis=1) for group in groups], axis=1)
    return weights, np.array([groups[group] for group in units.of])


def mean_with_interval(values: Sequence[float], units: Units, resamples: int) -> Estimate:
    """The mean of a metric.

    Args:
        values: one per picture.
        units: of these pictures.
        resamples: 0 for no interval.
    """
    numbers = np.array(values, np.float64)
    if not len(numbers):
        return Estimate(float("nan"))
    mean = float(numbers.mean())
    if units.count < 2 or not resamples:
        return Estimate(mean, count=len(numbers))
    weights, group = resampled_weights(units, resamples)
    sums, totals = weights @ np.bincount(group, numbers), weights @ np.bincount(group)
    means = sums[totals > 0] / totals[totals > 0]  # a resample may hold nobody who is drawn together
    low, high = np.quantile(means, expanded_quantiles(units.count))
    return Estimate(mean, float(low), float(high), len(numbers))


def expanded_quantiles(count: int) -> tuple[float, float]:
    """The percentiles, 0..1, that make an interval of `LEVEL` from resamples of so many units."""
    reach = spread_factor(count)
    return float(norm.cdf(-reach)), float(norm.cdf(reach))


def spread_factor(count: int) -> float:
    """How many standard deviations of the resamples an interval reaches to each side."""
    return float(np.sqrt(count / (count - 1)) * t.ppf((1 + LEVEL) / 2, count - 1))


def statistic_with_interval(
    value: float, statistic: Callable[[np.ndarray], float], units: Units, resamples: int
) -> Estimate:
    """A distance that resampling moves to one side, as FID, with an interval that is symmetric but not below 0.

    FID is higher of a resample than of the pictures, as a resample holds fewer different ones. So it is the spread of
    the resamples that counts, and not where they are.

    Args:
        value: of all pictures.
        statistic: of pictures that count as often as the weights, (pictures,), say.
        units: of the pictures.
        resamples: 0 for no interval.
    """
    if resamples < 2 or units.count < 2:
        return Estimate(value, count=len(units.of))
    weights, group = resampled_weights(units, resamples)
    found = [statistic(row[group]) for row in weights if row[group].sum() > 1]
    reach = spread_factor(units.count) * np.std(found, ddof=1)
    return Estimate(value, max(value - float(reach), 0.0), value + float(reach), len(units.of))
