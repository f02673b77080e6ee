"""Attention in parts against attention at once."""

import pytest
import torch
import torch.nn.functional as F

import recipe
from uniportrait_core.embedding.resampler import attend_in_parts


def given(keys: int):
    query = recipe.noise("query", (2, 3, 4, 8))
    key, value = recipe.noise("keys", (2, 2, 3, keys, 8)) * 5
    return query, key, value


@pytest.mark.parametrize("sizes", [[20], [1, 19], [7, 7, 6], [1] * 20], ids=str)
def test_any_division_gives_the_whole(sizes):
    query, key, value = given(20)
    parts = zip(key.split(sizes, 2), value.split(sizes, 2), [None] * len(sizes), strict=True)
    wanted = F.scaled_dot_product_attention(query.double(), key.double(), value.double())
    assert recipe.relative_error(attend_in_parts(query, parts), wanted) <= 1e-6


def test_biases_belong_to_their_part():
    query, key, value = given(20)
    bias = recipe.noise("bias", (2, 1, 1, 20)) * 10
    parts = zip(key.split(8, 2), value.split(8, 2), bias.split(8, 3), strict=True)
    wanted = F.scaled_dot_product_attention(query.double(), key.double(), value.double(), attn_mask=bias.double())
    assert recipe.relative_error(attend_in_parts(query, parts), wanted) <= 1e-6


def test_logits_of_any_size_do_not_overflow():
    query, key, value = given(20)
    parts = ((key[..., i : i + 5, :] * 1e3, value[..., i : i + 5, :], None) for i in range(0, 20, 5))
    found = attend_in_parts(query * 1e3, parts)
    wanted = F.scaled_dot_product_attention(query.double() * 1e3, key.double() * 1e3, value.double())
    assert torch.isfinite(found).all() and recipe.relative_error(found, wanted) <= 1e-6
