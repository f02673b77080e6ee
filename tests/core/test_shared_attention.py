"""Shared self-attention against a softmax over both pictures' keys, one query at a time."""

from math import exp, log

import pytest
import torch
import torch.nn.functional as F

import recipe
from uniportrait_core.style.shared_attention import PUBLISHED_SHIFT, logit_shift, shared_attention

HEADS, SPOTS, CHANNELS = 4, 12, 32


def attend(query, key, value):
    query, key, value = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def inputs(rows, spots=SPOTS):
    return tuple(recipe.noise(f"sharing.{name}", (rows, spots, CHANNELS)) for name in ("query", "key", "value"))


def written_out(query, key, value, first, shift):
    """One row, which also sees another one's keys and values, in float64."""
    parts = []
    for q, k, v, k1, v1 in zip(
        *(t.double().chunk(HEADS, dim=-1) for t in (query, key, value, first[0], first[1])), strict=True
    ):
        own, other = (q @ t.mT / (CHANNELS // HEADS) ** 0.5 for t in (k, k1))
        weights = torch.cat((own.exp(), (other + shift).exp()), dim=-1)
        parts.append(weights @ torch.cat((v, v1)) / weights.sum(dim=-1, keepdim=True))
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize(("parts", "pictures"), [(1, 2), (2, 3), (3, 2)])
@pytest.mark.parametrize("shift", [PUBLISHED_SHIFT, 0.0, -3.0])
def test_every_picture_sees_the_first_of_its_part(parts, pictures, shift):
    query, key, value = inputs(parts * pictures)
    found = shared_attention(attend, query, key, value, HEADS, parts, pictures, shift)
    for row in range(parts * pictures):
        first = row - row % pictures
        wanted = written_out(query[row], key[row], value[row], (key[first], value[first]), shift)
        assert recipe.relative_error(found[row], wanted.float()) <= 1e-6


def test_the_first_picture_sees_itself_alone():
    query, key, value = inputs(6)
    found = shared_attention(attend, query, key, value, HEADS, 2, 3, PUBLISHED_SHIFT)
    assert recipe.relative_error(found[::3], attend(query[::3], key[::3], value[::3])) <= 1e-6


def test_tiles_see_the_same_place_of_the_first_picture():
    """Two parts of two pictures of three tiles, a tile a row: like twelve rows of which three pairs belong together."""
    query, key, value = inputs(12)
    found = shared_attention(attend, query, key, value, HEADS, 2, 2, -1.0).unflatten(0, (2, 2, 3))
    for tile in range(3):
        rows = [t.unflatten(0, (2, 2, 3))[:, :, tile].flatten(0, 1) for t in (query, key, value)]
        wanted = shared_attention(attend, *rows, HEADS, 2, 2, -1.0)
        assert recipe.relative_error(found[:, :, tile].flatten(0, 1), wanted) <= 1e-6


def test_the_weight_of_nearly_nothing_is_no_sharing():
    query, key, value = inputs(3)
    found = shared_attention(attend, query, key, value, HEADS, 1, 3, logit_shift(1e-30))
    assert recipe.relative_error(found, attend(query, key, value)) <= 1e-6


def test_strength_multiplies_the_published_weight():
    assert logit_shift(1.0) == PUBLISHED_SHIFT == -0.5
    assert logit_shift(exp(0.5)) == pytest.approx(0.0)
    assert logit_shift(2.0) - logit_shift(1.0) == pytest.approx(log(2))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 3e-2)])
def test_half_precision(dtype, tolerance):
    """As far from float32 as attention itself is in these."""
    query, key, value = inputs(3)
    wanted = shared_attention(attend, query, key, value, HEADS, 1, 3, PUBLISHED_SHIFT)
    found = shared_attention(attend, *(t.to(dtype) for t in (query, key, value)), HEADS, 1, 3, PUBLISHED_SHIFT)
    assert found.dtype == dtype
    assert recipe.relative_error(found.float(), wanted) <= tolerance


def test_attention_is_asked_for_twice():
    """For the first pictures as they are; for all others with twice as many keys and eight channels more in a head."""
    seen = []

    def look(query, key, value):
        seen.append((*query.shape, *key.shape, *value.shape))
        return attend(query, key, value)

    shared_attention(look, *inputs(6), HEADS, 2, 3, PUBLISHED_SHIFT)
    first, grown = (2, SPOTS, CHANNELS), CHANNELS + 8 * HEADS
    assert seen == [(*first, *first, *first), (4, SPOTS, grown, 4, 2 * SPOTS, grown, 4, 2 * SPOTS, grown)]
