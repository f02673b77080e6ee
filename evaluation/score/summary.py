"""A folder in numbers: the mean of every metric with its interval, in all, for each kind of prompt, for each person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ..metrics.bootstrap import Estimate, Units, mean_with_interval, statistic_with_interval, units_of
from ..metrics.frechet import distance, fit, root
from .scores import Score


@dataclass(frozen=True)
class Metric:
    """A column of the tables.

    Attributes:
        name: its heading.
        key: the attribute of `Score` for those `OF_A_PICTURE`, also in files.
        scale: what values are multiplied by, to be written as the paper does.
        better: "higher", "lower", or "" where neither is.
        decimals: that are written.
    """

    name: str
    key: str
    scale: float
    better: str
    decimals: int


FACE_SIM = Metric("Face Sim", "face_sim", 100, "higher", 1)
CLIP_T = Metric("CLIP-T", "clip_t", 100, "higher", 1)
FID = Metric("FID", "fid", 1, "lower", 1)
AESTHETIC = Metric("LAION-Aes", "aesthetic", 1, "higher", 2)
BLENDING = Metric("BS", "blending", 100, "lower", 1)
METRICS = (FACE_SIM, CLIP_T, FID, AESTHETIC, BLENDING)
OF_A_PICTURE = (FACE_SIM, CLIP_T, AESTHETIC, BLENDING)

Numbers = dict[str, Estimate]
"""Estimates by key of the metric, not scaled."""


@dataclass(frozen=True)
class Summary:
    """A folder.

    Attributes:
        name: of the method.
        count: pictures.
        numbers: of all pictures.
        kinds, people: of parts of them, by kind of prompt and by person.
        without_face: pictures without any face.
        too_few, too_many: pictures with fewer, or more, faces than people; those without any are among the former.
        scores: of all pictures.
    """

    name: str
    count: int
    numbers: Numbers
    kinds: dict[str, Numbers]
    people: dict[str, Numbers]
    without_face: int
    too_few: int
    too_many: int
    scores: tuple[Score, ...]


def summarise(name: str, scores: Sequence[Score], fid: Estimate | None, resamples: int) -> Summary:
    """Put the scores of a folder together.

    Args:
        name: of the method.
        scores: of all pictures.
        fid: of all pictures, if there is any.
        resamples: of the bootstrap.
    """

    def numbers(chosen: Iterable[Score], person: str | None = None) -> Numbers:
        return _numbers(list(chosen), resamples, person)

    kinds = list(dict.fromkeys(score.picture.kind for score in scores))
    people = sorted({person for score in scores for person in score.picture.people})
    looked = [score for score in scores if score.likeness is not None]
    spare = [score.faces_found - len(score.picture.people) for score in looked]
    return Summary(
        name=name,
        count=len(scores),
        numbers={**numbers(scores), **({FID.key: fid} if fid else {})},
        kinds={kind: numbers(s for s in scores if s.picture.kind == kind) for kind in kinds},
        people={person: numbers((s for s in scores if person in s.picture.people), person) for person in people},
        without_face=sum(not score.faces_found for score in looked),
        too_few=sum(number < 0 for number in spare),
        too_many=sum(number > 0 for number in spare),
        scores=tuple(scores),
    )


def fid_with_interval(
    features: torch.Tensor, reference: torch.Tensor, units: Units, resamples: int, device: torch.device
) -> Estimate:
    """FID of pictures to a reference set, with its interval.

    Args:
        features, reference: (pictures, dim).
        units: of the pictures.
        resamples: of the bootstrap; each takes a second or two on a CPU.
        device: to compute on; one without float64 is not used.
    """
    device = torch.device("cpu") if device.type == "mps" else device
    features, wanted = features.to(device), fit(reference.to(device))
    wanted_root = root(wanted.covariance)

    def fid(weights: np.ndarray | None) -> float:
        drawn = None if weights is None else torch.from_numpy(weights)
        return distance(fit(features, drawn), wanted, wanted_root)

    with tqdm(desc="FID, resampled", total=resamples, disable=not resamples) as progress:
        return statistic_with_interval(fid(None), _counted(fid, progress.update), units, resamples)


def _counted(function: Callable[[np.ndarray], float], update: Callable[[], object]) -> Callable[[np.ndarray], float]:
    def counted(weights: np.ndarray) -> float:
        update()
        return function(weights)

    return counted


def _numbers(scores: Sequence[Score], resamples: int, person: str | None) -> Numbers:
    found = {}
    for metric in OF_A_PICTURE:
        there = [score for score in scores if getattr(score, metric.key) is not None]
        if there:
            units = units_of([score.picture.people for score in there], person)
            values = [getattr(score, metric.key) for score in there]
            found[metric.key] = mean_with_interval(values, units, resamples)
    return found
