"""Drawing neck, shoulders and clothes, in units of the head."""

from collections.abc import Callable

from .colour import WHITE, Colour, darker, lighter, luma, rgb
from .curves import Point, box, mirrored, oval, smooth, straight
from .person import Person
from .sheet import Sheet

COLOURS: dict[str, Colour] = {
    "red": rgb("#d23b3b"),
    "orange": rgb("#ee8a32"),
    "yellow": rgb("#f3cc45"),
    "green": rgb("#43a05a"),
    "blue": rgb("#3b74cf"),
    "purple": rgb("#8550b5"),
    "pink": rgb("#ef8fb4"),
    "white": rgb("#f4f3ef"),
    "black": rgb("#34343d"),
}
"""Colours of clothes and hats, by the word for them in captions."""

BOTTOM = 300.0  # below every picture


def _torso(width: float, slope: float, neck: float) -> list[Point]:
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


def draw_body(sheet: Sheet, person: Person, clothes: str, colour: Colour) -> None:
    """Neck and what covers the shoulders.

    Args:
        clothes: one of `CLOTHES`.
        colour: its own.
    """
    neck = 21 * person.neck
    skin = darker(person.skin, 0.08)
    throat = smooth(
        [
            (-neck, 40),
            (neck, 40),
            (neck * 0.96, 74),
            (neck * 1.7, 100),
            (0, 128),
            (-neck * 1.7, 100),
            (-neck * 0.96, 74),
        ]
    )
    sheet.shape(throat, skin, 0.3)
    with sheet.inside(throat):
        sheet.glow(0, 66, neck * 1.5, 20, darker(skin, 0.6), 0.75)
    width = 84 + 26 * (person.neck - 1)
    CLOTHES[clothes](sheet, colour, neck, width)


def _cloth(sheet: Sheet, colour: Colour, points: list[Point], collar: list[Point]) -> str:
    path = smooth(points, False) + "L" + smooth(collar, False)[1:] + "Z"
    sheet.shape(path, colour, 0.65)
    return path


def _folds(sheet: Sheet, colour: Colour, width: float) -> None:
    line = darker(colour, 0.45)
    for side in (-1, 1):
        sheet.stroke(
            smooth([(side * width * 0.72, 150), (side * width * 0.68, 190), (side * width * 0.7, 240)], False),
            line,
            2,
            0.55,
        )


def _scoop(neck: float, deep: float) -> list[Point]:
    """The neckline, from the neck's left to its right."""
    return [
        (-neck - 2, 82),
        (-neck * 0.75, 82 + deep * 0.7),
        (0, 82 + deep),
        (neck * 0.75, 82 + deep * 0.7),
        (neck + 2, 82),
    ]


