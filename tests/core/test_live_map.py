"""The small map of one step: what a record of the same decisions has, at little cost."""

import pytest
import torch

from uniportrait_core.results.routing_report import likely_missing
from uniportrait_core.routing.live_map import Decision, Place, live_map, map_size
from uniportrait_core.routing.record import RoutingRecord, shares_of

PEOPLE = 3
LEFT, RIGHT = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)


def winners(grid, rows=2, layers=2, seed=0):
    """What some layers of a grid decide, without region masks."""
    chance = torch.Generator().manual_seed(seed + grid[0])
    return [torch.randint(PEOPLE, (rows, grid[0] * grid[1]), generator=chance) for _ in range(layers)]


def shares(grid):
    """The same with masks: two of them have the upper half together, nobody the last spot."""
    map_ = torch.zeros(PEOPLE, 1, *grid)
    map_[:2, :, : grid[0] // 2], map_[2, :, grid[0] // 2 :] = 1, 0.5
    map_[..., -1, -1] = 0
    return [map_.flatten(2).half()] * 2


def recorded(decisions):
    record = RoutingRecord()
    for decision in decisions:
        row, place = slice(decision.row, decision.row + 1), decision.place
        told = shares_of(decision.rows[..., row, :], PEOPLE)
        record.add(1.0, told, place.grid, place.latent, place.window)
    (level,) = record.maps()
    return level[0]


def at(grids, latent, make=winners, row=1, window=None):
    places = [Place(grid, latent, window) if window else Place(grid, latent) for grid in grids]
    return [Decision(told, row, place) for place in places for told in make(place.grid)]


@pytest.mark.parametrize(
    "decisions",
    [
        at([(16, 24), (8, 12), (4, 6)], (16, 24)),
        at([(9, 5), (5, 3)], (9, 5), row=0),
        at([(8, 8), (4, 4)], (8, 8), shares, row=0),
        at([(8, 6)], (8, 12), window=LEFT) + at([(8, 6), (4, 3)], (8, 12), window=RIGHT),
        at([(8, 6)], (8, 12), window=RIGHT),
    ],
    ids=["several grids", "odd sides", "masks", "two windows", "a part of the picture"],
)
def test_it_is_what_a_record_has(decisions):
    map_ = live_map(decisions, PEOPLE)
    assert map_.dtype == torch.uint8
    assert (map_ / 255 - recorded(decisions)).abs().max() <= 0.5 / 255 + 1e-6


def test_large_pictures_have_a_map_of_64_spots():
    decisions = at([(128, 96), (64, 48)], (128, 96))
    map_ = live_map(decisions, PEOPLE)
    assert map_size((128, 96)) == tuple(map_.shape[1:]) == (64, 48)
    whole = torch.nn.functional.avg_pool2d(recorded(decisions)[None], 2)[0]
    assert (map_ / 255 - whole).abs().max() <= 0.5 / 255 + 1e-6
    assert map_size((8, 1000)) == (1, 64) and map_size((64, 64)) == (64, 64)


def test_who_is_about_to_be_missing():
    assert likely_missing([]) == likely_missing([(1.0, 0.0)]) == ()  # one step says little
    assert likely_missing([(0.97, 0.03), (0.999, 0.001)]) == (1,)
    assert likely_missing([(0.999, 0.001), (0.95, 0.05)]) == ()
    assert likely_missing([(0.01, 0.0, 0.0), (0.01, 0.01, 0.0)]) == (2,)  # of what all have together
    assert likely_missing([(0.0, 0.0)] * 2) == ()
