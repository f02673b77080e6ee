"""Finding the face in a photo, as the published app does (`process_faceid_image` of `gradio_app.py`)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .alignment import align

PADDING = 0.25  # share of height and width, on every side
GREY = 128


@dataclass(frozen=True)
class Face:
    """A face found in a photo, in pixels of the photo.

    Attributes:
        box: left, top, right, bottom, (4,).
        landmarks: left eye, right eye, nose tip, left and right mouth corner as seen, each (x, y), (5, 2).
        confidence: 0..1.
    """

    box: np.ndarray
    landmarks: np.ndarray
    confidence: float

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return abs((right - left) * (bottom - top))


Detector = Callable[[np.ndarray], list[Face]]
"""Finds faces in an RGB photo, (height, width, 3), uint8."""


def find_faces(detect: Detector, photo: np.ndarray) -> list[Face]:
    """All faces of a photo; where none is found, a second look at the photo with a grey border.

    Detectors miss faces that fill the picture; with a border they are smaller and whole.

    Args:
        detect: a face detector.
        photo: RGB, (height, width, 3), uint8.

    Returns:
        Faces in pixels of the photo; boxes of the second look are cut at its edges.
    """
    if faces := detect(photo):
        return faces
    height, width = photo.shape[:2]
    top, left = int(height * PADDING), int(width * PADDING)
    padded = np.pad(photo, ((top, top), (left, left), (0, 0)), constant_values=GREY)
    offset, limit = np.array([left, top]), np.array([width, height])
    return [
        Face(
            box=(face.box.reshape(2, 2) - offset).clip(0, limit).reshape(4),
            landmarks=face.landmarks - offset,
            confidence=face.confidence,
        )
        for face in detect(padded)
    ]


def crop_largest(detect: Detector, photo: np.ndarray, size: int) -> np.ndarray | None:
    """The aligned face of the largest box, (size, size, 3) uint8; None where no face is found."""
    faces = find_faces(detect, photo)
    return align(photo, max(faces, key=lambda face: face.area).landmarks, size) if faces else None
