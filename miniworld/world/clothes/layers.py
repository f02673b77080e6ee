"""Clothes with others below."""

from ..colour import WHITE, Colour, darker, lighter, luma
from ..curves import box, oval, smooth, straight
from ..dyes import COLOURS
from ..sheet import Sheet
from .cloth import BOTTOM, cloth, folds, scoop, torso


def jacket(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    under = (0.95, 0.94, 0.9) if luma(colour) < 0.8 else (0.3, 0.33, 0.42)
    cloth(sheet, under, torso(width * 0.7, 0, neck + 3), scoop(neck, 14))
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
    folds(sheet, colour, width)


def suit(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    cloth(sheet, (0.97, 0.97, 0.96), torso(width * 0.6, 0, neck + 2), [(-neck, 80), (0, 112), (neck, 80)])
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


def overalls(sheet: Sheet, colour: Colour, neck: float, width: float) -> None:
    shirt = (0.97, 0.96, 0.92) if luma(colour) < 0.8 else (0.62, 0.4, 0.3)
    cloth(sheet, shirt, torso(width, 0, neck + 4), scoop(neck + 2, 20))
    for side in (-1, 1):
        sheet.stroke(smooth([(side * 46, 92), (side * 40, 120), (side * 36, 150)], False), colour, 13)
    sheet.shape(box(-45, 142, 45, BOTTOM, 8), colour, 0.5)
    sheet.shape(box(-20, 164, 20, 196, 5), lighter(colour, 0.1), 0.2)
    for side in (-1, 1):
        sheet.shape(oval(side * 36, 151, 5.5, 5.5), (0.95, 0.8, 0.35), 0.4)
