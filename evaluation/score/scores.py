"""The scores of every picture of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState

from uniportrait_core.embedding.identity import mean_embedding
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.detection import Face, order_faces
from uniportrait_core.results.likeness import Likeness, judge

from ..models.registry import Models
from ..pictures.folder import Picture, references_of
from .cache import FeatureCache, Features
from .features import EmbeddingExtractor, embeddings_of, extract, face_extractor, unpack_faces

SAME_PERSON = 0.4  # as in Face Similarity; it has no part in the scores
ALL, LARGEST = "all", "largest"


@dataclass(frozen=True)
class Score:
    """What the models say of a picture; None where there was no model, or where a picture has no such score.

    Attributes:
        picture: which.
        face_sim: 0..1.
        clip_t: cosine of picture and prompt, −1..1.
        aesthetic: about 1 to 10.
        blending: 0..1; None with fewer than two faces.
        faces: that count.
        faces_found: how many there are, also of those that do not count.
        likeness: who is on them.
    """

    picture: Picture
    face_sim: float | None = None
    clip_t: float | None = None
    aesthetic: float | None = None
    blending: float | None = None
    faces: tuple[Face, ...] = ()
    faces_found: int = 0
    likeness: Likeness | None = None


@dataclass(frozen=True)
class Scorer:
    """Scores pictures.

    Attributes:
        models: those that there are.
        cache: of features, in the main process.
        state: of accelerate.
        batch: pictures at a time.
        faces: `all`, or `largest` for as many of a picture's largest faces as it should have people.
    """

    models: Models
    cache: FeatureCache | None
    state: PartialState
    batch: int = 16
    faces: str = ALL

    def scores(self, pictures: Sequence[Picture]) -> list[Score]:
        """The scores of all pictures; meaningful in the main process only.

        Raises:
            UniPortraitError: a picture that cannot be read, or a reference without a face.
        """
        likeness = self._likeness(pictures)
        clip_t, aesthetic = self._clip_scores(pictures)
        return [
            Score(
                picture,
                face_sim=who and who.face_sim,
                clip_t=fits,
                aesthetic=liked,
                blending=who and who.blending,
                faces=faces,
                faces_found=count,
                likeness=who,
            )
            for picture, (faces, count, who), fits, liked in zip(pictures, likeness, clip_t, aesthetic, strict=True)
        ]

    def vectors(self, files: Sequence[Path]) -> torch.Tensor | None:
        """Features for FID, (pictures, dim); None without a model for it, or in other processes than the main one."""
        if not self.models.fid_features:
            return None
        return self._vectors(EmbeddingExtractor("FID", self.models.fid_features), files)

    def _likeness(self, pictures: Sequence[Picture]) -> list[tuple[tuple[Face, ...], int, Likeness | None]]:
        extractor = face_extractor(self.models)
        photos = references_of(pictures)
        if extractor is None or not all(photos.values()):
            return [((), 0, None)] * len(pictures)
        names = [(name, file) for name, files in photos.items() for file in files]
        seen = extract(extractor, [file for _, file in names], self.cache, self.batch, self.state)
        people = None
        if seen is not None:
            people = {name: [] for name in photos}
            for (name, file), features in zip(names, seen, strict=True):
                people[name].append(_reference(name, file, features))
            people = {name: mean_embedding(torch.stack(faces)) for name, faces in people.items()}
        found = extract(extractor, [picture.file for picture in pictures], self.cache, self.batch, self.state)
        if found is None or people is None:
            return [((), 0, None)] * len(pictures)
        return [self._judge(picture, features, people) for picture, features in zip(pictures, found, strict=True)]

    def _judge(
        self, picture: Picture, features: Features, people: dict[str, torch.Tensor]
    ) -> tuple[tuple[Face, ...], int, Likeness]:
        wanted = torch.stack([people[name] for name in picture.people])
        faces, embeddings = unpack_faces(features), embeddings_of(features, wanted.shape[1])
        count = len(faces)
        if self.faces == LARGEST:
            kept = sorted(range(len(faces)), key=lambda number: -faces[number].area)[: len(wanted)]
            faces, embeddings = [faces[number] for number in kept], embeddings[kept]
        return tuple(faces), count, judge(embeddings, wanted, SAME_PERSON)

    def _clip_scores(self, pictures: Sequence[Picture]) -> tuple[list[float | None], list[float | None]]:
        nothing: list[float | None] = [None] * len(pictures)
        if not self.models.text_image:
            return nothing, nothing
        files = [picture.file for picture in pictures]
        seen = self._vectors(EmbeddingExtractor("CLIP", self.models.text_image), files)
        if seen is None:
            return nothing, nothing
        places = {prompt: place for place, prompt in enumerate(dict.fromkeys(picture.prompt for picture in pictures))}
        prompts = list(places)
        embed, batches = self.models.text_image.run.embed_texts, range(0, len(prompts), self.batch)
        texts = torch.cat([embed(prompts[start : start + self.batch]) for start in batches])
        fits = (seen * texts[[places[picture.prompt] for picture in pictures]]).sum(dim=-1).tolist()
        return fits, self.models.aesthetic.run(seen).tolist() if self.models.aesthetic else nothing

    def _vectors(self, extractor: EmbeddingExtractor, files: Sequence[Path]) -> torch.Tensor | None:
        found = extract(extractor, files, self.cache, self.batch, self.state)
        return None if found is None else torch.from_numpy(np.stack([features["vector"] for features in found]))


def _reference(name: str, file: Path, features: Features) -> torch.Tensor:
    """The embedding of the largest face of a photo."""
    faces = unpack_faces(features)
    if not faces:
        raise UniPortraitError(
            f"No face found in {file}, a reference of {name}. Use a photo in which the face is larger and seen from "
            "the front, or another detector."
        )
    largest = order_faces(faces, "largest")[0]
    number = next(number for number, face in enumerate(faces) if face is largest)
    return torch.from_numpy(features["embeddings"][number].copy())
