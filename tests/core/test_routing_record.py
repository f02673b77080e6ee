"""The record of routing, and what is read from it."""

import pytest
import torch
import torch.nn.functional as F

from uniportrait_core.errors import UniPortraitError
from uniportrait_core.results.drawing import COLOURS, draw_routing
from uniportrait_core.results.routing_report import choose_steps, maps_of, report_picture
from uniportrait_core.routing.record import MOST_SAMPLINGS, RoutingRecord

LATENT = (8, 12)


def one_hot(owners: torch.Tensor, people: int = 3) -> torch.Tensor:
    """Shares (people, 1, spots) where each spot of a map is one person's."""
    return F.one_hot(owners.flatten(), people).T[:, None]


def test_levels_keep_their_order_and_average_over_layers():
    record = RoutingRecord()
    fine, coarse = torch.zeros(LATENT, dtype=torch.long), torch.ones(4, 6, dtype=torch.long)
    coarse[:, :3] = 0
    record.add(14.0, one_hot(fine), LATENT, LATENT)
    record.add(14.0, one_hot(coarse), (4, 6), LATENT)
    record.add(7.0, one_hot(fine + 2), LATENT, LATENT)
    record.finish()
    first, second = record.maps()
    assert first.shape == (1, 3, *LATENT)
    assert (first[0, 0, :, :6] == 1).all() and (first[0, 0, :, 6:] == 0.5).all() and (first[0, 1, :, 6:] == 0.5).all()
    assert (second[0, 2] == 1).all()
    record.begin()
    assert record.maps() == []


def test_samplings_are_kept_by_name_and_the_last_is_what_is_asked_for_without():
    record = RoutingRecord()
    for number in range(MOST_SAMPLINGS + 2):
        record.begin(f"sampling {number}")
        record.add(1.0, one_hot(torch.full(LATENT, number % 3)), LATENT, LATENT)
        record.finish()
    last = (MOST_SAMPLINGS + 1) % 3

    def whose(*names: str) -> int:
        (level,) = record.maps(names)
        return int(level[0].mean(dim=(1, 2)).argmax())

    assert whose() == whose("unknown") == last
    assert [whose("unknown", f"sampling {number}", "sampling 3") for number in (2, 4)] == [2, 1]
    assert record.is_gone(["unknown", "sampling 1"]) and not record.is_gone(["unknown", "sampling 2"])
    assert not record.is_gone([]) and not record.is_gone(["sampling 2", "sampling 1"])
    with pytest.raises(UniPortraitError, match="is from an earlier run .* its record had to make room for 8 later"):
        maps_of(record, 1, ["sampling 1"])
    record.begin("sampling 5")
    assert record.maps() == record.maps(["sampling 5"]) == []
    record.forget("sampling 5")
    assert whose() == whose("sampling 5") == last


def test_calls_that_see_parts_of_the_picture_make_one_map():
    record = RoutingRecord()
    left, right = torch.zeros(8, 6, dtype=torch.long), torch.ones(8, 6, dtype=torch.long)
    record.add(1.0, one_hot(left), (8, 6), LATENT, (0.0, 0.0, 1.0, 0.5))
    record.add(1.0, one_hot(right), (8, 6), LATENT, (0.0, 0.5, 1.0, 1.0))
    (level,) = record.maps()
    assert (level[0, 0, :, :6] == 1).all() and (level[0, 1, :, 6:] == 1).all() and level.sum() == 8 * 12


def test_people_who_have_a_spot_together_share_it_and_nobodys_spots_stay_empty():
    record = RoutingRecord()
    shares = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    record.add(1.0, shares, (1, 2), (1, 2))
    (level,) = record.maps()
    assert level[0].tolist() == [[[0.5, 0.0]], [[0.5, 0.0]]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("average", [[0, 1, 2, 3]]),
        ("", [[0, 1, 2, 3]]),
        (" Each ", [[0], [1], [2], [3]]),
        ("2", [[1]]),
        ("1, 3-4", [[0], [2], [3]]),
    ],
)
def test_steps_are_chosen(text, wanted):
    assert choose_steps(text, 4) == wanted


@pytest.mark.parametrize("text", ["0", "5", "3-2", "last", "1;2", "-1", "2-9", "1.5"])
def test_steps_that_there_are_not(text):
    with pytest.raises(UniPortraitError, match="needed are numbers from 1 to 4.*Change steps on Routing Map"):
        choose_steps(text, 4)


def halves() -> torch.Tensor:
    """Person 1 has the left half, person 2 the right, person 3 nothing."""
    shares = torch.zeros(3, 10, 20)
    shares[0, :, :10] = shares[1, :, 10:] = 1
    return shares


def test_shares_of_the_picture():
    report = report_picture(halves(), [], 0.05)
    assert report.picture == (0.5, 0.5, 0.0)
    assert report.faces is None and report.owners == () and report.missing == (2,)


def test_shares_of_faces():
    faces = [(0.0, 0.0, 0.5, 0.25), (0.0, 0.5, 0.2, 0.75)]  # 25 spots of person 1, 10 of person 2
    report = report_picture(halves(), faces, 0.3)
    assert report.faces == pytest.approx((25 / 35, 10 / 35, 0))
    assert report.owners == ((0, 1.0), (1, 1.0)) and report.missing == (1, 2)


def test_faces_at_the_edge_and_smaller_than_a_spot():
    for face in ((-0.2, -0.2, 0.01, 0.01), (0.42, 0.11, 0.421, 0.111)):
        assert report_picture(halves(), [face], 0.05).owners == ((0, 1.0),)
    assert report_picture(halves(), [(0.9, 0.96, 1.3, 1.4)], 0.05).owners == ((1, 1.0),)


def test_the_picture_is_drawn_in_everybodys_colour():
    picture = torch.randint(0, 256, (64, 128, 3), dtype=torch.uint8).numpy()
    drawn = draw_routing(picture, halves().numpy(), [], 1.0)
    assert (drawn[:, :50] == COLOURS[0]).all() and (drawn[:, -50:] == COLOURS[1]).all()
    assert (draw_routing(picture, halves().numpy(), [], 0.0) == picture).all()
    half = draw_routing(picture, halves().numpy(), [], 0.5)[:, :50].astype(int)
    assert abs(half - (picture[:, :50].astype(int) + COLOURS[0]) / 2).max() <= 1
    assert (draw_routing(picture, halves().numpy() * 0, [], 1.0) == picture).all()  # nobody's


def test_the_legend_names_everybody():
    picture = torch.zeros(640, 640, 3, dtype=torch.uint8).numpy()
    drawn = draw_routing(picture, halves().numpy() * 0, ["person 1", "person 2", "person 3"], 0.5)
    for number in range(3):
        plate = drawn[28 * number : 28 * (number + 1), :150]
        assert (plate == COLOURS[number]).all(-1).mean() > 0.3
    assert not drawn[:, 200:].any()
