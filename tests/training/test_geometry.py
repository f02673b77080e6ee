"""How pictures are resized and cut, against what is wanted of it."""

import numpy as np
import pytest

from training.data.geometry import STEP, bucket, bucket_sizes, cut

RESOLUTION = 512


def random_picture(dice: np.random.Generator) -> tuple[tuple[int, int], tuple[float, ...]]:
    """Height and width, and a box around faces."""
    height, width = dice.integers(300, 3000, size=2).tolist()
    left, right = sorted(dice.integers(0, width + 1, size=2).tolist())
    top, bottom = sorted(dice.integers(0, height + 1, size=2).tolist())
    return (height, width), (left, top, right, bottom)


@pytest.mark.parametrize("buckets", [False, True])
def test_every_crop_holds_the_faces_and_lies_in_the_picture(buckets):
    dice = np.random.default_rng(0)
    fitting = 0
    for _ in range(500):
        size, around = random_picture(dice)
        where = cut(size, around, RESOLUTION, buckets)
        scale = np.array(where.size) / size
        (top, bottom), (left, right) = np.array(around)[[1, 3]] * scale[0], np.array(around)[[0, 2]] * scale[1]
        for starts, low, high, length, crop in (
            (where.rows, top, bottom, where.size[0], where.crop[0]),
            (where.columns, left, right, where.size[1], where.crop[1]),
        ):
            wanted = [
                start
                for start in range(0, length - crop + 1, STEP)
                if start <= low + 1e-6 and high <= start + crop + 1e-6
            ]
            assert list(starts) == wanted
        fitting += where.fits
    assert 100 < fitting < 500


@pytest.mark.parametrize("size", [(512, 512), (600, 900), (2000, 700), (1000, 1003), (64, 100)])
def test_a_resized_picture_covers_its_crop_just_so(size):
    where = cut(size, (0, 0, 1, 1), RESOLUTION, buckets=False)
    assert where.crop == (RESOLUTION, RESOLUTION) and min(where.size) == RESOLUTION
    assert not any(side % STEP for side in where.size)
    # Rounding a side to a latent changes the shape by half a latent at most.
    assert abs(max(where.size) - RESOLUTION * max(size) / min(size)) <= STEP / 2


def test_buckets_have_the_area_of_a_square_and_its_shapes():
    sizes = bucket_sizes(RESOLUTION)
    assert (RESOLUTION, RESOLUTION) in sizes and len(sizes) == 7
    assert all((width, height) in sizes for height, width in sizes)
    for height, width in sizes:
        assert not height % 64 and not width % 64 and 0.85 * RESOLUTION**2 < height * width <= RESOLUTION**2


@pytest.mark.parametrize(
    ("size", "wanted"), [((500, 500), (512, 512)), ((1000, 1500), (384, 640)), ((900, 300), (768, 320))]
)
def test_the_bucket_is_the_nearest_in_shape(size, wanted):
    assert bucket_sizes(RESOLUTION)[bucket(size, RESOLUTION)] == wanted
    assert cut(size, (0, 0, 1, 1), RESOLUTION, buckets=True).crop == wanted


def test_faces_too_far_apart_fit_a_bucket():
    size, around = (1000, 1600), (200, 300, 1500, 600)
    assert not cut(size, around, RESOLUTION, buckets=False).fits
    assert cut(size, around, RESOLUTION, buckets=True).fits
