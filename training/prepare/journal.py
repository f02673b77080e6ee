"""What was finished, so that a run that was stopped at any moment goes on where it was.

Which pictures make a shard is decided before the first is read. A shard takes its name when it is whole, and then its
entry in the journal; a shard without an entry, or of another length than the entry says, is made again. So no picture
is lost or doubled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uniportrait_core.errors import UniPortraitError

from ..files import remove_partial, whole_file
from .piece import SHARD

FOLDER = "journal"
SETTINGS = "settings.json"


class Journal:
    """The finished shards of an output folder, each an entry (see `piece.PieceWriter`)."""

    def __init__(self, output: Path):
        self._output, self._folder = output, output / FOLDER

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Begin a run, or go on with one.

        Args:
            settings: all that decides what the shards hold, as JSON has it.

        Raises:
            UniPortraitError: the folder has other files, or was begun with other settings.
        """
        file = self._folder / SETTINGS
        if file.is_file():
            self._compare(json.loads(file.read_text("utf-8")), json.loads(json.dumps(settings)))
        elif self._output.is_dir() and any(self._output.iterdir()) and not self._folder.is_dir():
            raise UniPortraitError(
                f"{self._output} holds files that are not of a run of prepare. Give an empty folder, or one that does "
                "not exist."
            )
        for folder in (self._output, self._folder):
            remove_partial(folder)
        write_json(file, settings)

    def entry(self, number: int) -> dict[str, Any] | None:
        """The entry of a shard; None where the shard has to be made."""
        try:
            entry = json.loads(self._file(number).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        shard = self._output / SHARD.format(number)
        found = shard.stat().st_size if shard.is_file() else 0
        return entry if found == entry["bytes"] else None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Note that a shard is whole."""
        write_json(self._file(entry["number"]), entry)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _compare(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        different = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if different:
            changes = ", ".join(f"{name} was {before.get(name)} and is {now.get(name)}" for name in different)
            raise UniPortraitError(
                f"{self._output} was begun with other settings or other pictures: {changes}. Give the same again, or "
                "another output folder."
            )


def write_json(path: Path, content: Mapping[str, Any], indent: int | None = None) -> None:
    """Write JSON, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=indent).encode())
