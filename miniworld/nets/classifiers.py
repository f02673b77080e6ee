"""What a picture shows, read off by networks, so that it can be measured whether a prompt was followed."""

import torch
from torch import Tensor, nn

from ..world.captions import NUMBERS
from ..world.clothes.drawing import CLOTHES
from ..world.dyes import COLOURS
from ..world.expressions import EXPRESSIONS
from ..world.hats import HATS
from ..world.ink import STYLES
from ..world.places.table import PLACES
from ..world.scene import NO_HAT

PICTURE_HEADS = {"place": tuple(PLACES), "style": tuple(STYLES), "number": NUMBERS}
"""What is read off a whole picture: the answers by question."""

PERSON_HEADS = {
    "expression": tuple(EXPRESSIONS),
    "clothes": tuple(CLOTHES),
    "clothes_colour": tuple(COLOURS),
    "hat": (NO_HAT, *HATS),
}
"""What is read off one person, cut out around the face."""

PICTURE_SIZE, PERSON_SIZE = 64, 64  # sides of what the networks are shown, in pixels; more is slower and says no more
PERSON_BOX = (1.25, 1.35, 1.25, 1.6)  # how far a person reaches around the face's centre, in heights of the face's box


class Classifier(nn.Module):
    """Convolutions, a mean, and one linear layer per question."""

    def __init__(self, heads: dict[str, tuple[str, ...]], width: int):
        super().__init__()
        widths = (width, width, 2 * width, 3 * width)
        layers, before = [], 3
        for out in widths:
            layers += [nn.Conv2d(before, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True)]
            layers += [nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True)]
            before = out
        self.body = nn.Sequential(*layers)
        self.attend = nn.Conv2d(before, len(heads), 1)
        self.heads = nn.ModuleDict({name: nn.Linear(before, len(answers)) for name, answers in heads.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Scores of the answers by question, (batch, answers), of pictures (batch, 3, side, side), −1..1."""
        maps = self.body(pictures)
        weights = self.attend(maps).flatten(2).softmax(dim=-1)
        seen = torch.einsum("bcn,bqn->bqc", maps.flatten(2), weights) + maps.mean(dim=(2, 3))[:, None]
        return {name: head(seen[:, index]) for index, (name, head) in enumerate(self.heads.items())}


def new_classifiers() -> nn.ModuleDict:
    """One for whole pictures, one for people."""
    return nn.ModuleDict({"picture": Classifier(PICTURE_HEADS, 24), "person": Classifier(PERSON_HEADS, 32)})
