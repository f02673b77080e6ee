"""Captions and names from JSON Lines."""

import json
from pathlib import Path
from typing import Any

from uniportrait_core.errors import UniPortraitError

from .listing import Identity
from .settings import Labels


def read_rows(labels: Labels) -> dict[str, dict[str, Any]]:
    """Rows of a JSON Lines file by the picture's path below the source, with / between folders.

    Raises:
        UniPortraitError: it cannot be read, a line is no JSON object, or no row has the columns.
    """
    file = labels.file
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UniPortraitError(f"{file} cannot be read ({error}). Give a JSON Lines file in UTF-8.") from error
    rows = [_row(file, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    for column in (labels.file_column, labels.caption_column):
        if not any(column in row for row in rows):
            found = sorted({name for row in rows for name in row})
            raise UniPortraitError(
                f"No row of {file} has a column {column!r}; found are {', '.join(found) or 'no rows'}. Name the column "
                "with --file-column or --caption-column."
            )
    named = (row for row in rows if isinstance(row.get(labels.file_column), str))
    return {row[labels.file_column].replace("\\", "/").removeprefix("./"): row for row in named}


def caption_in(row: dict[str, Any], labels: Labels) -> str:
    """The caption in a row; empty where there is none."""
    caption = row.get(labels.caption_column)
    return caption.strip() if isinstance(caption, str) else ""


def identity_in(row: dict[str, Any], labels: Labels) -> Identity:
    """The names in a row's column, as text."""
    found = row.get(labels.identity_column) if labels.identity == "column" else None
    if isinstance(found, list):
        return tuple("" if name is None else str(name) for name in found)
    return None if found in (None, "") else str(found)


def _row(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("no object in braces")
    except ValueError as error:
        raise UniPortraitError(
            f"Line {number} of {file} is no JSON object ({error}): {line[:60]!r}. Write one object per line, such as "
            '{"file_name": "a.jpg", "caption": "a photo"}.'
        ) from error
    return row
