"""One shard's worth of pictures, from the source to the shard."""

import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ..files import whole_file
from .detectors import make_detector
from .faces import Person, find_people
from .listing import Entry, Identity, Place
from .pictures import Photo, decode, encode, keep
from .reasons import CORRUPT, NO_CAPTION, TINY, LeftOut
from .settings import Settings

SHARD = "shard-{:06d}.tar"

Piece = tuple[int, tuple[Entry, ...]]


class PieceWriter:
    """Examines the pictures of a piece and writes the good ones into its shard."""

    def __init__(self, settings: Settings, output: Path, threads: int):
        """
        Args:
            settings: see there.
            output: folder of the shards.
            threads: that OpenCV may use.
        """
        cv2.setNumThreads(threads)
        self._settings, self._output = settings, output
        self._detect = make_detector(settings.detector)

    def __call__(self, piece: Piece, advance: Callable[[], None]) -> dict[str, Any]:
        """Write a shard, whole or not at all.

        Returns:
            The piece's entry in the journal (`journal.py`).
        """
        number, entries = piece
        pictures, left_out, background, unlabelled = [], defaultdict(list), 0, []
        path = self._output / SHARD.format(number)
        with whole_file(path) as file, tarfile.open(fileobj=file, mode="w") as tar:
            for entry in entries:
                try:
                    members, facts, ignored = self._examine(entry)
                    pictures.append({"key": entry.key, "place": add_sample(tar, entry.key, members), **facts})
                    background += ignored
                    if entry.identity and not any(facts["identity"]):
                        unlabelled.append(entry.key)
                except LeftOut as reason:
                    left_out[reason.reason].append(entry.name)
                advance()
        if not pictures:
            path.unlink()
        return {
            "number": number,
            "bytes": path.stat().st_size if pictures else 0,
            "cache": None,
            "pictures": pictures,
            "left_out": left_out,
            "background_faces": background,
            "unlabelled": unlabelled,
        }

    def _examine(self, entry: Entry) -> tuple[dict[str, bytes], dict[str, Any], int]:
        """Members of a picture in the shard, what the index says of it, and how many faces were too small to count."""
        caption = _caption(entry.caption)
        photo = _photo(entry.picture)
        if min(photo.image.size) < self._settings.filters.min_size:
            raise LeftOut(TINY)
        people, ignored = find_people(photo.pixels, self._detect, self._settings.filters)
        ending, data, size = keep(photo, self._settings.max_size)
        scale = np.array([size[1] / photo.image.width, size[0] / photo.image.height])
        identity = _identities(entry.identity, len(people))
        facts = {
            "caption": caption,
            "identity": identity,
            "size": size,
            "original_size": photo.image.size[::-1],
            "source": entry.name,
            "faces": [_face(person, scale) for person in people],
        }
        members = {"json": json.dumps(facts).encode(), ending: data}
        members |= {f"face{i}.png": encode(Image.fromarray(person.crop), "png") for i, person in enumerate(people)}
        boxes = np.array([face["box"] for face in facts["faces"]])
        around = [*np.floor(boxes[:, :2].min(0)), *np.ceil(boxes[:, 2:].max(0))]
        return members, {"size": size, "around": [int(side) for side in around], "identity": identity}, ignored


def add_sample(tar: tarfile.TarFile, key: str, members: dict[str, bytes]) -> tuple[int, int]:
    """Append a picture's members. Returns the offset and the length of all of them together, in bytes."""
    start = tar.offset
    for ending, data in members.items():
        member = tarfile.TarInfo(f"{key}.{ending}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return start, tar.offset - start


def _caption(caption: str | Place) -> str:
    try:
        text = caption if isinstance(caption, str) else caption.read().decode("utf-8-sig", "replace")
    except OSError as error:
        raise LeftOut(NO_CAPTION) from error
    if not text.strip():
        raise LeftOut(NO_CAPTION)
    return text.strip()


def _photo(place: Place) -> Photo:
    try:
        return decode(place.read())
    except Exception as error:  # damaged pictures make the readers raise nearly anything
        raise LeftOut(CORRUPT) from error


def _identities(identity: Identity, people: int) -> list[str | None]:
    """A name for each person where it is certain: for the only one, or for all from left to right."""
    if isinstance(identity, str) and people == 1:
        return [identity]
    if isinstance(identity, tuple) and len(identity) == people:
        return [name or None for name in identity]
    return [None] * people


def _face(person: Person, scale: np.ndarray) -> dict[str, Any]:
    """A face as it is written, in pixels of the picture that is kept."""
    return {
        "box": (person.face.box * np.tile(scale, 2)).round(2).tolist(),
        "landmarks": (person.face.landmarks * scale).round(2).tolist(),
        "confidence": round(person.face.confidence, 4),
        "sharpness": round(person.sharpness, 1),
    }
