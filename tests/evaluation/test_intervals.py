"""Bootstrap intervals: what they are of, and how often they hold the truth."""

from itertools import combinations

import numpy as np
import pytest

from evaluation.metrics.bootstrap import (
    Units,
    expanded_quantiles,
    mean_with_interval,
    resampled_weights,
    statistic_with_interval,
    units_of,
)

RUNS, RESAMPLES = 300, 400


def people(count: int) -> list[tuple[str, ...]]:
    return [(f"{number:02}",) for number in range(count) for _ in range(12)]


def pairs(count: int) -> list[tuple[str, ...]]:
    return [(f"{a:02}", f"{b:02}") for a, b in combinations(range(count), 2) for _ in range(4)]


def coverage(pictures: list[tuple[str, ...]], spread: float, units: Units | None = None) -> float:
    """How often the interval of a made-up metric holds its true mean, 0.5."""
    draw, hits = np.random.default_rng(7), 0
    names = sorted({name for picture in pictures for name in picture})
    for _ in range(RUNS):
        ease = dict(zip(names, draw.normal(0, spread, len(names)), strict=True))
        values = [0.5 + sum(ease[name] for name in picture) + draw.normal(0, 0.1) for picture in pictures]
        found = mean_with_interval(values, units or units_of(pictures), RESAMPLES)
        hits += found.low <= 0.5 <= found.high
    return hits / RUNS


@pytest.mark.parametrize(
    ("pictures", "least"),
    [(people(15), 0.91), (pairs(8), 0.9), (people(5), 0.86)],  # five people have too few different resamples
    ids=["15 people", "28 pairs", "5 people"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(pictures, least):
    assert least <= coverage(pictures, spread=0.1) <= 0.985


def test_pictures_of_one_person_are_not_independent():
    """Why people are drawn: intervals from drawing pictures are far too narrow."""
    pictures = people(15)
    alone = Units(len(pictures), tuple((number,) for number in range(len(pictures))))
    assert coverage(pictures, spread=0.1, units=alone) < 0.65


def test_pictures_are_drawn_where_there_are_few_people():
    assert units_of(people(4)).count == 48 and units_of(people(5)).count == 5
    assert units_of([("a",), ()] * 9).count == 18, "nobody knows who is in some"
    assert coverage(people(1), spread=0.0) == pytest.approx(0.95, abs=0.05)


def test_a_picture_counts_as_often_as_its_people_are_drawn_together():
    units = units_of(pairs(6))
    weights, group = resampled_weights(units, 20)
    drawn = np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), size=20)
    for picture, (one, other) in enumerate(units.of):
        np.testing.assert_array_equal(weights[:, group[picture]], drawn[:, one] * drawn[:, other])


def test_with_somebody_who_is_in_all_pictures_it_is_the_others_who_are_drawn():
    beside = [("00", f"{number:02}") for number in range(1, 8) for _ in range(4)]
    assert units_of(beside, "00") == units_of([picture[1:] for picture in beside]) and units_of(beside, "00").count == 7
    assert units_of(beside[:16], "00").count == 16, "four others are too few"
    assert units_of(people(1), "00").count == 12


def test_a_mean():
    pictures = people(6)
    found = mean_with_interval([0.25] * len(pictures), units_of(pictures), 50)
    assert (found.value, found.low, found.high, found.count) == (0.25, 0.25, 0.25, 72)
    assert np.isnan(mean_with_interval([], units_of([]), 50).value)
    single = mean_with_interval([0.5], units_of([("a",)]), 50)
    assert (single.value, single.low) == (0.5, None)


def test_few_people_make_wide_intervals():
    low, high = expanded_quantiles(15)
    assert low == pytest.approx(1 - high) and low == pytest.approx(0.0132, abs=1e-3)
    assert expanded_quantiles(10_000)[0] == pytest.approx(0.025, abs=1e-3)


def test_the_interval_of_a_statistic_is_around_it_and_as_wide_as_its_spread():
    """The mean as the statistic, whose spread is known; a bias of the resamples changes nothing."""
    draw = np.random.default_rng(3)
    values = draw.normal(0, 1, 400)
    units = Units(400, tuple((number,) for number in range(400)))

    def mean(weights: np.ndarray) -> float:
        return float(weights @ values / weights.sum()) + 5

    found = statistic_with_interval(2.0, mean, units, 300)
    assert found.value == 2.0 and found.high - 2 == pytest.approx(2 - found.low)
    assert found.high - 2 == pytest.approx(1.96 / 20, rel=0.15)
    assert statistic_with_interval(2.0, mean, units, 0).low is None
    assert statistic_with_interval(0.01, mean, units, 300).low == 0, "no distance is below 0"
