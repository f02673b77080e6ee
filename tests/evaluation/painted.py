"""People as patches of colour: pictures of them, and models that find and tell them, without error.

A person is a direction of colour around grey. A face is a square of one colour on grey; its embedding is the direction,
so that similarities can be computed by hand. The detector finds the squares by where they are.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from uniportrait_core.faces.detection import Face

GREY, REACH, SIDE, GAP = 128, 100, 32, 16
# Cosines: anna and bert 0, anna and carl 0.6, bert and carl 0.8, dora and all others 0.
PEOPLE = {"anna": (1, 0, 0), "bert": (0, 1, 0), "carl": (0.6, 0.8, 0), "dora": (0, 0, 1)}


def paint(colours: Sequence[Sequence[float]], size: int = SIDE) -> np.ndarray:
    """A picture with a face of each colour, left to right, (height, width, 3), uint8."""
    height, width = size + 2 * GAP, (size + GAP) * max(len(colours), 1) + GAP
    picture = np.full((height, width, 3), GREY, np.uint8)
    for number, colour in enumerate(colours):
        left = GAP + number * (size + GAP)
        shade = np.round(GREY + REACH * np.array(colour) / np.linalg.norm(colour)).astype(np.uint8)
        picture[GAP : GAP + size, left : left + size] = shade
    return picture


def save(file: Path, colours: Sequence[Sequence[float]], **options) -> Path:
    """Paint a picture into a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(paint(colours)).save(file, **options)
    return file


def detect(picture: np.ndarray) -> list[Face]:
    """All patches, left to right."""
    apart = (np.abs(picture.astype(int) - GREY).max(axis=-1) > 40).astype(np.uint8)
    _, _, found, _ = cv2.connectedComponentsWithStats(apart)
    boxes = [np.array([x, y, x + w, y + h], np.float32) for x, y, w, h, area in found[1:] if area > 50]
    return [Face(box, box.reshape(2, 2)[[0, 1, 0, 1, 0]], 0.9) for box in sorted(boxes, key=lambda box: box[0])]


class Recogniser:
    """Directions of colour."""

    def crop(self, picture: np.ndarray, face: Face) -> np.ndarray:
        left, top, right, bottom = face.box.astype(int)
        return cv2.resize(picture[top:bottom, left:right], (8, 8), interpolation=cv2.INTER_AREA)

    def embed(self, crops: np.ndarray) -> torch.Tensor:
        colours = torch.from_numpy(crops).double().mean(dim=(1, 2)) - GREY
        return F.normalize(colours, dim=-1).float()


def load_detector(path: Path | None, device: torch.device):
    return detect


def load_recogniser(path: Path | None, device: torch.device) -> Recogniser:
    return Recogniser()


def load_features(path: Path | None, device: torch.device):
    """Mean and spread of colours, six numbers."""

    def features(pictures):
        return torch.stack([torch.from_numpy(np.r_[p.mean((0, 1)), p.std((0, 1))]).float() for p in pictures])

    return features