def _t_shirt(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    _cloth(sheet, colour, _torso(width, 0, neck + 4), _scoop(neck + 2, 22))
    sheet.stroke(smooth(_scoop(neck + 2, 22), False), darker(colour, 0.25), 4)
    _folds(sheet, colour, width)


def _striped(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    stripe = colour if luma(colour) < 0.85 else (0.25, 0.3, 0.5)
    path = _cloth(sheet, (0.96, 0.95, 0.92), _torso(width, 0, neck + 4), _scoop(neck + 2, 16))
    with sheet.inside(path):
        for y in range(108, 300, 24):
            sheet.stroke(smooth([(-width * 1.2, y - 4), (0, y + 5), (width * 1.2, y - 4)], False), stripe, 11.5)
    sheet.stroke(smooth(_scoop(neck + 2, 16), False), stripe, 4.5)


def _shirt(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    _cloth(
        sheet,
        colour,
        _torso(width, 0, neck + 2),
        [(-neck, 80), (-neck * 0.5, 96), (0, 112), (neck * 0.5, 96), (neck, 80)],
    )
    sheet.stroke(straight([(0, 112), (0, BOTTOM)], False), darker(colour, 0.35), 2.2)
    for y in (126, 152, 178, 204):
        sheet.shape(oval(4, y, 2.6, 2.6), lighter(colour, 0.7), 0, 0.7)
    for side in (-1, 1):
        flap = [
            (side * (neck + 1), 74),
            (side * (neck + 8), 90),
            (side * (neck * 0.95), 114),
            (side * 1, 110),
            (side * neck * 0.6, 94),
        ]
        sheet.shape(straight(flap), lighter(colour, 0.14), 0.3)
    _folds(sheet, colour, width)


def _sweater(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    _cloth(sheet, colour, _torso(width * 1.03, -3, neck + 4), _scoop(neck, 6))
    roll = [(-neck - 4, 66), (0, 73), (neck + 4, 66), (neck + 8, 86), (0, 97), (-neck - 8, 86)]
    sheet.shape(smooth(roll), lighter(colour, 0.06), 0.6)
    for x in (-0.6, -0.2, 0.2, 0.6):
        sheet.stroke(straight([(x * neck, 74), (x * neck * 1.15, 90)], False), darker(colour, 0.4), 1.6, 0.7)
    for y in (132, 160, 188):  # knitted waves
        points = [(x, y + (5 if i % 2 else -5)) for i, x in enumerate(range(-72, 73, 18))]
        sheet.stroke(
            smooth(points, False), lighter(colour, 0.4) if luma(colour) < 0.6 else darker(colour, 0.25), 3, 0.75
        )


def _hoodie(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    hood = [
        (-neck - 14, 62),
        (0, 72),
        (neck + 14, 62),
        (neck + 30, 88),
        (neck + 10, 104),
        (0, 118),
        (-neck - 10, 104),
        (-neck - 30, 88),
    ]
    _cloth(sheet, colour, _torso(width * 1.05, -2, neck + 6), _scoop(neck + 4, 24))
    sheet.shape(
        smooth(hood)
        + smooth([(-neck - 2, 72), (0, 80), (neck + 2, 72), (neck * 0.7, 96), (0, 110), (-neck * 0.7, 96)])[:0],
        darker(colour, 0.1),
        0.5,
    )
    sheet.shape(
        smooth([(-neck - 4, 70), (0, 78), (neck + 4, 70), (neck * 0.8, 92), (0, 106), (-neck * 0.8, 92)]),
        darker(colour, 0.45),
        0.2,
        0,
    )
    for side in (-1, 1):
        sheet.stroke(smooth([(side * 9, 108), (side * 11, 126), (side * 9, 146)], False), WHITE, 3)
    sheet.stroke(smooth([(-44, 236), (-34, 188), (34, 188), (44, 236)], False), darker(colour, 0.4), 2.2)
    _folds(sheet, colour, width)


def _jacket(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    under = (0.95, 0.94, 0.9) if luma(colour) < 0.8 else (0.3, 0.33, 0.42)
    _cloth(sheet, under, _torso(width * 0.7, 0, neck + 3), _scoop(neck, 14))
    for side in (-1, 1):
        half = [
            (side * (neck + 2), 76),
            (side * (neck + 20), 88),
            (side * width * 0.84, 95),
            (side * width * 1.04, 124),
            (side * width * 1.1, 190),
            (side * width * 1.1, BOTTOM),
            (side * 20, BOTTOM),
            (side * 19, 170),
            (side * (neck * 0.8), 110),
        ]
        sheet.shape(smooth(half), colour, 0.65)
        lapel = [
            (side * (neck + 3), 74),
            (side * (neck + 22), 98),
            (side * (neck + 16), 118),
            (side * (neck * 0.85), 128),
            (side * neck * 0.85, 104),
        ]
        sheet.shape(straight(lapel), darker(colour, 0.22), 0.3)
        sheet.stroke(straight([(side * 19, 140), (side * 19, BOTTOM)], False), (0.8, 0.78, 0.7), 2.6)
    _folds(sheet, colour, width)


def _suit(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    _cloth(sheet, (0.97, 0.97, 0.96), _torso(width * 0.6, 0, neck + 2), [(-neck, 80), (0, 112), (neck, 80)])
    tie = (0.75, 0.18, 0.22) if colour != COLOURS["red"] else (0.15, 0.2, 0.4)
    for side in (-1, 1):
        sheet.shape(
            straight([(side * (neck + 1), 74), (side * (neck + 6), 90), (side * 9, 114), (0, 104)]), WHITE, 0.1, 0.8
        )
    sheet.shape(straight([(-6.5, 106), (6.5, 106), (5, 116), (11, 186), (0, 200), (-11, 186), (-5, 116)]), tie, 0.4)
    for side in (-1, 1):
        half = [
            (side * (neck + 3), 78),
            (side * (neck + 22), 87),
            (side * width * 0.86, 95),
            (side * width * 1.04, 122),
            (side * width * 1.1, 190),
            (side * width * 1.1, BOTTOM),
            (0, BOTTOM),
            (0, 196),
            (side * 16, 146),
        ]
        path = straight(half[-3:])
        path = smooth(half[:6], False) + "".join(f"L{x:.2f} {y:.2f}" for x, y in half[6:]) + "Z"
        sheet.shape(path, colour, 0.6)
        lapel = [
            (side * (neck + 3), 78),
            (side * (neck + 20), 100),
            (side * (neck + 28), 118),
            (side * (neck + 14), 122),
            (side * 1, 196),
            (side * 15, 146),
        ]
        sheet.shape(straight(lapel), lighter(colour, 0.12), 0.3)


def _overalls(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    shirt = (0.97, 0.96, 0.92) if luma(colour) < 0.8 else (0.62, 0.4, 0.3)
    _cloth(sheet, shirt, _torso(width, 0, neck + 4), _scoop(neck + 2, 20))
    for side in (-1, 1):
        sheet.stroke(smooth([(side * 46, 92), (side * 40, 120), (side * 36, 150)], False), colour, 13)
    sheet.shape(box(-45, 142, 45, BOTTOM, 8), colour, 0.5)
    sheet.shape(box(-20, 164, 20, 196, 5), lighter(colour, 0.1), 0.2)
    for side in (-1, 1):
        sheet.shape(oval(side * 36, 151, 5.5, 5.5), (0.95, 0.8, 0.35), 0.4)


def _dress(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    skin_top = [(-neck - 2, 84), (-neck - 6, 104), (-30, 126), (0, 136), (30, 126), (neck + 6, 104), (neck + 2, 84)]
    points = [(neck + 18, 86), (neck + 34, 92), (62, 112), (66, 150), (62, 190), (84, BOTTOM)]
    sheet_skin = [*points, *mirrored(points)]
    path = (
        smooth(sheet_skin, False) + "L" + smooth([(-neck - 16, 88), *skin_top[1:-1], (neck + 16, 88)], False)[1:] + "Z"
    )
    sheet.shape(path, colour, 0.6)
    for x, y in ((-38, 150), (0, 160), (38, 150), (-20, 184), (20, 184), (-46, 200), (46, 200)):
        sheet.shape(oval(x, y, 5.5, 5.5), lighter(colour, 0.75) if luma(colour) < 0.85 else (0.9, 0.45, 0.55), 0, 0)


def _with_shoulders(
    draw: Callable[[Sheet, Colour, float, float], None],
) -> Callable[[Sheet, Colour, float, float], None]:
    return draw


CLOTHES: dict[str, Callable[[Sheet, Colour, float, float], None]] = {
    "t-shirt": _t_shirt,
    "striped shirt": _striped,
    "shirt": _shirt,
    "sweater": _sweater,
    "hoodie": _hoodie,
    "jacket": _jacket,
    "suit": _suit,
    "overalls": _overalls,
}
"""Clothes by the word for them in captions."""
