"""What an identity file tells before its tensors are loaded: how many people, and their thumbnails.

Reads the few bytes that it needs, with the standard library and NumPy alone: a list of a thousand people loads no
tensor. The format is safetensors: eight bytes for the length of the header, the header as JSON, then the tensors.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import UniPortraitError, named, reason
from ..ordinary_file import check_ordinary

LONGEST_HEADER = 1_000_000  # bytes; one of a hundred people has 60,000
MOST_PEOPLE = 1000
LARGEST_THUMBNAIL = 1024  # pixels of a side


@dataclass(frozen=True)
class Thumbnail:
    """Where a face lies in the file.

    Attributes:
        shape: (height, width, 3), uint8.
        offset: of its first byte in the file.
    """

    shape: tuple[int, int, int]
    offset: int


def read_thumbnails(path: Path) -> tuple[Thumbnail | None, ...]:
    """For each person of an identity file where the thumbnail lies, or None where the file keeps none.

    Raises:
        UniPortraitError: not an identity file, or damaged.
    """
    try:
        check_ordinary(path)
        with open(path, "rb") as file:
            header, start = _header(file)
            size = file.seek(0, 2)
        metadata = header.get("__metadata__") or {}
        if not isinstance(metadata, dict) or metadata.get("format") != "uniportrait-face-id":
            raise ValueError("it is no face identity")
        count = int(metadata["count"])
        if not 0 < count <= MOST_PEOPLE or f"id{count - 1}.cond" not in header:
            raise ValueError(f"it says that it holds {count} people")
        return tuple(_thumbnail(header.get(f"id{i}.thumbnail"), start, size) for i in range(count))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UniPortraitError(
            f"{named(path.name)} is not a readable face identity ({reason(error)}). Save it again with Save Face ID, "
            "or delete it."
        ) from error


def read_thumbnail(path: Path, place: Thumbnail) -> np.ndarray:
    """The picture at a place that `read_thumbnails` gave, (height, width, 3), uint8.

    Raises:
        UniPortraitError: the file is shorter by now, or gone.
    """
    try:
        with open(path, "rb") as file:
            file.seek(place.offset)
            content = file.read(int(np.prod(place.shape)))
        return np.frombuffer(content, np.uint8).reshape(place.shape)
    except (OSError, ValueError) as error:
        raise UniPortraitError(
            f"The face in {named(path.name)} cannot be read ({reason(error)}). Refresh the list."
        ) from error


def _header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where the tensors begin."""
    first = file.read(8)
    length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
    if not 2 <= length <= LONGEST_HEADER:
        raise ValueError("its header is not that of safetensors")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not that of safetensors")
    return header, 8 + length


def _thumbnail(entry: dict[str, Any] | None, start: int, size: int) -> Thumbnail | None:
    """None as well for a picture of another shape or type, or one that is not all in the file."""
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise ValueError("what it says of a thumbnail makes no sense")
    if entry["dtype"] != "U8":
        return None
    height, width, channels = entry["shape"] if len(entry["shape"]) == 3 else (0, 0, 0)
    begin, end = entry["data_offsets"]
    if not all(isinstance(number, int) for number in (height, width, channels, begin, end)):
        return None
    sound = channels == 3 and 0 < height <= LARGEST_THUMBNAIL and 0 < width <= LARGEST_THUMBNAIL
    whole = 0 <= begin and end - begin == height * width * channels and start + end <= size
    return Thumbnail((height, width, channels), start + begin) if sound and whole else None
