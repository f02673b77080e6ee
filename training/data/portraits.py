"""Prepared pictures as samples of training, by number."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor
from torch.utils.data import Dataset

from uniportrait_core.errors import UniPortraitError

from .geometry import STEP, Cut, bucket, check_resolution, cut
from .index import Index, join, load_index
from .members import read_members
from .people import People
from .sample import Faces, Sample

FEATURES = ("embedding", "intrinsic", "shallow", "clip", "image")


@dataclass(frozen=True)
class View:
    """Which pictures are used, and how they are shown.

    Attributes:
        resolution: side of the square that is cut out, in pixels, a multiple of 8; of buckets, of a square as large.
        buckets: cut out the shape nearest to the picture's own (`geometry.bucket_sizes`) instead of a square.
        people: fewest and most people in a picture; 1, 1 for stage I.
        other_photo: probability of another photo of the person, in pictures of one (section 3.2 of the paper: 0.1).
        absent: probability of one more candidate, who is not in the picture.
        cached: use the features in the shards where there are any.
    """

    resolution: int = 512
    buckets: bool = False
    people: tuple[int, int] = (1, 1)
    other_photo: float = 0.1
    absent: float = 0.0
    cached: bool = True


class Portraits(Dataset[Sample]):
    """Pictures with faces, read from prepared shards in any order.

    Attributes:
        index: of all pictures in the shards.
        pictures: numbers of those used, in the index; a sample's number is a place in here.
        shard: number of the shard that a sample is in, (samples,).
        bucket: number of the bucket of a sample, (samples,); 0 without buckets.
        left_out: how many pictures are not used, by reason.
    """

    def __init__(self, folders: Sequence[str | Path], view: View, networks: Mapping[str, str] | None = None):
        """
        Args:
            folders: of shards, finished by `python -m training prepare`; paths, or addresses for fsspec.
            view: what is used and how.
            networks: fingerprints of the networks that train (`frozen/fingerprint.py`); cached features are checked
                against them.

        Raises:
            UniPortraitError: a folder is not usable, its features are of other networks or another size, or none of
                its pictures is fit for the view.
        """
        check_resolution(view.resolution)
        self.index = join([load_index(folder) for folder in folders], view.cached)
        self.view = view
        self.cached = self.index.cache is not None
        if self.cached:
            _check_cache(self.index, view, networks)
        fewest, most = view.people
        counts = self.index.people
        wanted = np.flatnonzero((counts >= fewest) & (counts <= most))
        fits = np.array([self._cut(picture).fits for picture in wanted], bool)
        self.pictures = wanted[fits]
        self.left_out = {
            f"fewer than {fewest} people": int((counts < fewest).sum()),
            f"more than {most} people": int((counts > most).sum()),
            "faces too far apart for the crop": int((~fits).sum()),
        }
        if not len(self.pictures):
            raise _nothing_left(folders, view, len(self.index), self.left_out)
        self.shard = self.index.shard[self.pictures]
        sizes = self.index.size[self.pictures].tolist()
        self.bucket = np.array([bucket(size, view.resolution) if view.buckets else 0 for size in sizes])
        self._people = People(self.index)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, item: tuple[int, int]) -> Sample:
        """A sample.

        Args:
            item: its number, and a seed that all choices about it come from.
        """
        number, seed = item
        picture = int(self.pictures[number])
        dice = np.random.default_rng(seed)
        # All are thrown first, so that where a picture is cut does not depend on the other choices.
        show_other, add_absent, down, across = dice.random(4)
        people = dice.permutation(int(self.index.people[picture]))
        other = self._people.another_photo(picture, dice) if show_other < self.view.other_photo else None
        absent = self._people.stranger(picture, dice) if add_absent < self.view.absent else None

        key, members = self._read(picture)
        facts = json.loads(members["json"])
        where = self._cut(picture)
        corner = where.rows[int(down * len(where.rows))], where.columns[int(across * len(where.columns))]
        features = load(members["safetensors"]) if self.cached else {}
        return Sample(
            key=key,
            seed=seed,
            caption=facts["caption"],
            boxes=_boxes(facts, where, corner)[people],
            landmarks=None if (points := _landmarks(facts, where, corner)) is None else points[people],
            faces=_faces(members, features, people),
            other=self._face(other),
            absent=self._face(absent),
            pixels=None if self.cached else _pixels(members, where, corner),
            moments=_moments(features["moments"], where, corner) if self.cached else None,
            text=features["text"].float() if self.cached else None,
            pooled=features["pooled"].float() if "pooled" in features else None,
            original=tuple(facts["original_size"]),
            corner=corner,
        )

    def _cut(self, picture: int) -> Cut:
        size, around = self.index.size[picture].tolist(), self.index.around[picture].tolist()
        return cut(size, around, self.view.resolution, self.view.buckets)

    def _read(self, picture: int) -> tuple[str, dict[str, bytes]]:
        return read_members(self.index.shards[self.index.shard[picture]], self.index.place[picture])

    def _face(self, which: tuple[int, int] | None) -> Faces | None:
        if which is None:
            return None
        picture, face = which
        _, members = self._read(picture)
        return _faces(members, load(members["safetensors"]) if self.cached else {}, np.array([face]))


def _pixels(members: Mapping[str, bytes], where: Cut, corner: tuple[int, int]) -> Tensor:
    whole = resized(members, where.size)
    (top, left), (height, width) = corner, where.crop
    return to_tensor(whole[top : top + height, left : left + width])


def resized(members: Mapping[str, bytes], size: tuple[int, int]) -> np.ndarray:
    """The whole picture at a height and width, RGB, (height, width, 3), uint8."""
    data = members["png"] if "png" in members else members["jpg"]
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB").resize(size[::-1], Image.Resampling.LANCZOS))


def to_tensor(pixels: np.ndarray) -> Tensor:
    """RGB, (height, width, 3), uint8, as (3, height, width), −1..1."""
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).float().div_(127.5).sub_(1)


def _moments(whole: Tensor, where: Cut, corner: tuple[int, int]) -> Tensor:
    top, left, height, width = (side // STEP for side in (*corner, *where.crop))
    return whole[:, top : top + height, left : left + width].float()


def _boxes(facts: dict, where: Cut, corner: tuple[int, int]) -> Tensor:
    """Boxes of all faces as shares of the cut picture, (people, 4)."""
    boxes = np.array([face["box"] for face in facts["faces"]]).reshape(-1, 2, 2)
    return _shares(boxes, facts, where, corner).clamp(0, 1).flatten(1)


def _landmarks(facts: dict, where: Cut, corner: tuple[int, int]) -> Tensor | None:
    """Landmarks of all faces likewise, (people, 5, 2)."""
    if any("landmarks" not in face for face in facts["faces"]):
        return None
    points = np.array([face["landmarks"] for face in facts["faces"]])
    return _shares(points + 0.5, facts, where, corner)  # landmarks count from the middle of the first pixel


def _shares(points: np.ndarray, facts: dict, where: Cut, corner: tuple[int, int]) -> Tensor:
    """Points (x, y) in pixels of the picture as shares of what is cut out of it."""
    (height, width), (top, left), crop = facts["size"], corner, where.crop
    scale = np.array((where.size[1] / width, where.size[0] / height))
    return torch.from_numpy((points * scale - (left, top)) / (crop[1], crop[0])).float()


def _faces(members: Mapping[str, bytes], features: Mapping[str, Tensor], people: np.ndarray) -> Faces:
    if features:
        return Faces(None, *(features[name][people].float() for name in FEATURES))
    return Faces(torch.from_numpy(np.stack([read_crop(members[f"face{person}.png"]) for person in people])))


def read_crop(data: bytes) -> np.ndarray:
    """An aligned face, RGB, (224, 224, 3), uint8."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture.convert("RGB"))


