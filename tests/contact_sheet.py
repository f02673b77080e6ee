"""One picture of everything that went into workflows and came out of them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

COLUMNS = ("Photos", "What the model sees", "Picture")
HEIGHT = 300  # of every picture, in pixels
MARGIN, GAP, ARROW = 40, 12, 72
BACKGROUND, TEXT, FAINT = "#f6f5f2", "#22262b", "#868d96"
TITLE_SIZE, TEXT_SIZE = 24, 16
LINE = 1.4  # distance of lines in font sizes
CHARACTERS = 150  # in a line of a prompt


@dataclass(frozen=True)
class Row:
    """One workflow.

    Attributes:
        title: its name.
        prompt: what was asked for.
        pictures: for each of `COLUMNS`, pictures with their captions.
    """

    title: str
    prompt: str
    pictures: tuple[Sequence[tuple[str, Image.Image]], ...]

    @property
    def lines(self) -> list[str]:
        """The prompt in lines."""
        return textwrap.wrap(self.prompt, CHARACTERS)

    @property
    def height(self) -> int:
        """Title, prompt, pictures and captions."""
        return round(LINE * (TITLE_SIZE + TEXT_SIZE * (len(self.lines) + 1))) + 2 * GAP + HEIGHT


def contact_sheet(rows: Sequence[Row], notes: Sequence[str] = ()) -> Image.Image:
    """Lay out rows of photos, crops and results, one workflow below the other.

    Args:
        rows: from top to bottom.
        notes: remarks at the foot, a line each.
    """
    # A workflow that was stopped may have nothing in a column, but the column's name takes its place all the same.
    widths = [
        max(_text_width(name), *(_width(row.pictures[column]) for row in rows)) for column, name in enumerate(COLUMNS)
    ]
    lefts = [MARGIN + sum(widths[:column]) + column * ARROW for column in range(len(COLUMNS))]
    head = round(LINE * TEXT_SIZE) + GAP
    foot = round(LINE * TEXT_SIZE * len(notes)) + GAP if notes else 0
    height = MARGIN + head + sum(row.height + MARGIN for row in rows) + foot
    lines = [*notes, *(line for row in rows for line in row.lines)]
    right = max([lefts[-1] + widths[-1], *(MARGIN + _text_width(line) for line in lines)])
    sheet = Image.new("RGB", (right + MARGIN, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for left, name in zip(lefts, COLUMNS, strict=True):
        draw.text((left, MARGIN), name, FAINT, _font(TEXT_SIZE))
    top = MARGIN + head
    for row in rows:
        _draw_row(sheet, row, lefts, top)
        top += row.height + MARGIN
    for number, note in enumerate(notes):
        draw.text((MARGIN, top - GAP + round(LINE * TEXT_SIZE * number)), note, FAINT, _font(TEXT_SIZE))
    return sheet


def _draw_row(sheet: Image.Image, row: Row, lefts: Sequence[int], top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.line((MARGIN, top - GAP, sheet.width - MARGIN, top - GAP), FAINT)
    draw.text((MARGIN, top), row.title, TEXT, _font(TITLE_SIZE))
    top += round(LINE * TITLE_SIZE)
    for line in row.lines:
        draw.text((MARGIN, top), line, FAINT, _font(TEXT_SIZE))
        top += round(LINE * TEXT_SIZE)
    top += GAP
    for left, pictures in zip(lefts, row.pictures, strict=True):
        if pictures and left != lefts[0]:
            _draw_arrow(draw, left - ARROW // 2, top + HEIGHT // 2)
        for caption, picture in pictures:
            fitted = _fit(picture)
            sheet.paste(fitted, (left, top))
            draw.text((left, top + HEIGHT + GAP // 2), caption, TEXT, _font(TEXT_SIZE))
            left += fitted.width + GAP


def _draw_arrow(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """An arrow to the right whose middle is (x, y)."""
    draw.line((x - 14, y, x + 8, y), FAINT, width=4)
    draw.polygon(((x + 6, y - 9), (x + 16, y), (x + 6, y + 9)), FAINT)


def _fit(picture: Image.Image) -> Image.Image:
    width = round(picture.width * HEIGHT / picture.height)
    return picture.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS)


def _width(pictures: Sequence[tuple[str, Image.Image]]) -> int:
    return sum(_fit(picture).width for _, picture in pictures) + GAP * (len(pictures) - 1)


def _text_width(line: str) -> int:
    return math.ceil(_font(TEXT_SIZE).getlength(line))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that Pillow brings along; it knows the characters of ASCII only."""
    return ImageFont.load_default(size)
