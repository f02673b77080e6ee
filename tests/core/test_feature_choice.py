"""The features that a resampler reads: the published ones, and the ablations of table 3."""

import json
from dataclasses import asdict

import pytest
import torch

import recipe
from uniportrait_core.embedding.backbone import FaceBackbone, UnitShape
from uniportrait_core.embedding.face_features import look_at_faces, nobody, resampler_inputs
from uniportrait_core.embedding.feature_choice import FeatureChoice
from uniportrait_core.embedding.resampler import FaceIDResampler, Features

PHOTOS = 2


@pytest.fixture(scope="module")
def backbone():
    units = [UnitShape(4, 4, 4, 2, False), UnitShape(4, 6, 6, 2, False), UnitShape(6, 8, 8, 2, False)]
    model = FaceBackbone(units, [0, 1, 2], embedding_dim=10)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    return FaceBackbone.from_tensors(recipe.weights("choice", shapes))


@pytest.fixture(scope="module")
def seen(backbone):
    return look_at_faces(backbone, recipe.noise("choice.crops", (PHOTOS, 224, 224, 3)).sigmoid())


CLIP = recipe.noise("choice.clip", (PHOTOS, 256, 12))


@pytest.mark.parametrize(("intrinsic", "features", "dim"), [("local", 196, 8), ("global", 1, 10), ("none", 0, 8)])
def test_intrinsic_features(backbone, seen, intrinsic, features, dim):
    embedding, stages = seen
    choice = FeatureChoice(intrinsic)
    found, _ = resampler_inputs(choice, embedding, stages, CLIP)
    assert found.shape == (1, PHOTOS * features, dim) and choice.intrinsic_dim((4, 6, 8), 10) == dim
    wanted = {"local": stages[-1].flatten(2).mT, "global": embedding[:, None], "none": torch.zeros(0)}[intrinsic]
    assert torch.equal(found.flatten(), wanted.flatten())
    nothing, _ = resampler_inputs(choice, *nobody(backbone, torch.device("cpu")), CLIP[:1])
    assert nothing.shape == (1, features, dim) and not nothing.any()


@pytest.mark.parametrize(("structure", "dims"), [(("shallow", "clip"), 22), (("shallow",), 10), (("clip",), 12)])
def test_structure_features(seen, structure, dims):
    choice = FeatureChoice(structure=structure)
    _, both = resampler_inputs(FeatureChoice(), *seen, CLIP)
    _, found = resampler_inputs(choice, *seen, CLIP if choice.sees_with_clip else None)
    assert torch.equal(found, both[..., :dims] if "shallow" in structure else both[..., -dims:])
    assert found.shape == (1, PHOTOS * 256, dims)
    assert choice.shallow_dim((4, 6, 8)) == (10 if "shallow" in structure else 0)


def test_a_resampler_without_intrinsic_features():
    """Its queries see themselves alone: the same as any features whose logits are too low to count."""
    model = FaceIDResampler(8, 12, tokens=4, dim=64, inner_dim=64, depth=2, output_dim=16)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model = FaceIDResampler.from_tensors(recipe.weights("choice.resampler", shapes))
    structure = recipe.noise("choice.structure", (1, 9, 12))
    tokens = model([model.project(torch.zeros(1, 0, 8), structure)], 0.5)
    queries = model.latents
    for itself, read, feed_forward in model.layers:
        queries = itself([], queries, []) + queries
        queries = 0.5 * read([model.proj_clip(structure)], queries, [None]) + queries
        queries = feed_forward(queries) + queries
    assert torch.equal(tokens, model.norm_out(model.proj_out(queries)))
    some = model([Features(model.proj_id(torch.ones(1, 1, 8)), model.proj_clip(structure))], 0.5)
    assert recipe.relative_error(some, tokens) > 1e-3


def test_as_json():
    said = json.loads(json.dumps(asdict(FeatureChoice("none", ("clip",)))))
    assert said == {"intrinsic": "none", "structure": ["clip"]}


@pytest.mark.parametrize(
    ("intrinsic", "structure"), [("all", ("clip",)), ("local", ("clip", "shallow")), ("local", ())]
)
def test_other_choices_are_refused(intrinsic, structure):
    with pytest.raises(ValueError, match="needed is"):
        FeatureChoice(intrinsic, structure)
