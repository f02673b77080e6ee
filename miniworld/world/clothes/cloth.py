"""What several clothes are made of, in units of the head."""

from ..colour import Colour, darker
from ..curves import Point, mirrored, smooth
from ..sheet import Sheet

BOTTOM = 300.0  # below every picture


def torso(width: float, slope: float, neck: float) -> list[Point]:
    """Shoulders and chest, from the neck's right clockwise to its left."""
    right = [
        (neck, 80),
        (neck + 16, 88),
        (width * 0.82, 97 + slope),
        (width, 122 + slope),
        (width * 1.06, 190),
        (width * 1.08, BOTTOM),
    ]
    return [*right, *mirrored(right)]


def cloth(sheet: Sheet, colour: Colour, points: list[Point], collar: list[Point]) -> str:
    path = smooth(points, False) + "L" + smooth(collar, False)[1:] + "Z"
    sheet.shape(path, colour, 0.65)
    return path


def folds(sheet: Sheet, colour: Colour, width: float) -> None:
    line = darker(colour, 0.45)
    for side in (-1, 1):
        sheet.stroke(
            smooth([(side * width * 0.72, 150), (side * width * 0.68, 190), (side * width * 0.7, 240)], False),
            line,
            2,
            0.55,
        )


def scoop(neck: float, deep: float) -> list[Point]:
    """The neckline, from the neck's left to its right."""
    return [
        (-neck - 2, 82),
        (-neck * 0.75, 82 + deep * 0.7),
        (0, 82 + deep),
        (neck * 0.75, 82 + deep * 0.7),
        (neck + 2, 82),
    ]
