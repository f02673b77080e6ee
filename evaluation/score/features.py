"""The features of pictures: what each model sees in them, found in batches, by many processes if there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm import tqdm

from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.detection import Face

from ..models.interfaces import Picture
from ..models.registry import Model, Models
from ..pictures.reading import read_picture
from .cache import FeatureCache, Features

ROUND = 8  # batches of each process between two writes to the cache
READERS = 4  # threads that decode pictures


class Extractor(Protocol):
    """Sees something in pictures.

    Attributes:
        name: in the progress.
        identity: of the models, for the cache.
    """

    name: str
    identity: str

    def __call__(self, pictures: Sequence[Picture]) -> list[Features]:
        """The features of each picture."""


class FaceExtractor:
    """All faces: boxes, (faces, 4), landmarks, (faces, 5, 2), confidences, (faces,), and embeddings, (faces, dim)."""

    def __init__(self, detector: Model, recogniser: Model):
        self.name = "faces"
        self.identity = f"{detector.identity}|{recogniser.identity}"
        self._detect, self._recogniser = detector.run, recogniser.run

    def __call__(self, pictures: Sequence[Picture]) -> list[Features]:
        found = [self._detect(picture) for picture in pictures]
        crops = [
            self._recogniser.crop(picture, face)
            for picture, faces in zip(pictures, found, strict=True)
            for face in faces
        ]
        embeddings = self._recogniser.embed(np.stack(crops)).numpy() if crops else np.zeros((0, 0), np.float32)
        ends = np.cumsum([len(faces) for faces in found])
        parts = np.split(embeddings, ends[:-1])
        return [{**pack_faces(faces), "embeddings": part} for faces, part in zip(found, parts, strict=True)]


class EmbeddingExtractor:
    """One vector per picture: CLIP's embedding, or Inception's features."""

    def __init__(self, name: str, model: Model):
        self.name, self.identity = name, model.identity
        self._see = getattr(model.run, "embed_pictures", model.run)

    def __call__(self, pictures: Sequence[Picture]) -> list[Features]:
        return [{"vector": vector} for vector in self._see(pictures).float().numpy()]


def face_extractor(models: Models) -> FaceExtractor | None:
    """What finds faces, if there are models for it."""
    return FaceExtractor(models.detector, models.recogniser) if models.detector and models.recogniser else None


def extract(
    extractor: Extractor, files: Sequence[Path], cache: FeatureCache | None, batch: int, state: PartialState
) -> list[Features] | None:
    """The features of pictures, from the cache or found now.

    Every process of a run calls this with the same files. Each takes its share of those that the cache lacks; the main
    process writes them down, round by round, so that what a run has found when it ends is there for the next.

    Args:
        extractor: what sees.
        files: pictures.
        cache: of the main process, None in the others.
        batch: pictures at a time.
        state: of accelerate.

    Returns:
        In the order of the files, in the main process; None in the others.

    Raises:
        UniPortraitError: a picture that cannot be read; what was seen before is kept.
    """
    contents = _from_main(cache.contents(files) if cache else None, state)
    known = _from_main(cache.known(extractor.identity) if cache else None, state)
    missing = {content: file for content, file in zip(contents, files, strict=True) if content not in known}
    waiting, step = list(missing.items()), batch * ROUND * state.num_processes
    with tqdm(desc=extractor.name, total=len(waiting), unit="pic", disable=cache is None or not waiting) as progress:
        for start in range(0, len(waiting), step):
            part = waiting[start : start + step]
            with state.split_between_processes(part) as own:
                found, fault = _see_all(extractor, own, batch)
            faults = [fault]
            if state.num_processes > 1:
                found, faults = gather_object(found), gather_object(faults)
            if cache:
                cache.put(extractor.identity, found)
                progress.update(len(part))
            if faults := [fault for fault in faults if fault]:
                raise faults[0]
    return [cache.get(content, extractor.identity) for content in contents] if cache else None


def pack_faces(faces: Sequence[Face]) -> Features:
    """Faces as arrays."""
    return {
        "boxes": np.array([face.box for face in faces], np.float32).reshape(-1, 4),
        "landmarks": np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2),
        "confidences": np.array([face.confidence for face in faces], np.float32),
    }


def unpack_faces(features: Features) -> list[Face]:
    """Faces from arrays."""
    parts = (features["boxes"], features["landmarks"], features["confidences"].tolist())
    return [Face(*face) for face in zip(*parts, strict=True)]


def embeddings_of(features: Features, dim: int) -> torch.Tensor:
    """The embeddings of a picture's faces, (faces, dim), also where there are none."""
    return torch.from_numpy(features["embeddings"].copy()).reshape(-1, dim)


def _see_all(
    extractor: Extractor, part: Sequence[tuple[str, Path]], batch: int
) -> tuple[list[tuple[str, Features]], UniPortraitError | None]:
    """Features by content, and what they end at."""
    found = []
    try:
        found += _see(extractor, part, batch)
    except UniPortraitError as fault:
        return found, fault
    return found, None


def _see(extractor: Extractor, part: Sequence[tuple[str, Path]], batch: int) -> Iterator[tuple[str, Features]]:
    """Features by content; the next batch is read while this one is looked at."""
    with ThreadPoolExecutor(READERS) as readers:
        reading = [readers.submit(read_picture, file) for _, file in part[:batch]]
        for start in range(0, len(part), batch):
            pictures = [picture.result() for picture in reading]
            following = part[start + batch : start + 2 * batch]
            reading = [readers.submit(read_picture, file) for _, file in following]
            contents = [content for content, _ in part[start : start + batch]]
            yield from zip(contents, extractor(pictures), strict=True)


def _from_main(value: object, state: PartialState) -> object:
    """What the main process has, in every process."""
    return gather_object([value])[0] if state.num_processes > 1 else value
