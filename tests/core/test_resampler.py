"""The resampler against the published implementation."""

import pytest

import recipe
from uniportrait_core.resampler import FaceIDResampler


@pytest.fixture(scope="module")
def resampler():
    shapes = recipe.shapes("checkpoint")["uniportrait-faceid_sd15.bin"]["faceid_proj"]
    return FaceIDResampler.from_tensors(recipe.weights("golden.faceid_proj", shapes))


@pytest.mark.parametrize("photos", [1, 2])
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_known_answers(resampler, photos, scale):
    tokens = resampler(*features(photos), scale)
    assert recipe.relative_error(tokens, recipe.golden("resampler")[f"refs{photos}.scale{scale}"]) <= 1e-5


@pytest.mark.parametrize("photos", [1, 2])
def test_structure_mask_known_answers(resampler, photos):
    mask = (recipe.noise(f"structure_mask{photos}", (1, 256 * photos, 1)) > 0)[..., 0]
    tokens = resampler(*features(photos), 1.0, structure_mask=mask)
    assert recipe.relative_error(tokens, recipe.golden("resampler")[f"refs{photos}.scale1.0.masked"]) <= 1e-5


def features(photos):
    return (
        recipe.noise(f"intrinsic{photos}", (1, 49 * photos, 512)),
        recipe.noise(f"structure{photos}", (1, 256 * photos, 1728)),
    )
