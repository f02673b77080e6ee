"""Region masks: the published rule, its extension to masks for some people only, and layers' grids."""

from math import ceil

import pytest
import torch
import torch.nn.functional as F

import recipe
from uniportrait_core.routing.regions import grid_size, region_shares

SIZE = (12, 8)


def masks(count: int, height: int = 96, width: int = 64) -> list[torch.Tensor]:
    return list(recipe.noise("regions", (count, height, width)).abs().clamp(0, 1))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_masks_for_all_follow_the_published_rule(count):
    given = masks(count)
    given[0][:32] = 0
    maps = F.interpolate(torch.stack(given)[None].double(), scale_factor=1 / 8, mode="bilinear")
    wanted = (maps / maps.sum(1, keepdim=True).clip(min=1e-3)).flatten(2)[0]
    assert recipe.relative_error(region_shares(given, SIZE), wanted) <= 1e-6


def test_a_spot_that_no_mask_covers_is_nobodys():
    shares = region_shares([torch.zeros(16, 16), torch.zeros(16, 16)], (4, 4))
    assert torch.equal(shares, torch.zeros(2, 16))


def test_a_person_without_mask_gets_what_remains():
    left = torch.zeros(16, 16)
    left[:, :8] = 1
    shares = region_shares([left, None], (4, 4)).unflatten(1, (4, 4))
    assert torch.equal(shares[0][:, :2], torch.ones(4, 2)) and torch.equal(shares[1][:, :2], torch.zeros(4, 2))
    assert torch.equal(shares[0][:, 2:], torch.zeros(4, 2)) and torch.equal(shares[1][:, 2:], torch.ones(4, 2))


def test_a_weak_mask_is_a_weak_claim_beside_people_without_one():
    shares = region_shares([torch.full((8, 8), 0.25), None, None], (4, 4))
    assert torch.equal(shares, torch.tensor([0.25, 0.75, 0.75])[:, None].expand(3, 16))


def test_masks_that_overlap_divide_a_spot_and_leave_nothing():
    shares = region_shares([torch.ones(8, 8), None, torch.ones(8, 8)], (4, 4))
    assert torch.equal(shares, torch.tensor([0.5, 0.0, 0.5])[:, None].expand(3, 16))


@pytest.mark.parametrize("free", [0, 1, 2])
def test_shares_of_a_spot_add_up_to_one(free):
    given = [*(mask.clamp(min=0.01) for mask in masks(3)), *[None] * free]
    shares = region_shares(given, SIZE)
    total = shares[:3].sum(0) + (shares[3] if free else 0)
    assert torch.allclose(total, torch.ones_like(total))
    assert all(torch.equal(shares[3], other) for other in shares[3:])


def test_masks_may_be_of_different_sizes():
    big, small = region_shares([torch.ones(512, 512), torch.ones(7, 9)], SIZE)
    assert torch.equal(big, small) and torch.equal(big, torch.full((96,), 0.5))


def test_a_window_has_its_part_of_the_masks():
    given = [*masks(2), None]
    whole = region_shares(given, SIZE).unflatten(1, SIZE)
    for (top, left, bottom, right), part in (
        ((0.5, 0.0, 1.0, 1.0), whole[:, 6:]),
        ((0.25, 0.5, 0.75, 0.75), whole[:, 3:9, 4:6]),
    ):
        assert (
            recipe.relative_error(region_shares(given, part.shape[1:], (top, left, bottom, right)), part.flatten(1))
            <= 1e-6
        )


def test_a_window_finer_than_the_mask_has_one_pixel_of_it():
    mask = torch.tensor([[0.0, 1.0]])
    assert torch.equal(region_shares([mask, None], (2, 2), (0.9, 0.9, 1.0, 1.0))[0], torch.ones(4))
    assert torch.equal(region_shares([mask, None], (2, 2), (0.0, 0.0, 0.1, 0.1))[0], torch.zeros(4))


def test_grids_of_every_depth_are_found():
    """The UNet halves the latent three times, rounding up."""
    for latent in ((64, 64), (96, 64), (64, 96), (33, 65), (128, 40), (57, 99), (8, 8), (9, 130), (127, 129)):
        height, width = latent
        for _ in range(4):
            assert grid_size(height * width, *latent) == (height, width)
            height, width = ceil(height / 2), ceil(width / 2)