def _check_cache(index: Index, view: View, networks: Mapping[str, str] | None) -> None:
    found = {name: index.cache[name] for name in ("resolution", "buckets")}
    wanted = {"resolution": view.resolution, "buckets": view.buckets}
    if networks is not None:
        found |= index.cache["networks"]
        wanted |= networks
    if different := [name for name in wanted if found.get(name) != wanted[name]]:
        raise UniPortraitError(
            f"The cached features were made with other {' and '.join(different)}: "
            f"{', '.join(f'{name} {found.get(name)}, here {wanted[name]}' for name in different)}. Run `python -m "
            "training prepare --cache` again with these, or set data.cached to false."
        )


def _nothing_left(folders: Sequence, view: View, count: int, left_out: Mapping[str, int]) -> UniPortraitError:
    fewest, most = view.people
    reasons = ", ".join(f"{number} have {reason}" for reason, number in left_out.items() if number)
    shape = f"one crop of {view.resolution}×{view.resolution} pixels" + (" or a bucket of its area" * view.buckets)
    return UniPortraitError(
        f"None of the {count} pictures in {', '.join(map(str, folders))} can be used: {reasons}; needed are pictures "
        f"of {fewest} to {most} people in {shape}. Prepare pictures with so many people, or turn buckets on for "
        "faces far apart."
    )
