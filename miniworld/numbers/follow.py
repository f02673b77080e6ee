"""Whether a picture shows what the prompt asks for, by classifiers that were trained on drawings."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from uniportrait_core.faces.detection import Face

from ..data.pixels import sample_boxes, to_unit
from ..files import Files
from ..nets.classifiers import PERSON_HEADS, PERSON_SIZE, PICTURE_HEADS, PICTURE_SIZE, new_classifiers
from ..recipes.classifiers import person_boxes
from ..weights import in_floats
from ..world.scene import Scene

ASKED = ("place", "number", "clothes", "clothes_colour", "hat", "expression")


class Reader:
    """Both classifiers."""

    def __init__(self, files: Files):
        self._nets = new_classifiers().eval().requires_grad_(False)
        self._nets.load_state_dict(in_floats(files.classifiers))

    def followed(self, pixels: np.ndarray, faces: Sequence[Face], scene: Scene) -> dict[str, float]:
        """Of each of `ASKED` the share that is as asked, 0..1; people are told by their order from left to right.

        Args:
            pixels: RGB, (height, width, 3), uint8.
            faces: those in it, from left to right. Who is asked for and has none counts as not as asked.
            scene: what was asked for.
        """
        whole = to_unit(torch.from_numpy(pixels[None].copy()))
        small = F.interpolate(whole, size=(PICTURE_SIZE,) * 2, mode="bilinear", antialias=True)
        seen = _answers(self._nets["picture"](small), PICTURE_HEADS)[0]
        found = {
            "place": float(seen["place"] == scene.place),
            "number": float(len(faces) == len(scene.looks)),
            **dict.fromkeys(PERSON_HEADS, 0.0),
        }
        if faces:
            height, width = pixels.shape[:2]
            boxes = torch.from_numpy(np.stack([face.box for face in faces]) / (width, height, width, height)).float()
            cuts = sample_boxes(whole.expand(len(faces), -1, -1, -1), person_boxes(boxes), PERSON_SIZE)
            for look, answer in zip(scene.looks, _answers(self._nets["person"](cuts), PERSON_HEADS), strict=False):
                for question, said in answer.items():
                    found[question] += float(said == getattr(look, question)) / len(scene.looks)
        return found


def _answers(scores: dict[str, torch.Tensor], heads: dict[str, tuple[str, ...]]) -> list[dict[str, str]]:
    """The likeliest answers, question by question, for each picture."""
    best = {question: value.argmax(dim=1).tolist() for question, value in scores.items()}
    rows = len(next(iter(best.values())))
    return [{question: heads[question][best[question][row]] for question in heads} for row in range(rows)]
