"""Pictures in a folder, with a .txt beside each, or with rows of a JSON Lines file."""

import os
from collections.abc import Iterator
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

from .captions import caption_in, identity_in, read_rows
from .listing import PICTURES, Entry, Identity, Listing, Place, key_of, one_of_each
from .reasons import DUPLICATE, NO_CAPTION
from .settings import Labels

TEXT = ".txt"
NAMED = 3  # in an error


def list_folder(source: Path, labels: Labels) -> Listing:
    """List the pictures below a folder.

    Raises:
        UniPortraitError: there are none, none has a caption, or no label belongs to one.
    """
    files = dict(_files(source))
    pictures = {name: place for name, place in files.items() if Path(name).suffix.lower() in PICTURES}
    if not pictures:
        raise UniPortraitError(
            f"{source} holds {len(files)} files and no pictures; needed are {', '.join(PICTURES)}, or shards (.tar). "
            "Give the folder that the pictures are in."
        )
    if labels.file is None:
        found, unmatched = _texts(files, pictures), _lonely_texts(files, pictures)
        identities: dict[str, Identity] = {}
    else:
        rows = read_rows(labels)
        found = {name: caption_in(rows[name], labels) for name in pictures if name in rows}
        unmatched = tuple(name for name in rows if name not in pictures)
        identities = {name: identity_in(row, labels) for name, row in rows.items()}
    captions = {name: caption for name, caption in found.items() if caption}
    if not captions:
        raise _no_captions(source, labels, list(pictures), unmatched)
    if labels.identity == "folders":
        identities = {name: name.rpartition("/")[0] or None for name in pictures}
    entries, repeated = one_of_each(
        [Entry(key_of(name), name, pictures[name], caption, identities.get(name)) for name, caption in captions.items()]
    )
    missing = tuple(sorted(name for name in pictures if name not in captions))
    return Listing(entries, {DUPLICATE: repeated, NO_CAPTION: missing}, unmatched)


def _files(source: Path) -> Iterator[tuple[str, Place]]:
    """Path below the source and place of each file, but for hidden ones."""
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith("."):
                length = path.stat().st_size if path.exists() else 0  # a link to nowhere counts as corrupt
                yield path.relative_to(source).as_posix(), Place(str(path), length)


def _texts(files: dict[str, Place], pictures: dict[str, Place]) -> dict[str, Place]:
    """The .txt beside each picture. What they say is read later, by the workers."""
    beside = {name: str(Path(name).with_suffix(TEXT).as_posix()) for name in pictures}
    return {name: files[text] for name, text in beside.items() if text in files}


def _lonely_texts(files: dict[str, Place], pictures: dict[str, Place]) -> tuple[str, ...]:
    stems = {Path(name).with_suffix("") for name in pictures}
    return tuple(name for name in files if name.endswith(TEXT) and Path(name).with_suffix("") not in stems)


def _no_captions(source: Path, labels: Labels, pictures: list[str], unmatched: tuple[str, ...]) -> UniPortraitError:
    examples = ", ".join(pictures[:NAMED])
    if labels.file is None:
        return UniPortraitError(
            f"{source} holds {len(pictures)} pictures ({examples}, …) and no captions; needed is a .txt of the same "
            "name beside each. Write them, or give a JSON Lines file at --captions."
        )
    if unmatched:
        return UniPortraitError(
            f"None of the rows of {labels.file} ({', '.join(unmatched[:NAMED])}, …) names one of the {len(pictures)} "
            f"pictures in {source} ({examples}, …). Write the paths below that folder into column "
            f"{labels.file_column!r}, or name another column with --file-column."
        )
    return UniPortraitError(
        f"All captions of {labels.file} are empty. Name the column that holds them with --caption-column."
    )
