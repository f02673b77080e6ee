"""What several places have, in units of which a picture is 100 high."""

from ..colour import Colour, rgb
from ..curves import arc, box, bumpy, smooth, straight
from ..dice import Dice
from ..sheet import Sheet


def sky(sheet: Sheet, width: float, top: Colour, bottom: Colour) -> None:
    sheet.fade(box(-2, -2, width + 2, 102), top, bottom)


def cloud(sheet: Sheet, x: float, y: float, size: float) -> None:
    rim = arc(x, y, size * 1.5, size * 0.6, 0, 1, 10)[:-1]
    sheet.shape(bumpy(rim, size * 0.22, (x, y)), (1.0, 1.0, 1.0), 0.15, 0, opacity=0.9)


def hills(sheet: Sheet, dice: Dice, width: float, y: float, high: float, colour: Colour) -> None:
    points = [(-5 + (width + 10) * i / 5, y - high * dice.between(0, 1)) for i in range(6)]
    sheet.shape(smooth(points, False) + f"L{width + 5:.1f} 105L-5 105Z", colour, 0.4, 0.3)


def tree(sheet: Sheet, x: float, y: float, size: float, leaves: Colour) -> None:
    sheet.shape(
        straight(
            [
                (x - size * 0.1, y),
                (x - size * 0.06, y - size * 0.6),
                (x + size * 0.06, y - size * 0.6),
                (x + size * 0.1, y),
            ]
        ),
        rgb("#7a5234"),
        0.3,
        0.4,
    )
    centre = (x, y - size * 0.85)
    sheet.shape(bumpy(arc(*centre, size * 0.4, size * 0.38, 0, 1, 9)[:-1], size * 0.07, centre), leaves, 0.7, 0.4)


def fir(sheet: Sheet, x: float, y: float, size: float, colour: Colour, snow: bool = False) -> None:
    sheet.shape(box(x - size * 0.05, y - size * 0.2, x + size * 0.05, y), rgb("#6b4a32"), 0.2, 0.3)
    for low, high, half in ((0.12, 0.6, 0.3), (0.38, 0.82, 0.24), (0.62, 1.05, 0.17)):
        sheet.shape(
            straight([(x - size * half, y - size * low), (x, y - size * high), (x + size * half, y - size * low)]),
            colour,
            0.6,
            0.4,
        )
        if snow:
            sheet.shape(
                straight(
                    [
                        (x - size * half * 0.5, y - size * (low + (high - low) * 0.5)),
                        (x, y - size * high),
                        (x + size * half * 0.5, y - size * (low + (high - low) * 0.5)),
                    ]
                ),
                (0.97, 0.98, 1.0),
                0.1,
                0,
            )
