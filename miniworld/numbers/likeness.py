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
from uniportrait_core.results.likeness import Likeness, judge

from ..files import Files
from ..nets.recognisers import load_measuring_net
from ..recipes.faces import shrunk
from ..world.picture import picture
from ..world.scene import compose

NOBODY = -1.0  # a face counts as whom it is most like, however little
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
    def embed(self, pixels: np.ndarray) -> Tensor:
        """Of a picture's faces from left to right, of length 1, (faces, dim)."""
        faces = self.faces(pixels)
        if not faces:
            return torch.zeros(0, self._net.dim)
        crops = np.stack([align(pixels, face.landmarks, CROP_SIZE) for face in faces])
        return F.normalize(self._net(shrunk(torch.from_numpy(crops))))

    def person(self, photo: np.ndarray) -> Tensor:
        """Of the first face of a photo, (dim,)."""
        embeddings = self.embed(photo)
        if not len(embeddings):
            raise ValueError("no face was found in a photo")
        return embeddings[0]

    def judge(self, pixels: np.ndarray, people: Tensor) -> Likeness:
        """How much a picture's faces look like people, (people, dim)."""
        return judge(self.embed(pixels), people, NOBODY)

    def scale(self, people: Sequence[int], size: int, company: int = 1) -> Scale:
        """From photos and drawings that show each of some people in a picture as large as those to judge.

        Args:
            people: seeds.
            size: of the drawings, in pixels.
            company: people in a drawing.
        """
        photos = torch.stack([self.person(photo_of(seed)) for seed in people])
        same, other = [], []
        for start in range(0, len(people) - company + 1, company):
            drawn = picture(compose(people[start : start + company], f"scale {start} {company}"), size)
            among = photos[start : start + company]
            same += self.judge(drawn, among).scores
            rest = torch.cat((photos[:start], photos[start + company :]))
            other += (self.embed(drawn) @ rest.T).flatten().tolist()
        return Scale(float(np.mean(other)), float(np.mean(same)))


def photo_of(seed: int, number: int = 0, size: int = PHOTO_SIZE) -> np.ndarray:
    """A photo of a drawn person, RGB, (size, size, 3), uint8."""
    return picture(compose([seed], f"portrait {seed} {number}", "illustration"), size)
