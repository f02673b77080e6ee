"""Samples of a step, stacked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .sample import Faces, Sample
from .tensors import changed


@dataclass(frozen=True)
class Batch:
    """What a training step is given. Rows of people are filled up with zeros where a picture has fewer.

    Attributes:
        keys, captions: of the pictures.
        seeds: likewise, (batch,), int64.
        boxes: as in `Sample`, (batch, people, 4); empty, all 0, for absent people.
        landmarks: likewise, (batch, people, 5, 2); None where a picture has none.
        present: where there is a candidate of the router, bool, (batch, people).
        in_picture: where that candidate is in the picture, bool, (batch, people). Absent people come last.
        faces: of the candidates, each (batch, people, …).
        other: another photo of the only person, each (batch, …); None where no picture has one.
        has_other: which pictures have one, bool, (batch,).
        pixels, moments, text, pooled: as in `Sample`, stacked.
        original: height and width before, (batch, 2).
        corner: top and left of the cut, (batch, 2).
    """

    keys: tuple[str, ...]
    seeds: Tensor
    captions: tuple[str, ...]
    boxes: Tensor
    landmarks: Tensor | None
    present: Tensor
    in_picture: Tensor
    faces: Faces
    other: Faces | None
    has_other: Tensor
    pixels: Tensor | None
    moments: Tensor | None
    text: Tensor | None
    pooled: Tensor | None
    original: Tensor
    corner: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same on a device."""
        return changed(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same in page-locked memory; a DataLoader calls it."""
        return changed(self, Tensor.pin_memory)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size; an absent person becomes the last candidate of their picture."""
    candidates = [_candidates(sample) for sample in samples]
    most = max(len(sample.boxes) + (sample.absent is not None) for sample in samples)
    landmarks = [sample.landmarks for sample in samples]
    others = [sample.other for sample in samples]
    known = next((other for other in others if other is not None), None)
    return Batch(
        keys=tuple(sample.key for sample in samples),
        seeds=torch.tensor([sample.seed for sample in samples]),
        captions=tuple(sample.caption for sample in samples),
        boxes=_filled([sample.boxes for sample in samples], most),
        landmarks=None if any(points is None for points in landmarks) else _filled(landmarks, most),
        present=_filled([torch.ones(_count(faces), dtype=torch.bool) for faces in candidates], most),
        in_picture=_filled([torch.ones(len(sample.boxes), dtype=torch.bool) for sample in samples], most),
        faces=_each(lambda tensors: _filled(tensors, most), *candidates),
        other=known and _each(lambda tensors: torch.cat(tensors), *(_or_nobody(other, known) for other in others)),
        has_other=torch.tensor([other is not None for other in others]),
        pixels=_stacked([sample.pixels for sample in samples]),
        moments=_stacked([sample.moments for sample in samples]),
        text=_stacked([sample.text for sample in samples]),
        pooled=_stacked([sample.pooled for sample in samples]),
        original=torch.tensor([sample.original for sample in samples]),
        corner=torch.tensor([sample.corner for sample in samples]),
    )


def _candidates(sample: Sample) -> Faces:
    if sample.absent is None:
        return sample.faces
    return _each(lambda tensors: torch.cat(tensors), sample.faces, sample.absent)


def _each(combine: Callable[[list[Tensor]], Tensor], *faces: Faces) -> Faces:
    """Combine what several faces have, field by field."""
    columns = {field.name: [getattr(face, field.name) for face in faces] for field in fields(Faces)}
    return Faces(**{name: combine(column) for name, column in columns.items() if column[0] is not None})


def _or_nobody(other: Faces | None, known: Faces) -> Faces:
    return other or _each(lambda tensors: torch.zeros_like(tensors[0]), known)


def _count(faces: Faces) -> int:
    return next(len(value) for value in vars(faces).values() if value is not None)


def _filled(tensors: Sequence[Tensor], most: int) -> Tensor:
    """Tensors (people, …) as one, (batch, most, …), with zeros at the end."""
    filled = tensors[0].new_zeros(len(tensors), most, *tensors[0].shape[1:])
    for row, tensor in zip(filled, tensors, strict=True):
        row[: len(tensor)] = tensor
    return filled


def _stacked(tensors: Sequence[Tensor | None]) -> Tensor | None:
    return None if tensors[0] is None else torch.stack(list(tensors))
