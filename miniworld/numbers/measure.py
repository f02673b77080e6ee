"""Drawing the trials in several ways, and measuring what came out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from uniportrait_core.embedding.face_features import CROP_SIZE
from uniportrait_core.faces.alignment import align
from uniportrait_core.results.likeness import judge

from ..files import Files
from ..sampling import sample
from .artist import Artist
from .follow import ASKED, Reader
from .likeness import Judge, photo_of
from .trials import Trial, trials

BATCH = 20
NOBODY = -1.0  # a face counts as whom it is most like, however little
COMPANIES = (1, 2, 3)
DRAWN, BASE = "drawings", "base model"
logger = logging.getLogger("miniworld")

Draw = Callable[[Sequence[Trial]], np.ndarray]
"""From trials to pictures, RGB, (trials, height, width, 3), uint8."""


@dataclass(frozen=True)
class Measured:
    """Of each picture, in the order of the trials.

    Attributes:
        people: seeds of who is in it.
        lowest, mean: similarities of its people to their photos.
        blending: how much its faces look like each other; None where there are not two.
        followed: by question of `ASKED`.
        other: mean similarity of its faces to everybody else's photo; None without a face.
    """

    people: list[tuple[int, ...]]
    lowest: list[float]
    mean: list[float]
    blending: list[float | None]
    followed: dict[str, list[float]]
    other: list[float | None]


class Studio:
    """All that is needed to measure: photos of the people, who judges, and who reads."""

    def __init__(self, files: Files, people: int):
        self.files, self.count = files, people
        self.judge, self._reader = Judge(files), Reader(files)
        self._photos = {seed: photo_of(seed) for trial in trials(1, people) for seed in trial.people}
        self._known = {seed: self.judge.person(photo) for seed, photo in self._photos.items()}

    def crop(self, seed: int) -> torch.Tensor:
        """The aligned face of somebody's photo, (224, 224, 3), uint8."""
        photo = self._photos[seed]
        return torch.from_numpy(align(photo, self.judge.faces(photo)[0].landmarks, CROP_SIZE))

    def measure(self, wanted: Sequence[Trial], draw: Draw) -> Measured:
        """Draw trials, and measure the pictures."""
        result = Measured([], [], [], [], {question: [] for question in ASKED}, [])
        for start in range(0, len(wanted), BATCH):
            part = wanted[start : start + BATCH]
            for trial, picture in zip(part, draw(part), strict=True):
                self._add(result, trial, picture)
        return result

    def _add(self, result: Measured, trial: Trial, picture: np.ndarray) -> None:
        found_faces = self.judge.faces(picture)
        faces = self.judge.embed(picture, found_faces)
        found = judge(faces, torch.stack([self._known[seed] for seed in trial.people]), NOBODY)
        others = torch.stack([known for seed, known in self._known.items() if seed not in trial.people])
        followed = self._reader.followed(picture, found_faces, trial.scene)
        result.people.append(trial.people)
        result.lowest.append(found.lowest)
        result.mean.append(float(np.mean(found.scores)))
        result.blending.append(found.blending)
        result.other.append(float((faces @ others.T).mean()) if len(faces) else None)
        for question in ASKED:
            result.followed[question].append(followed[question])


def drawings(size: int) -> Draw:
    """The trials as they should be."""
    return lambda part: np.stack([trial.drawing(size) for trial in part])


def base_model(files: Files) -> Draw:
    """The base model, which is told the prompt alone."""
    device = torch.device("cpu")
    return lambda part: sample(files.base, [trial.prompt for trial in part], part[0].seed, device)


def with_people(studio: Studio, faceid: Path | None = None, router: Path | None = None, masked: bool = False) -> Draw:
    """The method, with weights of stage I and perhaps of stage II, or with masks; see `Artist`."""
    artist = Artist(studio.files, faceid, router)

    def draw(part: Sequence[Trial]) -> np.ndarray:
        crops = torch.stack([torch.stack([studio.crop(seed) for seed in trial.people]) for trial in part])
        people = artist.encode(crops)
        seeds = [trial.seed for trial in part]
        return artist.draw([trial.prompt for trial in part], people, seeds, masked=masked)[0]

    return draw


def measure_all(studio: Studio, size: int, ways: dict[str, Draw]) -> dict[str, dict[int, Measured]]:
    """Every way with every number of people in a picture; drawings first."""
    found: dict[str, dict[int, Measured]] = {}
    for name, draw in {DRAWN: drawings(size), **ways}.items():
        found[name] = {}
        for company in COMPANIES:
            found[name][company] = studio.measure(trials(company, studio.count), draw)
            logger.info("%-32s %d: %.3f", name, company, np.mean(found[name][company].mean))
    return found
