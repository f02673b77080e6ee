"""Likeness by the second recogniser, which conditions nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniportrait_core.embedding.face_features import CROP_SIZE
from uniportrait_core.faces.alignment import align
from uniportrait_core.faces.centre_detector import CentreDetector
from uniportrait_core.faces.detection import Face, find_faces, order_faces

from ..files import Files
from ..nets.recognisers import load_measuring_net
from ..recipes.faces import shrunk
from ..world.picture import picture
from ..world.scene import compose

PHOTO_SIZE = 256


@dataclass(frozen=True)
class Scale:
    """What similarities are worth: 0 for two people, 1 for two drawings of one.

    Attributes:
        other, same: mean similarities.
    """

    other: float
    same: float

    def share(self, similarity: float) -> float:
        return (similarity - self.other) / (self.same - self.other)


class Judge:
    """Detector and recogniser."""

    def __init__(self, files: Files):
        self._detect = CentreDetector(files.detector)
        self._net = load_measuring_net(files.measure)

    def faces(self, pixels: np.ndarray) -> list[Face]:
        """The faces of a picture, RGB, (height, width, 3), uint8, from left to right."""
        return order_faces(find_faces(self._detect, pixels), "left to right")

    @torch.no_grad()
    def embed(self, pixels: np.ndarray, faces: Sequence[Face]) -> Tensor:
        """Of faces of a picture, of length 1, (faces, dim)."""
        if not faces:
            return torch.zeros(0, self._net.dim)
        crops = np.stack([align(pixels, face.landmarks, CROP_SIZE) for face in faces])
        return F.normalize(self._net(shrunk(torch.from_numpy(crops))))

    def person(self, photo: np.ndarray) -> Tensor:
        """Of the first face of a photo, (dim,)."""
        embeddings = self.embed(photo, self.faces(photo))
        if not len(embeddings):
            raise ValueError("no face was found in a photo")
        return embeddings[0]


def photo_of(seed: int, number: int = 0, size: int = PHOTO_SIZE) -> np.ndarray:
    """A photo of a drawn person, RGB, (size, size, 3), uint8."""
    return picture(compose([seed], f"portrait {seed} {number}", "illustration"), size)
