"""Finding the faces in a photo: a ladder of sizes, then a second look, then a choice among what was found.

The first and the last try are the published app's (`process_faceid_image` of `gradio_app.py`): 640 pixels, and a grey
border of 25 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

CANVAS = 640  # side of the square that a detector is given, in pixels
SIDES = (640, 512, 384, 256)  # the photo's longer side on the canvas: what fills a picture is missed at full size
PADDING = 0.25  # share of height and width, on every side
GREY = 128
MIN_CONFIDENCE = 0.5  # published


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


class Detector(Protocol):
    """A face detector; it is always given pictures of one size, which every model and provider can take."""

    def __call__(self, picture: np.ndarray, min_confidence: float) -> list[Face]:
        """Find the faces of an RGB picture, (640, 640, 3), uint8, of which one is at least `min_confidence` sure."""


ORDERS = {
    "largest": lambda face: -face.area,
    "left to right": lambda face: face.box[0] + face.box[2],
    "most confident": lambda face: -face.confidence,
}
"""Ways to number the faces of a photo, from 0: the key that each sorts by."""


def order_faces(faces: Sequence[Face], order: str) -> list[Face]:
    """Sort the faces of a photo by one of `ORDERS`."""
    return sorted(faces, key=ORDERS[order])


def face_mask(face: Face, size: tuple[int, int], grow: float) -> np.ndarray:
    """An ellipse around a face: 1 inside, 0 outside, (height, width), float32.

    Args:
        face: in pixels of the photo.
        size: height and width of the photo.
        grow: how much further than the box it reaches on every side, in shares of the box.
    """
    height, width = size
    left, top, right, bottom = face.box
    y, x = np.ogrid[:height, :width]
    across = (x + 0.5 - (left + right) / 2) / ((right - left) * (0.5 + grow))
    down = (y + 0.5 - (top + bottom) / 2) / ((bottom - top) * (0.5 + grow))
    return (across**2 + down**2 <= 1).astype(np.float32)


def find_faces(detect: Detector, photo: np.ndarray, min_confidence: float = MIN_CONFIDENCE) -> list[Face]:
    """All faces that the first successful try finds.

    The photo is shown in ever smaller sizes, as detectors miss faces that fill the picture; then once more with a grey
    border, for faces that the edge cuts.

    Args:
        detect: a face detector.
        photo: RGB, (height, width, 3), uint8.
        min_confidence: of a face, 0..1; 0.5 in the published app.

    Returns:
        Faces in pixels of the photo; boxes of the second look are cut at its edges.
    """
    for picture, offset in _looks(photo):
        for side in SIDES:
            canvas, scale = _fit(picture, side)
            if faces := detect(canvas, min_confidence):
                return [_in_photo(face, scale, offset, photo.shape) for face in faces]
    return []


def _looks(photo: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """The photo, then the photo with a border, each with the place (left, top) of the photo in it."""
    yield photo, (0, 0)
    top, left = (int(side * PADDING) for side in photo.shape[:2])
    yield np.pad(photo, ((top, top), (left, left), (0, 0)), constant_values=GREY), (left, top)


def _fit(picture: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture scaled to `side` pixels, in the top left of a black canvas, and the scale of x and y.

    At 640 the canvas is, to the bit, what insightface makes of the picture (`detect` of its `scrfd.py`). That takes the
    scale of y for both axes, which on a wide photo misplaces faces by some pixels, as sizes are rounded.
    """
    import cv2

    ratio = picture.shape[0] / picture.shape[1]
    width, height = (int(side / ratio), side) if ratio > 1 else (side, int(side * ratio))
    width, height = max(width, 1), max(height, 1)
    canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    canvas[:height, :width] = cv2.resize(picture, (width, height))
    return canvas, np.array([width / picture.shape[1], height / picture.shape[0]])


def _in_photo(face: Face, scale: np.ndarray, offset: tuple[int, int], shape: tuple[int, ...]) -> Face:
    box, landmarks = face.box / np.tile(scale, 2), face.landmarks / scale
    if offset != (0, 0):
        box = (box.reshape(2, 2) - offset).clip(0, (shape[1], shape[0])).reshape(4)
        landmarks = landmarks - offset
    return Face(box, landmarks, face.confidence)
