"""What is in shards, read by webdataset itself."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image

Members = dict[str, bytes]


def samples(folder: Path) -> dict[str, Members]:
    """Members of each picture by key and ending, in the order of the shards."""
    return dict(_samples(folder))


def _samples(folder: Path) -> Iterator[tuple[str, Members]]:
    for shard in sorted(folder.glob("*.tar")):
        for sample in webdataset.WebDataset(str(shard), shardshuffle=False, empty_check=False):
            yield sample["__key__"], {name: data for name, data in sample.items() if not name.startswith("__")}


def facts(folder: Path) -> dict[str, dict]:
    """The .json of each picture."""
    return {key: json.loads(members["json"]) for key, members in samples(folder).items()}


def pixels(data: bytes) -> np.ndarray:
    """A picture's file as RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def everything(folder: Path) -> dict[str, bytes]:
    """All files that a run leaves, but for the journal's settings."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
