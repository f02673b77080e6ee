"""Clothes of one piece."""

from ..colour import WHITE, Colour, darker, lighter, luma
from ..curves import oval, smooth, straight
from ..sheet import Sheet
from .cloth import BOTTOM, cloth, folds, scoop, torso


def t_shirt(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    cloth(sheet, colour, torso(width, 0, neck + 4), scoop(neck + 2, 22))
    sheet.stroke(smooth(scoop(neck + 2, 22), False), darker(colour, 0.25), 4)
    folds(sheet, colour, width)


def striped(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    stripe = colour if luma(colour) < 0.85 else (0.25, 0.3, 0.5)
    path = cloth(sheet, (0.96, 0.95, 0.92), torso(width, 0, neck + 4), scoop(neck + 2, 16))
    with sheet.inside(path):
        for y in range(108, 300, 24):
            sheet.stroke(smooth([(-width * 1.2, y - 4), (0, y + 5), (width * 1.2, y - 4)], False), stripe, 11.5)
    sheet.stroke(smooth(scoop(neck + 2, 16), False), stripe, 4.5)


def shirt(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    cloth(
        sheet,
        colour,
        torso(width, 0, neck + 2),
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
    folds(sheet, colour, width)


def sweater(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    cloth(sheet, colour, torso(width * 1.03, -3, neck + 4), scoop(neck, 6))
    roll = [(-neck - 4, 66), (0, 73), (neck + 4, 66), (neck + 8, 86), (0, 97), (-neck - 8, 86)]
    sheet.shape(smooth(roll), lighter(colour, 0.06), 0.6)
    for x in (-0.6, -0.2, 0.2, 0.6):
        sheet.stroke(straight([(x * neck, 74), (x * neck * 1.15, 90)], False), darker(colour, 0.4), 1.6, 0.7)
    for y in (132, 160, 188):  # knitted waves
        points = [(x, y + (5 if i % 2 else -5)) for i, x in enumerate(range(-72, 73, 18))]
        sheet.stroke(
            smooth(points, False), lighter(colour, 0.4) if luma(colour) < 0.6 else darker(colour, 0.25), 3, 0.75
        )


def hoodie(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
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
    cloth(sheet, colour, torso(width * 1.05, -2, neck + 6), scoop(neck + 4, 24))
    sheet.shape(smooth(hood), darker(colour, 0.1), 0.5)
    sheet.shape(
        smooth([(-neck - 4, 70), (0, 78), (neck + 4, 70), (neck * 0.8, 92), (0, 106), (-neck * 0.8, 92)]),
        darker(colour, 0.45),
        0.2,
        0,
    )
    for side in (-1, 1):
        sheet.stroke(smooth([(side * 9, 108), (side * 11, 126), (side * 9, 146)], False), WHITE, 3)
    sheet.stroke(smooth([(-44, 236), (-34, 188), (34, 188), (44, 236)], False), darker(colour, 0.4), 2.2)
    folds(sheet, colour, width)
