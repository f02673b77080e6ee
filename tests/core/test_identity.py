"""People, mixtures of people, and people with settings of their own."""

import dataclasses
from dataclasses import replace

import pytest
import torch

import recipe
from uniportrait_core.embedding.identity import Identity, adjust, mean_embedding, mix
from uniportrait_core.errors import UniPortraitError


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


def test_mixing_blends_embeddings_and_keeps_all_else_of_the_master():
    a = replace(person("a"), embedding=unit("a"), mask=torch.ones(2, 2), weight=0.5, thumbnail=torch.zeros(2, 2, 3))
    b = replace(person("b"), embedding=unit("b"), mask=torch.zeros(2, 2), weight=2.0)
    mixed = mix(a, b, 0.3)
    wanted = 0.7 * unit("a") + 0.3 * unit("b")
    assert torch.allclose(mixed.embedding, wanted / wanted.norm())
    assert mixed.mask is a.mask and mixed.weight == 0.5 and mixed.thumbnail is a.thumbnail
    assert torch.allclose(mix(a, b, 0.0).embedding, unit("a")) and torch.allclose(mix(a, b, 1.0).embedding, unit("b"))


def test_mixing_with_somebody_without_embedding_gives_none():
    known, unknown = replace(person("a"), embedding=unit("a")), person("b")
    assert mix(known, unknown, 0.3).embedding is None and mix(unknown, known, 0.3).embedding is None
    longer = replace(person("b"), embedding=torch.ones(9))
    assert mix(known, longer, 0.3).embedding is None


def test_the_embedding_of_several_photos_is_the_mean_of_directions():
    one, other = unit("a"), unit("b")
    found = mean_embedding(torch.stack((3 * one, 0.1 * other)))
    assert torch.allclose(found, (one + other) / (one + other).norm())
    assert torch.allclose(mean_embedding(5 * one[None]), one)


def unit(name: str) -> torch.Tensor:
    return torch.nn.functional.normalize(recipe.noise(f"{name}.embedding", (8,)), dim=0)


def test_adjusting_sets_weight_and_masks():
    face_id, masks = (person("a"), person("b")), [torch.ones(2, 2), torch.zeros(3, 3)]
    adjusted = adjust(face_id, 0.5, masks)
    assert [one.weight for one in adjusted] == [0.5, 0.5]
    assert all(one.mask is mask for one, mask in zip(adjusted, masks, strict=True))
    assert all(one.cond is other.cond for one, other in zip(adjusted, face_id, strict=True))
    assert all(one.mask is None and one.weight == 1 for one in face_id)


def test_adjusting_without_masks_keeps_those_there_are():
    (masked,) = adjust((person("a"),), 1.0, [torch.ones(2, 2)])
    (again,) = adjust((masked,), 0.3)
    assert again.mask is masked.mask and again.weight == 0.3


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_masks_as_people_are_needed(count):
    with pytest.raises(UniPortraitError, match=rf"There are {count} masks for 2 people.*Combine Face IDs"):
        adjust((person("a"), person("b")), 1.0, [torch.ones(2, 2)] * count)
