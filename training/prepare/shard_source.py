"""Pictures in WebDataset shards, with a .txt or a .json of the same key beside each."""

import json
import os
import tarfile
from collections import defaultdict
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

from .captions import caption_in, identity_in
from .listing import PICTURES, Entry, Identity, Listing, Place, key_of, one_of_each
from .reasons import DUPLICATE, NO_CAPTION
from .settings import Labels

END = 1024  # bytes of zeros that a whole archive ends with, at least


def shards_in(source: Path) -> list[Path]:
    """The shards that a source is; empty where it is something else."""
    return [source] if source.suffix == ".tar" else sorted(source.glob("*.tar"))


def list_shards(shards: list[Path], labels: Labels) -> Listing:
    """List the pictures in shards; shards that were cut off, as far as they go.

    Raises:
        UniPortraitError: there is no picture, none has a caption, or labels come from a file or from folders.
    """
    if labels.file is not None or labels.identity == "folders":
        raise UniPortraitError(
            f"{shards[0].parent} holds shards, whose captions and names are beside the pictures in them. Leave "
            "--captions out, and give --identity column or none."
        )
    entries, missing, cut_off = [], [], []
    for shard in shards:
        samples, whole = _samples(shard)
        if not whole:
            cut_off.append(shard.name)
        for key, members in samples.items():
            entry = _entry(shard, key, members, labels)
            if entry is not None:
                (entries if entry.caption else missing).append(entry)
    if not entries:
        raise UniPortraitError(
            f"{len(shards)} shards ({shards[0]}, …) hold {len(missing)} pictures and no captions; needed are pictures "
            f"with a .txt or a .json with {labels.caption_column!r} of the same key. Name the column with "
            "--caption-column, or give other shards."
        )
    kept, repeated = one_of_each(entries)
    return Listing(
        kept,
        {DUPLICATE: repeated, NO_CAPTION: tuple(entry.name for entry in missing)},
        cut_off=tuple(cut_off),
    )


def _samples(shard: Path) -> tuple[dict[str, dict[str, Place]], bool]:
    """Members of a shard by key and ending, and whether the shard is whole."""
    samples: dict[str, dict[str, Place]] = defaultdict(dict)
    try:
        size = shard.stat().st_size
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.isfile() and member.offset_data + member.size <= size:
                    folder, slash, name = member.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    place = Place(str(shard), member.size, member.offset_data)
                    samples[f"{folder}{slash}{stem}"][ending] = place
    except (tarfile.TarError, OSError):
        return samples, False
    with open(shard, "rb") as file:
        file.seek(-min(END, size), os.SEEK_END)
        return samples, not any(file.read())


def _entry(shard: Path, key: str, members: dict[str, Place], labels: Labels) -> Entry | None:
    """A picture, its caption empty where there is none; None where there is no picture, as at a cut."""
    picture = next((ending for ending in members if f".{ending.lower()}" in PICTURES), None)
    if picture is None:
        return None
    caption: str | Place = members.get("txt", "")
    identity: Identity = None
    if "json" in members:
        try:
            row = json.loads(members["json"].read())
        except (OSError, ValueError):
            row = {}
        if isinstance(row, dict):
            caption = caption or caption_in(row, labels)
            identity = identity_in(row, labels)
    name = f"{key}.{picture}"
    return Entry(key_of(name), f"{shard.name}:{name}", members[picture], caption, identity)
