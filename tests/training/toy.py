"""A world of four people for training in seconds: coloured patches on latents of 8×8, seen by ideal networks.

Who somebody is: a colour of the latents, and features to tell them by. Nobody is blended when every patch has the
colour of the one whose place it is.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.data.sample import Faces, Sample
from uniportrait_core.faces.alignment import ARCFACE_TEMPLATE, TEMPLATE_SIZE

PEOPLE, SIDE, CONTEXT, INTRINSIC, SHALLOW, CLIP, SPOTS = 4, 8, 64, 24, 36, 32, 256
STRENGTH = 120.0  # before scaling: people can be told apart at every noise level


class Toy(Dataset[Sample]):
    """Pictures of one person, or of two or three, with cached features."""

    def __init__(self, people: tuple[int, int], count: int = 64):
        self.people, self.count = people, count
        self.bucket = self.shard = np.zeros(count, int)
        self.cached = True

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: tuple[int, int]) -> Sample:
        number, seed = item
        dice = np.random.default_rng(number)
        who = dice.permutation(PEOPLE)[: dice.integers(self.people[0], self.people[1] + 1)]
        latent, boxes = picture(who, dice)
        return Sample(
            key=f"toy{number}",
            seed=seed,
            caption="",
            boxes=boxes,
            landmarks=landmarks(boxes),
            faces=features(who),
            other=None,
            absent=None,
            pixels=None,
            moments=torch.cat((latent, torch.zeros_like(latent))),
            text=seeded(99, 77, CONTEXT),
            pooled=None,
            original=(64, 64),
            corner=(0, 0),
        )


def picture(who: Sequence[int], dice: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A latent with a patch for each person, side by side in any order, and their boxes."""
    latent, boxes, width = torch.zeros(4, SIDE, SIDE), [], SIDE // len(who)
    for place, person in enumerate(who):
        top, left = int(dice.integers(0, SIDE // 2)), place * width
        tall, wide = SIDE // 2, max(width - 1, 2)
        latent[:, top : top + tall, left : left + wide] = colour(person)[:, None, None]
        boxes.append((left / SIDE, top / SIDE, (left + wide) / SIDE, (top + tall) / SIDE))
    return latent, torch.tensor(boxes)


def landmarks(boxes: Tensor) -> Tensor:
    """As the template has them in its picture, (people, 5, 2)."""
    corner, other = boxes[:, None, :2], boxes[:, None, 2:]
    return corner + (other - corner) * torch.from_numpy(ARCFACE_TEMPLATE / TEMPLATE_SIZE).float()


def colour(person: int) -> Tensor:
    """Of the latents: the corners of a tetrahedron, and one channel for being a face."""
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return STRENGTH * torch.cat((corners[person], torch.ones(1)))


def features(who: Sequence[int]) -> Faces:
    """What ideal networks would see of people."""

    def each(stream: int, *shape: int) -> Tensor:
        return torch.stack([seeded(10 * person + stream, *shape) for person in map(int, who)])

    return Faces(None, each(0, 20), each(1, 49, INTRINSIC), each(2, SPOTS, SHALLOW), each(3, SPOTS, CLIP), each(4, 24))


def seeded(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
