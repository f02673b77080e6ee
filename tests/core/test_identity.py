"""People and mixtures of people."""

import dataclasses

import pytest
import torch

import recipe
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.identity import Identity, mix


def person(name: str, tokens: int = 5) -> Identity:
    return Identity(*(recipe.noise(f"{name}.{half}", (tokens, 6)) for half in ("cond", "uncond")))


def test_mixing_blends_the_conditional_tokens():
    a, b = person("a"), person("b")
    mixed = mix(a, b, 0.3)
    assert recipe.relative_error(mixed.cond, 0.7 * a.cond.double() + 0.3 * b.cond.double()) <= 1e-6
    assert not torch.allclose(mixed.cond, mix(b, a, 0.3).cond)


def test_mixing_keeps_the_unconditional_tokens_of_the_master():
    a, b = person("a"), person("b")
    assert torch.equal(mix(a, b, 0.3).uncond, a.uncond)
    assert torch.equal(mix(b, a, 0.3).uncond, b.uncond)


def test_weights_0_and_1_give_the_two_people():
    a, b = person("a"), person("b")
    assert torch.equal(mix(a, b, 0.0).cond, a.cond)
    assert torch.equal(mix(a, b, 1.0).cond, b.cond)


@pytest.mark.parametrize("weight", [-0.5, 1.5])
def test_weights_outside_extrapolate(weight):
    a, b = person("a"), person("b")
    assert recipe.relative_error(mix(a, b, weight).cond - a.cond, weight * (b.cond - a.cond)) <= 1e-5


def test_mixing_leaves_both_people_as_they_are():
    a, b = person("a"), person("b")
    mix(a, b, 0.3).cond.zero_()
    for now, before in ((a, person("a")), (b, person("b"))):
        assert torch.equal(now.cond, before.cond) and torch.equal(now.uncond, before.uncond)


def test_people_of_different_weights_cannot_be_mixed():
    with pytest.raises(UniPortraitError, match=r"\(5, 6\) and \(4, 6\).*Encode both"):
        mix(person("a"), person("b", tokens=4), 0.5)


def test_a_person_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        person("a").cond = torch.zeros(5, 6)
