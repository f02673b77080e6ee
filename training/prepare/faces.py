"""The people in a picture, from left to right."""

from dataclasses import dataclass

import cv2
import numpy as np

from uniportrait_core.embedding.face_features import CROP_SIZE
from uniportrait_core.faces.alignment import TEMPLATE_SIZE, align
from uniportrait_core.faces.detection import Detector, Face, find_faces, order_faces

from .reasons import BLURRED, CROWDED, NO_FACE, SMALL_FACE, LeftOut
from .settings import Filters


@dataclass(frozen=True)
class Person:
    """A face, its aligned crop, (224, 224, 3), uint8, and how sharp it is."""

    face: Face
    crop: np.ndarray
    sharpness: float


def find_people(pixels: np.ndarray, detect: Detector, filters: Filters) -> tuple[list[Person], int]:
    """Find the people in a picture.

    Args:
        pixels: RGB, (height, width, 3), uint8.
        detect: a face detector.
        filters: what is good enough.

    Returns:
        People from left to right, their boxes cut at the picture's edges; and the number of faces too small to count.

    Raises:
        LeftOut: nobody, too many, or somebody blurred.
    """
    found = find_faces(detect, pixels, filters.min_confidence)
    inside = [_inside(face, pixels.shape) for face in order_faces(found, "left to right")]
    faces = [face for face in inside if _side(face) >= filters.min_face]
    if not faces:
        raise LeftOut(SMALL_FACE if found else NO_FACE)
    if len(faces) > filters.max_people:
        raise LeftOut(CROWDED)
    people = [
        Person(face, align(pixels, face.landmarks, CROP_SIZE), sharpness(pixels, face.landmarks)) for face in faces
    ]
    # One blurred person is not just taken off the list: they stay in the picture, and nobody would be told apart there.
    if any(person.sharpness < filters.min_sharpness for person in people):
        raise LeftOut(BLURRED)
    return people, len(found) - len(faces)


def sharpness(pixels: np.ndarray, landmarks: np.ndarray) -> float:
    """Variance of the Laplacian of a face at the size of the face backbone, so that it depends little on its size.

    Sharp faces have hundreds; a face 90 pixels wide has 90 after a Gaussian blur of one pixel, 20 after two.
    """
    grey = cv2.cvtColor(align(pixels, landmarks, TEMPLATE_SIZE), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _inside(face: Face, shape: tuple[int, ...]) -> Face:
    height, width = shape[:2]
    return Face(face.box.clip(0, (width, height, width, height)), face.landmarks, face.confidence)


def _side(face: Face) -> float:
    return float((face.box[2:] - face.box[:2]).min())
