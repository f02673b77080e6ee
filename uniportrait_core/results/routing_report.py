"""Reading a record of routing: which steps, who has how much, and who will be missing."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import torch
from torch import Tensor

from ..errors import UniPortraitError, named
from ..faces.detection import Face
from ..routing.record import MOST_SAMPLINGS, RoutingRecord
from ..routing.regions import WHOLE, Window

ABOUT_TO_BE_MISSING = 0.02  # share of what all have together, on average over steps
SURE_AFTER = 2  # steps; the first alone says little


@dataclass(frozen=True)
class PictureReport:
    """Who has what of one picture; people are numbered from 0, shares are 0..1.

    Attributes:
        picture: share of the whole picture of every person.
        faces: share of all face boxes together of every person; None where no faces are known.
        owners: for every face, who has most of its box, and how much.
        missing: people who have so little that they will not be seen.
    """

    picture: tuple[float, ...]
    faces: tuple[float, ...] | None
    owners: tuple[tuple[int, float], ...]
    missing: tuple[int, ...]

    @property
    def sentence(self) -> str:
        """All of it in words, with advice where somebody is missing."""
        people = []
        for number, share in enumerate(self.picture):
            of_faces = "" if self.faces is None else f" and {percent(self.faces[number])} of the faces"
            people.append(f"person {number + 1} has {percent(share)} of the picture{of_faces}")
        faces = [
            f"face {number} is person {owner + 1}'s ({percent(share)})"
            for number, (owner, share) in enumerate(self.owners, start=1)
        ]
        text = "; ".join([", ".join(people), *([", ".join(faces)] if faces else [])])
        if self.missing:
            who = " and ".join(f"person {person + 1}" for person in self.missing)
            advice = "another seed, a prompt that names as many people, or a mask on Adjust Face ID"
            text += f". Likely missing: {who}. Try {advice}"
        return f"{text}."


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def maps_of(record: RoutingRecord, pictures: int, samplings: Sequence[Hashable] = ()) -> list[Tensor]:
    """`record.maps(samplings)`.

    Raises UniPortraitError where nothing was recorded, where other pictures were, or where it is no longer kept.
    """
    if record.is_gone(samplings):
        raise UniPortraitError(
            "image at Routing Map is from an earlier run that ComfyUI has kept, and its record had to make room for "
            f"{MOST_SAMPLINGS} later ones. Change the seed of the sampler, or another input, so that it samples again."
        )
    levels = record.maps(samplings)
    if not levels:
        raise UniPortraitError(
            "The record at Routing Map is empty: no picture was sampled with the model of its Record Routing, or the "
            "router had nothing to choose. Connect that model to the sampler that makes image."
        )
    if len(levels[0]) != pictures:
        raise UniPortraitError(
            f"image at Routing Map holds {pictures} pictures, the last sampling of its Record Routing made "
            f"{len(levels[0])}. Connect the pictures of that sampling, all of them."
        )
    return levels


def report_picture(shares: Tensor, faces: Sequence[Window], min_share: float) -> PictureReport:
    """Measure who has what.

    Args:
        shares: of each spot for each person, (people, height, width), 0..1.
        faces: boxes of the faces in the picture.
        min_share: share of the faces, or of the picture where there are none, below which somebody is missing, 0..1.
    """
    picture = _share(shares, [WHOLE])
    in_faces = _share(shares, faces) if faces else None
    owners = []
    for face in faces:
        parts = _share(shares, [face])
        owner = max(range(len(parts)), key=parts.__getitem__)
        owners.append((owner, parts[owner]))
    missing = [person for person, share in enumerate(in_faces or picture) if share < min_share]
    return PictureReport(picture, in_faces, tuple(owners), tuple(missing))


def likely_missing(past: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """Who is about to be missing, while a picture is still being sampled.

    Args:
        past: everybody's share of the picture in each step so far, 0..1.

    Returns:
        People, numbered from 0, who had less than `ABOUT_TO_BE_MISSING` on average; nobody before `SURE_AFTER` steps.
    """
    if len(past) < SURE_AFTER:
        return ()
    sums = [sum(shares) for shares in zip(*past, strict=True)]
    return tuple(person for person, own in enumerate(sums) if own < ABOUT_TO_BE_MISSING * sum(sums))


def face_window(face: Face, picture: np.ndarray) -> Window:
    """The box of a face as a part of its picture, (height, width, …)."""
    height, width = picture.shape[:2]
    left, top, right, bottom = face.box.tolist()
    return top / height, left / width, bottom / height, right / width


def _share(shares: Tensor, windows: Sequence[Window]) -> tuple[float, ...]:
    """Of the spots that any of the windows touches, what each person has."""
    height, width = shares.shape[1:]
    inside = torch.zeros(height, width, dtype=torch.bool)
    for top, left, bottom, right in windows:
        rows = slice(max(floor(top * height), 0), max(ceil(bottom * height), 1))
        inside[rows, max(floor(left * width), 0) : max(ceil(right * width), 1)] = True
    return tuple(shares[:, inside].mean(dim=1).nan_to_num(0).tolist())


def choose_steps(text: str, count: int) -> list[list[int]]:
    """Which steps a user wants to see.

    Args:
        text: `average`, `each`, or numbers and ranges counted from 1, such as `1, 5, 10-12`.
        count: how many steps there are.

    Returns:
        For every picture to show the steps to average, counted from 0.

    Raises:
        UniPortraitError: it is none of these, or there is no such step.
    """
    words = [word.strip() for word in text.lower().split(",") if word.strip()]
    if words in ([], ["average"]):
        return [list(range(count))]
    if words == ["each"]:
        return [[step] for step in range(count)]
    steps = []
    for word in words:
        match = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= count:
            raise UniPortraitError(
                f"steps is '{named(text, 80)}', needed are numbers from 1 to {count}, as many as there are steps "
                "with people. Change steps on Routing Map; average and each are possible as well."
            )
        steps += [[step] for step in range(first - 1, last)]
    return steps
