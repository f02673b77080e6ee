"""Own words in a cross-attention layer, against what the equation says in so many words."""

import pytest
import torch
import torch.nn.functional as F

from uniportrait_core.attention.word_attention import Spoken, difference

HEADS, CHANNELS, ROWS, SPOTS = 2, 8, 3, 5


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attend(query, key, value):
    q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@pytest.fixture
def layer():
    """Queries, the scene's keys and values, and two people's words, of different lengths."""
    query, key, value = draw(ROWS, SPOTS, CHANNELS), draw(ROWS, 4, CHANNELS, seed=1), draw(ROWS, 4, CHANNELS, seed=2)
    spoken = [
        Spoken(draw(6, CHANNELS, seed=3), draw(6, CHANNELS, seed=4), 0.7),
        Spoken(draw(3, CHANNELS, seed=5), draw(3, CHANNELS, seed=6), 1.0),
    ]
    return query, key, value, spoken


def joined(layer, person):
    """The attention to the scene's words joined with a person's."""
    query, key, value, spoken = layer
    own = [t.expand(ROWS, -1, -1) for t in spoken[person][:2]]
    return attend(query, torch.cat((key, own[0]), dim=1), torch.cat((value, own[1]), dim=1))


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_equation(layer, masked):
    query, key, value, spoken = layer
    if masked:
        shares = draw(2, ROWS, SPOTS).sigmoid()
    else:
        shares = F.one_hot(torch.arange(ROWS * SPOTS).view(ROWS, SPOTS) % 2, 2).permute(2, 0, 1)
    scene = attend(query, key, value)
    wanted = scene.clone()
    for person, share in enumerate(shares):
        beta = spoken[person].strength * share[..., None]
        wanted += beta * (joined(layer, person) - scene)
    found = scene + difference(query, (key, value), spoken, shares, HEADS)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_at_full_strength_it_is_the_attention_to_both(layer):
    query, key, value, spoken = layer
    shares = torch.stack((torch.zeros(ROWS, SPOTS), torch.ones(ROWS, SPOTS)))
    found = attend(query, key, value) + difference(query, (key, value), spoken, shares, HEADS)
    torch.testing.assert_close(found, joined(layer, 1), atol=1e-6, rtol=1e-5)


def test_who_has_no_words_or_no_spot_changes_nothing(layer):
    query, key, value, spoken = layer
    shares = torch.stack((torch.ones(ROWS, SPOTS), torch.zeros(ROWS, SPOTS)))
    assert not difference(query, (key, value), [None, spoken[1]], shares, HEADS).any()


def test_large_logits_overflow_nowhere(layer):
    """Of models whose attention is kept in float32 elsewhere, as Stable Diffusion 2's; scaled, they fit."""
    query, key, value, spoken = layer
    heads = [t.unflatten(-1, (HEADS, -1)).transpose(-2, -3) for t in (query, spoken[0].key)]
    raw = float((heads[0] @ heads[1].mT).max())
    most = torch.finfo(torch.half).max
    larger = 1.5 * most / raw
    assert raw * larger > most > raw * larger * (query.shape[-1] // HEADS) ** -0.5
    spoken = [Spoken((words.key * larger).half(), words.value.half(), words.strength) for words in spoken]
    shares = torch.full((2, ROWS, SPOTS), 0.5)
    assert difference(query.half(), (key.half(), value.half()), spoken, shares, HEADS).isfinite().all()
