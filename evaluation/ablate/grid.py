"""Which settings are tried: curves, each with points that differ in one setting, and lines that differ in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniportrait_core.errors import UniPortraitError

from ..names import file_name
from ..settings import Table, read_settings

PATHS = ("protocol", "models", "output", "fid_reference")
KEYS = (*PATHS, "curve")
PHOTOS = "photos"  # in the place of an input: how many photos of each person are used


@dataclass(frozen=True)
class Setting:
    """What is varied.

    Attributes:
        name: for axes and folders.
        places: inputs of the workflow, `NODE.INPUT`, or `photos`.
        values: for each point what each place gets.
    """

    name: str
    places: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    def labels(self) -> list[str]:
        """The values in words, such as 0.7, or 0.2–1."""
        return [
            "–".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value) for value in self.values
        ]


@dataclass(frozen=True)
class Curve:
    """A figure: a line along the points of one setting, for each value of another one if there is one."""

    along: Setting
    by: Setting | None


@dataclass(frozen=True)
class Point:
    """A point of a curve.

    Attributes:
        label: of the point.
        line: label of the line; "" where there is only one.
        folder: for its pictures, below the output folder.
        values: inputs by place.
        photos: of each person; None for all.
    """

    label: str
    line: str
    folder: str
    values: dict[str, Any]
    photos: int | None


@dataclass(frozen=True)
class Grid:
    """An ablation.

    Attributes:
        protocol, models: files.
        output: folder.
        fid_reference: folder, if FID is wanted.
        curves: what is tried.
    """

    protocol: Path
    models: Path
    output: Path
    fid_reference: Path | None
    curves: tuple[Curve, ...]


def read_grid(file: Path) -> Grid:
    """Read an ablation file. Raises UniPortraitError for what is missing or has no meaning in it."""
    settings = read_settings(file, PATHS)
    settings.only(KEYS)
    curves = tuple(_curve(table) for table in settings.tables("curve"))
    names = [curve.along.name for curve in curves]
    if not curves or len(set(names)) < len(names):
        raise UniPortraitError(
            f"{file} has {len(curves)} curves called {', '.join(names) or 'nothing'}. Write one [[curve]] or more, "
            "each with a name of its own."
        )
    folders = [point.folder.casefold() for curve in curves for point in points_of(curve)]
    if twice := [folder for folder, count in Counter(folders).items() if count > 1]:
        raise UniPortraitError(
            f"{file} has several points whose pictures would go to one folder, {twice[0]}. Take out values that stand "
            "twice, and give curves names of which more than special characters differ."
        )
    protocol, models, output = (Path(settings.get(key, str)) for key in ("protocol", "models", "output"))
    reference = settings.get("fid_reference", str, None)
    return Grid(protocol, models, output, reference and Path(reference), curves)


def points_of(curve: Curve) -> list[Point]:
    """All points of a curve, line by line."""
    lines = [("", {})] if curve.by is None else _values(curve.by)
    return [
        Point(
            label=label,
            line=line,
            folder="/".join(file_name(part) for part in (curve.along.name, line, label) if part),
            values={place: value for place, value in {**more, **values}.items() if place != PHOTOS},
            photos={**more, **values}.get(PHOTOS),
        )
        for line, more in lines
        for label, values in _values(curve.along)
    ]


def _curve(table: Table) -> Curve:
    table.only(("name", "places", "values", "by"))
    by = table.table("by")
    by.only(("name", "places", "values"))
    curve = Curve(_setting(table), _setting(by) if by.values else None)
    if both := set(curve.along.places) & set(curve.by.places if curve.by else ()):
        raise UniPortraitError(
            f"`{table.name}` in {table.file} varies {', '.join(sorted(both))} along its lines and from line to line. "
            "Take it out of `places` or of `by.places`."
        )
    return curve


def _setting(table: Table) -> Setting:
    places = table.texts("places")
    values = tuple(tuple(value) if isinstance(value, list) else (value,) for value in table.get("values", list))
    if not places or not values or any(len(value) != len(places) for value in values):
        raise UniPortraitError(
            f"`{table.name}` in {table.file} has {len(places)} places and the values {list(values)}. Give one value or "
            "more, each a list of as many parts as there are places."
        )
    counts = [value[places.index(PHOTOS)] for value in values if PHOTOS in places]
    if not all(isinstance(count, int) and count > 0 for count in counts):
        raise UniPortraitError(f"`{table.name}` in {table.file} wants {counts} photos, needed are numbers from 1 on.")
    return Setting(table.get("name", str), places, values)


def _values(setting: Setting) -> Sequence[tuple[str, dict[str, Any]]]:
    named = (dict(zip(setting.places, value, strict=True)) for value in setting.values)
    return list(zip(setting.labels(), named, strict=True))
