"""The index of prepared shards: where each picture lies, and what is known of it without reading it.

`index.json` lies beside the shards. webdataset's `wids`, which had an index of its own, is not in webdataset 1.0 any
more, and knew neither sizes nor people.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from uniportrait_core.errors import UniPortraitError

FILE = "index.json"
FORMAT, VERSION = "uniportrait-shards", 1
UNKNOWN = -1  # number of a person without a name
PREPARE = "run `python -m training prepare` with the same settings again"


@dataclass(frozen=True)
class Shard:
    """A shard: its address, a path or anything that fsspec opens, and its length in bytes."""

    address: str
    bytes: int


@dataclass(frozen=True)
class Index:
    """The pictures of one folder of shards, or of several.

    Attributes:
        shards: by number.
        shard: number of the shard that a picture is in, (pictures,).
        place: offset and length of a picture's members in its shard, in bytes, (pictures, 2).
        size: height and width, (pictures, 2).
        around: left, top, right, bottom of all its faces together, in pixels, (pictures, 4).
        first_face: number of a picture's first face, and the number of faces at the end, (pictures + 1,).
        identity: number of the person of a face, or `UNKNOWN`, (faces,).
        cache: what the features in the shards were made with (`prepare/features.py`); None where there are none.
    """

    shards: tuple[Shard, ...]
    shard: np.ndarray
    place: np.ndarray
    size: np.ndarray
    around: np.ndarray
    first_face: np.ndarray
    identity: np.ndarray
    cache: dict[str, Any] | None

    def __len__(self) -> int:
        return len(self.shard)

    @property
    def people(self) -> np.ndarray:
        """Number of faces of a picture, (pictures,)."""
        return np.diff(self.first_face)


def index_content(shards: Sequence[tuple[str, int, Sequence[dict]]], cache: dict[str, Any] | None) -> dict[str, Any]:
    """What `index.json` holds.

    Args:
        shards: name, bytes and pictures of each; of a picture its `place`, `size`, `around`, and `identity`, a name or
            None for each face.
        cache: see `Index`.
    """
    names = sorted({name for *_, pictures in shards for picture in pictures for name in picture["identity"] if name})
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)} | {None: UNKNOWN}

    def row(picture: dict) -> list:
        people = [numbers[name] for name in picture["identity"]]
        return [*picture["place"], *picture["size"], *picture["around"], people]

    listed = [
        {"name": name, "bytes": size, "pictures": [row(picture) for picture in pictures]}
        for name, size, pictures in shards
    ]
    return {"format": FORMAT, "version": VERSION, "cache": cache, "identities": names, "shards": listed}


def load_index(folder: str | Path) -> Index:
    """Read the index of a folder of shards.

    Args:
        folder: a path, or an address that fsspec opens, such as https:// or s3://.

    Raises:
        UniPortraitError: there is none, it is another file, or a shard on this machine has lost its end.
    """
    address = str(folder).rstrip("/")
    files, root = fsspec.url_to_fs(address)
    try:
        content = json.loads(files.cat_file(f"{root}/{FILE}"))
        found = content["format"], content["version"]
    except FileNotFoundError as error:
        raise UniPortraitError(
            f"{address} holds no {FILE}; needed is a folder that `python -m training prepare` has finished. Prepare "
            "your pictures, or run the same command again if it was stopped."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UniPortraitError(f"{address}/{FILE} cannot be read ({error}). Copy it again, or {PREPARE}.") from error
    if found != (FORMAT, VERSION):
        raise UniPortraitError(
            f"{address}/{FILE} is of format {found}, needed is {(FORMAT, VERSION)}. Prepare the pictures with this "
            "version of the pack."
        )
    shards = tuple(Shard(f"{address}/{shard['name']}", shard["bytes"]) for shard in content["shards"])
    if "file" in files.protocol:
        for shard in shards:
            _check(Path(root, Path(shard.address).name), shard)
    return _index(shards, content)


def join(indices: Sequence[Index], cached: bool) -> Index:
    """One index of several folders; a name in two folders is two people.

    Args:
        indices: of the folders.
        cached: whether their features are wanted; else the index has no `cache`.

    Raises:
        UniPortraitError: features are wanted, and some folders have none, or others.
    """
    first = indices[0]
    for index in indices[1:]:
        if cached and index.cache != first.cache:
            places = (one.shards[0].address.rpartition("/")[0] for one in (first, index))
            raise UniPortraitError(
                f"{' and '.join(places)} have different cached features: {first.cache} and {index.cache}. "
                "Run `python -m training prepare --cache` with the same networks and resolution on both, or set "
                "data.cached to false."
            )
    shards = _offsets(len(index.shards) for index in indices)
    people = _offsets(index.identity.max(initial=UNKNOWN) + 1 for index in indices)
    named = ((index.identity, n) for index, n in zip(indices, people, strict=True))
    return Index(
        shards=tuple(shard for index in indices for shard in index.shards),
        shard=np.concatenate([index.shard + n for index, n in zip(indices, shards, strict=True)]),
        place=np.concatenate([index.place for index in indices]),
        size=np.concatenate([index.size for index in indices]),
        around=np.concatenate([index.around for index in indices]),
        first_face=np.cumsum([0, *np.concatenate([index.people for index in indices])]),
        identity=np.concatenate([np.where(person == UNKNOWN, UNKNOWN, person + n) for person, n in named]),
        cache=first.cache if cached else None,
    )


def _offsets(counts: Iterable[int]) -> np.ndarray:
    """How many there are before each."""
    counts = np.fromiter(counts, np.int64)
    return np.cumsum(counts) - counts


def _index(shards: tuple[Shard, ...], content: dict[str, Any]) -> Index:
    rows = [picture for shard in content["shards"] for picture in shard["pictures"]]
    numbers = np.array([row[:8] for row in rows], np.int64).reshape(-1, 8)
    people = [row[8] for row in rows]
    return Index(
        shards,
        np.repeat(np.arange(len(shards)), [len(shard["pictures"]) for shard in content["shards"]]),
        numbers[:, 0:2],
        numbers[:, 2:4],
        numbers[:, 4:8],
        np.cumsum([0, *map(len, people)]),
        np.array([person for picture in people for person in picture], np.int64),
        content["cache"],
    )


def _check(file: Path, shard: Shard) -> None:
    """Find out about lost and shortened shards before training begins, and not in the middle of the night."""
    found = file.stat().st_size if file.is_file() else 0
    if found != shard.bytes:
        raise damaged(shard, f"{found:,} bytes long")


def damaged(shard: Shard, found: str) -> UniPortraitError:
    """The error for a shard that is not as it was written."""
    return UniPortraitError(
        f"{shard.address} is {found}, written were {shard.bytes:,} bytes. Copy this shard again, or {PREPARE}, which "
        "makes it anew."
    )
