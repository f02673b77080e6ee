"""Aligned faces, as the pack cuts them out of photos of any size."""

import numpy as np

from uniportrait_core.faces.alignment import align

from ..world.dice import Dice
from ..world.picture import faces, picture
from ..world.scene import FACE_HEIGHTS, Scene

CROP_SIZE = 224  # the core's, said again, as the module that has it needs PyTorch
PHOTO_SIZES = (112, 320)  # sides of the photos of one person that crops are cut from
INEXACT = 0.1  # how far landmarks are off at most, in distances of the eyes, as found by a detector of drawn faces


def crops_of(scene: Scene, dice: Dice) -> list[np.ndarray]:
    """All faces of a photo of some size, by landmarks as inexact as a detector's, each (224, 224, 3), uint8.

    Photos of several people are larger, so that their faces have as many pixels.
    """
    low, high = PHOTO_SIZES
    crowd = sum(FACE_HEIGHTS[1]) / sum(FACE_HEIGHTS[len(scene.looks)])
    size = round(low * (high / low) ** dice.between(0, 1) * crowd)
    photo = picture(scene, size)
    return [align(photo, _found(face.landmarks, dice), CROP_SIZE) for face in faces(scene, size)]


def _found(landmarks: np.ndarray, dice: Dice) -> np.ndarray:
    off = np.array([dice.bell(-1, 1) for _ in range(10)]).reshape(5, 2)
    return landmarks - 0.5 + off * INEXACT * np.ptp(landmarks[:2, 0])  # OpenCV counts from pixels' middles
