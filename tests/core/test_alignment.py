"""Alignment against insightface, as the published app uses it."""

import numpy as np
import pytest
from insightface.utils.face_align import norm_crop

from standins.detector import FACES, photo
from uniportrait_core.faces.alignment import ARCFACE_TEMPLATE, align, similarity

pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated")  # in insightface
SIZE = 224
KNOWN = [(name, number) for name, faces in FACES.items() for number in range(len(faces))]


def landmarks_of(name: str, number: int) -> np.ndarray:
    return np.array(FACES[name][number].landmarks, np.float32)


def turned(points: np.ndarray, degrees: float, scale: float) -> np.ndarray:
    """Points turned and scaled about their mean."""
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((points - points.mean(axis=0)) @ turn.T + points.mean(axis=0)).astype(np.float32)


def assert_same_crop(picture: np.ndarray, landmarks: np.ndarray) -> None:
    found, wanted = align(picture, landmarks, SIZE), norm_crop(picture, landmarks, image_size=SIZE)
    assert found.shape == (SIZE, SIZE, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(("name", "number"), KNOWN)
def test_equals_insightface(name, number):
    assert_same_crop(photo(name), landmarks_of(name, number))


@pytest.mark.parametrize(("degrees", "scale"), [(30, 1.0), (-75, 0.5), (180, 1.0), (10, 4.0), (0, 0.2)])
def test_equals_insightface_for_turned_and_scaled_landmarks(degrees, scale):
    assert_same_crop(photo("astronaut"), turned(landmarks_of("astronaut", 0), degrees, scale))


def test_equals_insightface_for_a_face_at_the_edge_of_the_photo():
    picture = np.ascontiguousarray(photo("astronaut")[90:, 200:])
    landmarks = landmarks_of("astronaut", 0) - (200, 90)
    assert_same_crop(picture, landmarks)
    assert (align(picture, landmarks, SIZE)[:40] == 0).all()  # what lies outside is black


@pytest.mark.parametrize("mirrored", [False, True])
def test_similarity_is_the_least_squares_one_of_landmarks_that_do_not_fit(mirrored):
    """Also for mirrored landmarks, of which it must not make a mirror image."""
    from skimage.transform import SimilarityTransform

    points = landmarks_of("group", 4).astype(float) * ((-1, 1) if mirrored else (1, 1))
    wanted = SimilarityTransform.from_estimate(points, ARCFACE_TEMPLATE).params[:2]
    np.testing.assert_allclose(similarity(points, ARCFACE_TEMPLATE), wanted, atol=1e-9)


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1.0, (0, 0)), (25, 2.0, (5, -7)), (-160, 0.1, (300, 40))])
def test_similarity_recovers_a_known_transform(degrees, scale, shift):
    angle = np.radians(degrees)
    wanted = np.array(
        [
            [scale * np.cos(angle), -scale * np.sin(angle), shift[0]],
            [scale * np.sin(angle), scale * np.cos(angle), shift[1]],
        ]
    )
    target = ARCFACE_TEMPLATE @ wanted[:, :2].T + wanted[:, 2]
    np.testing.assert_allclose(similarity(ARCFACE_TEMPLATE, target), wanted, atol=1e-9)


def test_landmarks_in_the_place_of_the_template_give_the_photo_itself():
    picture = np.ascontiguousarray(photo("astronaut")[60:284, 100:324])
    assert np.array_equal(align(picture, ARCFACE_TEMPLATE * 2, SIZE), picture)
