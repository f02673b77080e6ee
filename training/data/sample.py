"""What a training step is given of one picture."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Faces:
    """The faces of a picture: aligned crops, or what the frozen networks saw in them (`prepare --cache`).

    Attributes:
        crops: RGB, (people, 224, 224, 3), uint8; None where all the features below are there.
        embedding: the backbone's face embedding, (people, 512), not normalised.
        intrinsic: its last map, (people, 49, 512).
        shallow: its other maps at CLIP's grid, shallow to deep, (people, 256, 448).
        clip: CLIP's second-to-last hidden state without class token, (people, 256, clip_dim).
        image: CLIP's projected embedding, which a plain IP-Adapter is given, (people, projection).
    """

    crops: Tensor | None = None
    embedding: Tensor | None = None
    intrinsic: Tensor | None = None
    shallow: Tensor | None = None
    clip: Tensor | None = None
    image: Tensor | None = None


@dataclass(frozen=True)
class Sample:
    """One picture, cut to the size of training.

    Attributes:
        key: its name in the shards, for messages.
        seed: of all that is left to chance about it.
        caption: what the text encoder is given.
        boxes: of the faces, as shares of the cut picture's width and height: left, top, right, bottom, (people, 4),
            0..1.
        landmarks: eyes, nose tip and mouth corners of the faces, as shares likewise, (people, 5, 2); None where the
            shards have none.
        faces: of the same people.
        other: another photo of the person for the intrinsic branch, one face; None where there is none, or where
            the dice chose the picture's own.
        absent: a person who is not in the picture, one face, as one more candidate of the router; None likewise.
        pixels: RGB, (3, height, width), −1..1; None where there are `moments`.
        moments: mean and standard deviation of the VAE's posterior, not scaled, (2 · channels, height / 8, width / 8).
        text: of the text encoder, (77, dim); None where it is not cached.
        pooled: of the second text encoder (SDXL), (dim,); None elsewhere.
        original: height and width of the picture before it was resized and cut.
        corner: top and left of the cut in the resized picture, in pixels.
    """

    key: str
    seed: int
    caption: str
    boxes: Tensor
    landmarks: Tensor | None
    faces: Faces
    other: Faces | None
    absent: Faces | None
    pixels: Tensor | None
    moments: Tensor | None
    text: Tensor | None
    pooled: Tensor | None
    original: tuple[int, int]
    corner: tuple[int, int]
