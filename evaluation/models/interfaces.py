"""What measures has to do; any network that does it can be put in the place of another (`registry.py`)."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from uniportrait_core.faces.detection import Face

Picture = np.ndarray
"""RGB, (height, width, 3), uint8."""


class Detector(Protocol):
    """Finds faces."""

    def __call__(self, picture: Picture) -> list[Face]:
        """All faces of a picture, in its pixels."""


class Recogniser(Protocol):
    """Tells people apart by their faces."""

    def crop(self, picture: Picture, face: Face) -> Picture:
        """What it looks at of a face, always of one size."""

    def embed(self, crops: np.ndarray) -> Tensor:
        """Embeddings of crops, (faces, height, width, 3), uint8: (faces, dim), each of length 1, on the CPU."""


class TextImage(Protocol):
    """Puts texts and pictures into one space."""

    def embed_pictures(self, pictures: Sequence[Picture]) -> Tensor:
        """(pictures, dim), each of length 1, on the CPU."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(texts, dim), each of length 1, on the CPU."""


class Aesthetic(Protocol):
    """Says how much people would like a picture."""

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Scores of pictures, (pictures,), from their embeddings by the text–image model, (pictures, dim)."""


class PictureFeatures(Protocol):
    """Features whose distribution FID compares."""

    def __call__(self, pictures: Sequence[Picture]) -> Tensor:
        """(pictures, dim), on the CPU."""
