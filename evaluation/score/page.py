"""A page to look at: the tables, and the best, median and worst pictures with their faces.

No number is to be believed unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from uniportrait_core.faces.detection import order_faces
from uniportrait_core.results.drawing import draw_likeness

from ..models.registry import Models
from ..pictures.reading import read_picture
from .scores import Score
from .summary import BLENDING, CLIP_T, FACE_SIM, OF_A_PICTURE, Metric, Summary
from .tables import ARROWS, Row, cell, columns_of, parts_of, rows_of

SHOWN = 4  # pictures of each sort
SIDE, FACE_SIDE = 768, 160  # pixels
IMAGES = "images"


@dataclass(frozen=True)
class Shown:
    """A picture on the page: files beside it, and what is said of it."""

    picture: str
    faces: tuple[tuple[str, str], ...]
    caption: str
    prompt: str


def choose(scores: Sequence[Score], metric: Metric) -> dict[str, list[Score]]:
    """The best, median and worst pictures by a metric, no picture twice."""
    ranked = [score for score in scores if getattr(score, metric.key) is not None]
    ranked.sort(key=lambda score: getattr(score, metric.key), reverse=metric.better == "higher")
    count = min(SHOWN, len(ranked) // 3)
    middle = (len(ranked) - count) // 2
    sorts = {"best": ranked[:count], "median": ranked[middle : middle + count], "worst": ranked[len(ranked) - count :]}
    return sorts if len(ranked) >= 3 else {"all": ranked}


def write_page(folder: Path, summaries: Sequence[Summary], models: Models, notes: Sequence[str]) -> Path:
    """Write `index.html` and the pictures that it shows.

    Args:
        folder: of the report.
        summaries: of all folders.
        models: whose recogniser cuts the faces out.
        notes: on how it was measured.

    Returns:
        The page.
    """
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    gallery = Gallery(folder, models, {})
    methods = [_method(summary, number, gallery) for number, summary in enumerate(summaries)]
    page = environment.get_template("page.html").render(
        table_rows=_table(rows_of(summaries), "method"), methods=methods, notes=notes
    )
    file = folder / "index.html"
    file.write_text(page, "utf-8")
    return file


def _method(summary: Summary, number: int, gallery: Gallery) -> dict:
    shown = []
    for metric in (FACE_SIM, CLIP_T, BLENDING):
        if metric.key in summary.numbers:
            for sort, chosen in choose(summary.scores, metric).items():
                stem = f"{number}-{metric.key}-{sort}"
                pictures = [gallery.show(score, f"{stem}-{place}", metric) for place, score in enumerate(chosen)]
                shown.append((f"{metric.name}: {sort}", pictures))
    return {
        "summary": summary,
        "kinds": _table(parts_of(summary.kinds), "kind of prompt"),
        "people": _table(parts_of(summary.people), "person"),
        "shown": shown,
    }


def _table(rows: Sequence[Row], first: str) -> dict:
    columns = columns_of(rows)
    return {
        "head": [first, *(f"{metric.name} {ARROWS[metric.better]}" for metric in columns)],
        "rows": [(row, [cell(row.numbers.get(metric.key), metric) for metric in columns]) for row in rows],
    }


@dataclass(frozen=True)
class Gallery:
    """Puts pictures into the report.

    Attributes:
        folder: of the report.
        models: whose recogniser cuts the faces out.
        references: the faces of photos that were shown already.
    """

    folder: Path
    models: Models
    references: dict[Path, np.ndarray]

    def show(self, score: Score, stem: str, metric: Metric) -> Shown:
        """A picture with its faces and scores, that of the metric first."""
        picture = read_picture(score.picture.file)
        drawn, faces = picture, []
        if score.likeness is not None:
            drawn = draw_likeness(picture, score.faces, score.likeness)
            for person, name in enumerate(score.picture.people):
                reference = self._reference(score.picture.references[person][0])
                faces.append((self._save(reference, FACE_SIDE, f"{stem}-{person}-reference"), name))
                faces.append(self._face(score, person, picture, f"{stem}-{person}-face"))
        said = [f"{m.name} {getattr(score, m.key) * m.scale:.{m.decimals}f}" for m in _measured(score, metric)]
        caption = f"{score.picture.file.name}: {', '.join(said)}"
        return Shown(self._save(drawn, SIDE, stem), tuple(faces), caption, score.picture.prompt)

    def _face(self, score: Score, person: int, picture: np.ndarray, stem: str) -> tuple[str, str]:
        number = score.likeness.faces[person]
        if number is None:
            return "", "not found"
        crop = self.models.recogniser.run.crop(picture, score.faces[number])
        return self._save(crop, FACE_SIDE, stem), f"{score.likeness.scores[person]:.2f}"

    def _reference(self, file: Path) -> np.ndarray:
        if file not in self.references:
            photo = read_picture(file)
            largest = order_faces(self.models.detector.run(photo), "largest")[0]
            self.references[file] = self.models.recogniser.run.crop(photo, largest)
        return self.references[file]

    def _save(self, picture: np.ndarray, side: int, stem: str) -> str:
        image = Image.fromarray(picture)
        image.thumbnail((side, side))
        name = f"{IMAGES}/{stem}.jpg"
        image.save(self.folder / name, quality=88)
        return name


def _measured(score: Score, first: Metric) -> list[Metric]:
    """The metrics of a picture, the one by which it was chosen first."""
    there = [metric for metric in OF_A_PICTURE if getattr(score, metric.key) is not None]
    return sorted(there, key=lambda metric: metric is not first)
