"""A folder's manifest: one JSON line for each picture, which says what made it."""

import errno
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Record:
    """What made a picture.

    Attributes:
        file: name of the picture in the folder.
        sha256: of its content.
        key: of all that made it: workflow, settings, photos, prompt and seed.
        case, prompt_number, instance: its place in the protocol.
        people: their names.
        references: of each person the photos, as paths in the folder.
        prompt, kind, seed: as they were used.
        server, seconds: who made it, and how long that took.
    """

    file: str
    sha256: str
    key: str
    case: int
    prompt_number: int
    instance: int
    people: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    prompt: str
    kind: str
    seed: int
    server: str
    seconds: float


def read_manifest(folder: Path) -> list[Record]:
    """The records of a folder; of two for one picture the later. None where there is no manifest.

    A last line that was cut off, as by a kill or a full disk, is left out.

    Raises:
        UniPortraitError: another line is no record.
    """
    try:
        lines = (folder / MANIFEST).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    if lines and not lines[-1].endswith(b"\n"):
        del lines[-1]
    records = [_parse(folder / MANIFEST, number, line) for number, line in enumerate(lines, start=1)]
    return list({record.file: record for record in records}.values())


def mend_manifest(folder: Path) -> None:
    """Take off a last line that was cut off, so that the next record begins a line of its own."""
    file = folder / MANIFEST
    if file.exists():
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(file, whole)


def append_record(folder: Path, record: Record) -> None:
    """Add a line, on the disk when this returns, and not there at all when it raises OSError."""
    with open(folder / MANIFEST, "ab", buffering=0) as file:
        before = file.seek(0, os.SEEK_END)
        line = (json.dumps(asdict(record), ensure_ascii=False) + "\n").encode()
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def _parse(file: Path, number: int, line: bytes) -> Record:
    try:
        values = json.loads(line)
        values = {field.name: values[field.name] for field in fields(Record)}
        return Record(**{**values, "people": tuple(values["people"]), "references": _tuples(values["references"])})
    except (ValueError, KeyError, TypeError) as error:
        raise UniPortraitError(
            f"Line {number} of {file} is not a picture's record ({type(error).__name__}: {error}). Delete the line: "
            "`generate` makes its picture again, `score` leaves it out."
        ) from error


def _tuples(lists: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(entry) for entry in lists)
