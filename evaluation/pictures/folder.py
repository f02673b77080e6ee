"""What the pictures of a folder are of: by its manifest, or by FastComposer's file names and a protocol."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

from ..protocol.protocol import Protocol, Task
from .manifest import MANIFEST, read_manifest
from .reading import ENDINGS, file_hash

NAME = re.compile(r"subject_(\d+)_prompt_(\d+)_instance_(\d+)")

logger = logging.getLogger("uniportrait")


@dataclass(frozen=True)
class Picture:
    """A picture to be scored.

    Attributes:
        file: where it is.
        prompt: that it was made for.
        kind: of the prompt.
        people: names of those who should be in it.
        references: the photos of each of them.
    """

    file: Path
    prompt: str
    kind: str
    people: tuple[str, ...]
    references: tuple[tuple[Path, ...], ...]


def picture_files(folder: Path) -> list[Path]:
    """All pictures in a folder, sorted by name. Raises UniPortraitError where there are none."""
    if not folder.is_dir():
        raise UniPortraitError(f"{folder} is not a folder. Give one with pictures.")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    stems = Counter(file.stem for file in files)
    if twice := [file for file in files if stems[file.stem] > 1]:
        raise UniPortraitError(
            f"{folder} has {twice[0].name} and {twice[1].name}, which are one picture's name. Delete one of them."
        )
    if not files:
        raise UniPortraitError(f"{folder} has no pictures ({', '.join(ENDINGS)}). Give the folder that they are in.")
    return files


def read_folder(folder: Path, protocol: Protocol | None = None) -> list[Picture]:
    """What the pictures of a folder are of.

    Args:
        folder: with a manifest, or with FastComposer's file names.
        protocol: that says who and what those names mean.

    Raises:
        UniPortraitError: there is neither, or names and protocol do not match.
    """
    files = {file.name: file for file in picture_files(folder)}
    if (folder / MANIFEST).exists():
        pictures = _by_manifest(folder, files)
    elif protocol is None:
        raise UniPortraitError(
            f"{folder} has no {MANIFEST}, so nothing says who and what its pictures show. Give --protocol, for "
            "pictures called subject_0000_prompt_0000_instance_0000, or make them with `generate`."
        )
    else:
        pictures = _by_names(folder, files, protocol)
    if left := len(files) - len(pictures):
        logger.warning("%s: %d pictures are not scored, as nothing says what they show.", folder, left)
    return pictures


def _by_manifest(folder: Path, files: Mapping[str, Path]) -> list[Picture]:
    records = read_manifest(folder)
    if missing := [record.file for record in records if record.file not in files]:
        logger.warning("%s: %d pictures of the manifest are missing, such as %s.", folder, len(missing), missing[0])
    there = [record for record in records if record.file in files]
    if changed := [record.file for record in there if file_hash(files[record.file]) != record.sha256]:
        logger.warning("%s: %d pictures are not as they were made, such as %s.", folder, len(changed), changed[0])
    if not there:
        raise UniPortraitError(f"{folder / MANIFEST} names none of the pictures beside it. Run `generate` again.")
    return [
        Picture(
            file=files[record.file],
            prompt=record.prompt,
            kind=record.kind,
            people=record.people,
            references=tuple(tuple(folder / name for name in photos) for photos in record.references),
        )
        for record in sorted(there, key=lambda record: (record.case, record.prompt_number, record.instance))
    ]


def _by_names(folder: Path, files: Mapping[str, Path], protocol: Protocol) -> list[Picture]:
    tasks = {task.stem: task for task in protocol.tasks()}
    named = {NAME.fullmatch(file.stem): file for file in files.values() if NAME.fullmatch(file.stem)}
    stems = {"subject_{:04d}_prompt_{:04d}_instance_{:04d}".format(*map(int, m.groups())): f for m, f in named.items()}
    if strange := sorted(stems.keys() - tasks.keys()):
        raise UniPortraitError(
            f"{stems[strange[0]]} and {len(strange) - 1} others are not in the protocol {protocol.name}, which has "
            f"{len(protocol.groups)} cases, {len(protocol.prompts)} prompts and {protocol.pictures_per_prompt} "
            "pictures of each. Give the --protocol with which they were made."
        )
    if not stems:
        raise UniPortraitError(
            f"No picture in {folder} is called like subject_0000_prompt_0000_instance_0000. Rename them so, or make "
            "them with `generate`."
        )
    if missing := len(tasks) - len(stems):
        logger.warning("%s: %d of %d pictures of the protocol are missing.", folder, missing, len(tasks))
    return [_picture(stems[stem], tasks[stem]) for stem in tasks if stem in stems]


def _picture(file: Path, task: Task) -> Picture:
    people = task.people
    photos = tuple(person.photos for person in people)
    return Picture(file, task.prompt, task.kind, tuple(person.name for person in people), photos)


def references_of(pictures: Sequence[Picture]) -> dict[str, tuple[Path, ...]]:
    """The photos of everybody in some pictures, by name. Raises UniPortraitError for two people of one name."""
    photos: dict[str, tuple[Path, ...]] = {}
    for picture in pictures:
        for name, files in zip(picture.people, picture.references, strict=True):
            if photos.setdefault(name, files) != files:
                raise UniPortraitError(f"{picture.file.parent} has two people called {name}. Give each their own name.")
    return photos
