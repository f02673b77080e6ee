"""Pictures of the report: some of the prepared pictures with their faces, and how many people pictures have."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from uniportrait_core.faces.detection import Face
from uniportrait_core.results.drawing import draw_faces

from ..data.index import Shard
from ..data.members import read_members
from .piece import SHARD

SHOWN = 24
COLUMNS, CELL, GAP = 6, 320, 8  # pixels
BACKGROUND = "#f6f5f2"


def contact_sheet(output: Path, entries: Sequence[Mapping[str, Any]]) -> Image.Image:
    """Pictures from all over the shards, each with boxes, landmarks, and the numbers of its people."""
    pictures = [(entry, picture) for entry in entries for picture in entry["pictures"]]
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(SHOWN, len(pictures))).round().astype(int))
    cells = [_cell(output, *pictures[number]) for number in chosen]
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (CELL + GAP) + GAP, rows * (CELL + GAP) + GAP), BACKGROUND)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        left, top = (GAP + place * (CELL + GAP) for place in (column, row))
        sheet.paste(cell, (left + (CELL - cell.width) // 2, top + (CELL - cell.height) // 2))
    return sheet


def histogram(people: Mapping[str, int], file: BinaryIO) -> None:
    """A bar for each number of people in a picture, as PNG."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.bar_label(axes.bar(list(people), list(people.values()), color="#56b4e9"))
    axes.set(xlabel="people in a picture", ylabel="pictures")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="png", dpi=120)


def _cell(output: Path, entry: Mapping[str, Any], picture: Mapping[str, Any]) -> Image.Image:
    shard = Shard(str(output / SHARD.format(entry["number"])), entry["bytes"])
    _, members = read_members(shard, np.array(picture["place"]))
    with Image.open(io.BytesIO(members["png"] if "png" in members else members["jpg"])) as found:
        whole = found.convert("RGB")
    scale = CELL / max(whole.size)
    small = whole.resize([max(round(side * scale), 1) for side in whole.size], Image.Resampling.LANCZOS)
    faces = list(_faces(json.loads(members["json"]), scale))
    labels = [str(number) for number in range(1, len(faces) + 1)]
    return Image.fromarray(draw_faces(np.asarray(small), faces, labels, range(len(faces))))


def _faces(facts: Mapping[str, Any], scale: float) -> Iterator[Face]:
    for face in facts["faces"]:
        yield Face(np.array(face["box"]) * scale, np.array(face["landmarks"]) * scale, face["confidence"])
