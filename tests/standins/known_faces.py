"""Two photos that the installed packages carry, the faces in them, and how detectors are shown them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from insightface.data import get_image
from skimage import data

DETECTION_SIZE = 640  # side of the square that a detector sees, in pixels
GREY_MARGIN = 0.25  # the published second try: this share of height and width on each side, filled with grey 128


@dataclass(frozen=True)
class Face:
    """A known face in photo pixels, (x, y) from the top left.

    Args:
        box: x1, y1, x2, y2: from the hairline to the chin, from cheek to cheek.
        landmarks: left eye, right eye (as seen in the picture), nose tip, left and right corner of the mouth.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]


PHOTOS: Mapping[str, Callable[[], np.ndarray]] = {
    "astronaut": data.astronaut,
    "group": lambda: get_image("t1", to_rgb=True),
}

# Read off the enlarged photos. The group stands from left to right; its largest box is the third.
FACES: Mapping[str, tuple[Face, ...]] = {
    "astronaut": (Face((180, 72, 269, 180), ((202.5, 100.5), (246.5, 102.5), (223, 127), (202.5, 139), (245, 140.5))),),
    "group": (
        Face((62, 262, 166, 394), ((86, 329), (131, 307.5), (119.5, 335.5), (114, 370.5), (148, 351))),
        Face((270, 150, 368, 266), ((290, 211.5), (319.5, 194), (303, 228), (313.5, 246.5), (341, 232))),
        Face((464, 274, 568, 414), ((491, 319), (538, 332), (509.5, 361), (484, 368.5), (539, 377))),
        Face((748, 350, 840, 479), ((760, 396.5), (803, 403), (778, 427), (767, 437.5), (810.5, 441))),
        Face((906, 66, 1002, 207), ((917.5, 117.5), (943.5, 115.5), (920, 151), (934.5, 172), (961.5, 167))),
        Face((1134, 266, 1226, 400), ((1150, 326.5), (1194.5, 323.5), (1167, 349), (1153.5, 366), (1197.5, 363))),
    ),
}


def photo(name: str) -> np.ndarray:
    """Return a photo of `PHOTOS` as RGB uint8 (height, width, 3), read from the installed packages."""
    return np.ascontiguousarray(PHOTOS[name]())


def pad_with_grey(image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Add the published grey margin to an image (height, width, 3); also return its width (left, top) in pixels."""
    top, left = (int(side * GREY_MARGIN) for side in image.shape[:2])
    return np.pad(image, ((top, top), (left, left), (0, 0)), constant_values=128), (left, top)


def fit(image: np.ndarray, side: int = DETECTION_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Fit an RGB image into the top left side×side pixels of the detector's square, as insightface does.

    Returns the square, (DETECTION_SIZE, DETECTION_SIZE, 3) uint8, else black, and the scale of x and y in its pixels
    per image pixel: sizes are rounded, so the two differ a little.
    """
    height, width = image.shape[:2]
    fitted = (int(side * width / height), side) if height > width else (side, int(side * height / width))
    square = np.zeros((DETECTION_SIZE, DETECTION_SIZE, 3), np.uint8)
    square[: fitted[1], : fitted[0]] = cv2.resize(image, fitted)
    return square, np.array([fitted[0] / width, fitted[1] / height])
