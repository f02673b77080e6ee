"""The resampler against the published implementation."""

import pytest

import recipe
from uniportrait_core.embedding.resampler import FaceIDResampler


@pytest.fixture(scope="module")
def resampler():
    shapes = recipe.shapes("checkpoint")["uniportrait-faceid_sd15.bin"]["faceid_proj"]
    return FaceIDResampler.from_tensors(recipe.weights("golden.faceid_proj", shapes))


@pytest.mark.parametrize("photos", [1, 2])
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("parts", [1, 2])
def test_known_answers(resampler, photos, scale, parts):
    tokens = resampler(features(resampler, photos, parts), scale)
    assert recipe.relative_error(tokens, recipe.golden("resampler")[f"refs{photos}.scale{scale}"]) <= 1e-5


@pytest.mark.parametrize("photos", [1, 2])
@pytest.mark.parametrize("parts", [1, 2])
def test_structure_mask_known_answers(resampler, photos, parts):
    mask = (recipe.noise(f"structure_mask{photos}", (1, 256 * photos, 1)) > 0)[..., 0].float()
    tokens = resampler(features(resampler, photos, parts), 1.0, structure_masks=mask.chunk(parts, dim=1))
    assert recipe.relative_error(tokens, recipe.golden("resampler")[f"refs{photos}.scale1.0.masked"]) <= 1e-5


def features(resampler, photos, parts):
    """The features of all photos, in parts whose borders are not those of the photos."""
    intrinsic = recipe.noise(f"intrinsic{photos}", (1, 49 * photos, 512)).chunk(parts, dim=1)
    structure = recipe.noise(f"structure{photos}", (1, 256 * photos, 1728)).chunk(parts, dim=1)
    return [resampler.project(*part) for part in zip(intrinsic, structure, strict=True)]
