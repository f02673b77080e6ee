"""The pictures of a source, before any is read."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

Identity = str | tuple[str, ...] | None  # of the only person; or of all, from left to right


@dataclass(frozen=True)
class Place:
    """Where bytes lie: a file, or a part of one."""

    file: str
    length: int
    offset: int = 0

    def read(self) -> bytes:
        """Raises OSError where they cannot be read; they may be fewer."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


@dataclass(frozen=True)
class Entry:
    """A picture of the source.

    Attributes:
        key: its name in the shards, without dots in its last part: webdataset ends a key at the first of them.
        name: its path below the source, for people.
        picture: its file.
        caption: text, or where it lies.
        identity: who is on it, as far as the labels say.
    """

    key: str
    name: str
    picture: Place
    caption: str | Place
    identity: Identity = None


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        entries: pictures that have a caption and a key of their own, sorted by key.
        left_out: keys of the others by reason (`reasons.py`).
        unmatched: labels that belong to no picture.
        cut_off: shards that end early; what can be read of them is in `entries`.
    """

    entries: tuple[Entry, ...]
    left_out: dict[str, tuple[str, ...]]
    unmatched: tuple[str, ...] = ()
    cut_off: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Differs when pictures or labels were added, removed, or changed as far as sizes show."""
        digest = hashlib.sha256()
        for entry in self.entries:
            places = [entry.picture.offset, entry.picture.length]
            caption = entry.caption if isinstance(entry.caption, str) else entry.caption.length
            line = repr((entry.key, entry.name, places, caption, entry.identity))
            digest.update(line.encode("utf-8", "backslashreplace"))
        return digest.hexdigest()


def key_of(name: str) -> str:
    """The key of a picture's path below the source, with / between folders."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + Path(file).stem.replace(".", "_")


def one_of_each(entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Entries sorted by key, the first by name of each key, and the keys of the others."""
    kept: dict[str, Entry] = {}
    repeated = []
    for entry in sorted(entries, key=lambda entry: (entry.key, entry.name)):
        if entry.key in kept:
            repeated.append(entry.name)
        else:
            kept[entry.key] = entry
    return tuple(kept.values()), tuple(repeated)


def pieces(entries: Sequence[Entry], size: int) -> Iterator[tuple[int, tuple[Entry, ...]]]:
    """Number and entries of each shard: which picture goes where depends on the source alone."""
    for number, start in enumerate(range(0, len(entries), size)):
        yield number, tuple(entries[start : start + size])
