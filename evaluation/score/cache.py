"""Features kept from run to run, by content of the picture and by model: nothing is computed twice."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from uniportrait_core.errors import UniPortraitError

from ..pictures.reading import file_hash

Features = dict[str, np.ndarray]
VERSION = 1  # of what is kept; another one finds nothing of the old


def default_cache() -> Path:
    """A file in the user's cache folder."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "comfyui-uniportrait" / "evaluation-features.sqlite"


class FeatureCache:
    """A database file. Contents are hashed once for each state of a file (size and time of change)."""

    def __init__(self, file: Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(file, timeout=60)
        self._base.executescript(
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, content TEXT);"
            "CREATE TABLE IF NOT EXISTS features (content TEXT, model TEXT, value BLOB, PRIMARY KEY (content, model));"
        )

    def contents(self, files: Sequence[Path]) -> list[str]:
        """What tells the contents of files apart. Raises UniPortraitError for one that is not there."""
        known = {path: (state, content) for path, state, content in self._base.execute("SELECT * FROM files")}
        found = {}
        for file in files:
            try:
                about = file.stat()
                path, state = str(file.resolve()), f"{about.st_size}:{about.st_mtime_ns}"
                there = known.get(path)
                found[path] = there if there and there[0] == state else (state, file_hash(file))
            except OSError as error:
                raise UniPortraitError(
                    f"{file} cannot be read ({error.strerror}), needed is a picture. Put it back; `generate` does that "
                    "with the photos and pictures of its folder."
                ) from error
        with self._base:
            self._base.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?)", [(path, *entry) for path, entry in found.items()]
            )
        return [found[str(file.resolve())][1] for file in files]

    def known(self, model: str) -> set[str]:
        """The contents of which there are a model's features."""
        rows = self._base.execute("SELECT content FROM features WHERE model = ?", (_versioned(model),))
        return {content for (content,) in rows}

    def get(self, content: str, model: str) -> Features:
        """The features of a content that is known."""
        wanted = (content, _versioned(model))
        row = self._base.execute("SELECT value FROM features WHERE content = ? AND model = ?", wanted).fetchone()
        return load(row[0])

    def put(self, model: str, features: Iterable[tuple[str, Features]]) -> None:
        """Keep features by content, all of them or none."""
        rows = [
            (content, _versioned(model), save({key: np.ascontiguousarray(part) for key, part in found.items()}))
            for content, found in features
        ]
        with self._base:
            self._base.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)


def _versioned(model: str) -> str:
    return f"{VERSION}|{model}"
