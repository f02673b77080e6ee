"""Places under the sky."""

from ..colour import darker, lighter, mix, rgb
from ..curves import arc, box, bumpy, oval, smooth, straight
from ..dice import Dice
from ..sheet import Sheet
from .scenery import cloud, fir, hills, sky, tree


def beach(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#7cc8ef"), rgb("#d8f0f7"))
    x = dice.between(0.12, 0.88) * width
    sheet.shape(oval(x, 17, 7.5, 7.5), rgb("#ffdf6b"), 0.2, 0)
    sea = 42 + dice.between(-4, 4)
    sheet.shape(box(-2, sea, width + 2, 102), rgb("#2f9fc4"), 0.4, 0)
    for _ in range(9):
        wx, wy = dice.between(0, width), sea + dice.between(3, 21)
        sheet.stroke(smooth([(wx - 5, wy), (wx, wy - 1), (wx + 5, wy)], False), rgb("#bfe8f0"), 0.9)
    sheet.shape(
        smooth(
            [
                (-5, sea + 25),
                (width * 0.3, sea + 28),
                (width * 0.7, sea + 22),
                (width + 5, sea + 27),
                (width + 5, 108),
                (-5, 108),
            ]
        ),
        rgb("#f0d9a0"),
        0.3,
        0.3,
    )
    if dice.chance(0.6):
        bx = dice.between(0.1, 0.9) * width
        sheet.shape(straight([(bx, sea - 1), (bx, sea - 15), (bx + 9, sea - 3)]), (1.0, 1.0, 1.0), 0.2, 0.4)
        sheet.shape(
            straight([(bx - 5, sea - 1), (bx + 10, sea - 1), (bx + 7, sea + 3), (bx - 3, sea + 3)]),
            rgb("#c0453a"),
            0.2,
            0.4,
        )


def park(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#8fd0f5"), rgb("#e6f5ee"))
    cloud(sheet, dice.between(0.1, 0.9) * width, dice.between(10, 20), dice.between(6, 10))
    hills(sheet, dice, width, 58, 8, rgb("#9fcf7f"))
    for x in (0.06, 0.3, 0.72, 0.95):
        tree(
            sheet,
            (x + dice.between(-0.07, 0.07)) * width,
            dice.between(62, 70),
            dice.between(34, 48),
            mix(rgb("#4f9f4a"), rgb("#8fbf4a"), dice.between(0, 1)),
        )
    sheet.shape(
        smooth([(-5, 68), (width * 0.5, 65), (width + 5, 69), (width + 5, 108), (-5, 108)]), rgb("#7cbf57"), 0.4, 0.3
    )


def mountains(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#86b7e8"), rgb("#f3e3d6"))
    for x, high in ((0.15, 48), (0.85, 52), (0.5, 62)):
        peak = ((x + dice.between(-0.1, 0.1)) * width, 78 - high - dice.between(0, 8))
        half = dice.between(34, 44)
        sheet.shape(
            straight([(peak[0] - half, 80), peak, (peak[0] + half, 80)]),
            mix(rgb("#6f7f9f"), rgb("#8a7f9a"), dice.between(0, 1)),
            0.8,
            0.4,
        )
        snow = [
            (peak[0] - half * 0.34, peak[1] + 20),
            peak,
            (peak[0] + half * 0.34, peak[1] + 20),
            (peak[0] + half * 0.12, peak[1] + 15),
            (peak[0], peak[1] + 21),
            (peak[0] - half * 0.14, peak[1] + 15),
        ]
        sheet.shape(straight(snow), (0.98, 0.98, 1.0), 0.2, 0)
    hills(sheet, dice, width, 80, 9, rgb("#6f9f6a"))


def city(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#f2b98a"), rgb("#f7e3c4"))
    tints = [rgb(c) for c in ("#7d8aa5", "#a58a7d", "#8f7fa0", "#6f8f96", "#b59a86")]
    for row, shade in ((0, 0.35), (1, 0.0)):
        x = -4.0
        while x < width + 4:
            wide, top = dice.between(13, 21), dice.between(10, 44) + row * 12
            colour = lighter(dice.one_of(tints), shade)
            sheet.shape(box(x, top, x + wide, 104), colour, 0.4, 0.4)
            if row:
                for wy in range(int(top) + 4, 84, 8):
                    for wx in (0.22, 0.6):
                        lit = rgb("#ffe9a0") if dice.chance(0.5) else darker(colour, 0.35)
                        sheet.shape(box(x + wide * wx, wy, x + wide * wx + 3, wy + 4), lit, 0, 0)
            x += wide + dice.between(-1, 2)


def forest(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#a9cfa4"), rgb("#dfeccb"))
    for row, (count, size, colour) in enumerate(((8, 62, "#7fae7d"), (6, 74, "#4f8a5b"), (4, 84, "#2f6847"))):
        for i in range(count):
            x = width * (i + dice.between(0.1, 0.9)) / count
            fir(sheet, x, 74 + row * 8, size * dice.between(0.8, 1.1), rgb(colour))
    sheet.shape(box(-2, 84, width + 2, 104), rgb("#5a7a45"), 0.3, 0)


def desert(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#f5a45c"), rgb("#fbe2ae"))
    sheet.shape(oval(dice.between(0.15, 0.85) * width, 24, 9, 9), rgb("#fff1c0"), 0, 0)
    hills(sheet, dice, width, 64, 14, rgb("#d98f4e"))
    hills(sheet, dice, width, 78, 10, rgb("#e8b06a"))
    for x in (0.1, 0.9):
        cx, base, high = (x + dice.between(-0.06, 0.06)) * width, dice.between(80, 88), dice.between(30, 44)
        green = rgb("#4f8f58")
        sheet.shape(box(cx - 3.4, base - high, cx + 3.4, base, 3.4), green, 0.5, 0.4)
        for side, up in ((-1, 0.45), (1, 0.6)):
            sheet.stroke(
                smooth(
                    [
                        (cx, base - high * up),
                        (cx + side * 8, base - high * up - 1),
                        (cx + side * 8.5, base - high * up - 11),
                    ],
                    False,
                ),
                green,
                4.6,
            )


def snow(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#a9bfd9"), rgb("#e9eff7"))
    for i in range(5):
        fir(
            sheet,
            width * (i + dice.between(0.1, 0.9)) / 5,
            dice.between(72, 82),
            dice.between(42, 62),
            rgb("#4a7a78"),
            snow=True,
        )
    hills(sheet, dice, width, 80, 8, rgb("#f4f8fd"))
    for _ in range(26):
        r = dice.between(0.7, 1.5)
        sheet.shape(oval(dice.between(0, width), dice.between(0, 90), r, r), (1.0, 1.0, 1.0), 0, 0)


def garden(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#bfe3f5"), rgb("#f3f7e0"))
    centre = (width / 2, 60)
    hedge = arc(width / 2, 62, width * 0.62, 36, 0.5, 1.0, 11)
    sheet.shape(bumpy([*hedge, (width + 10, 108), (-10, 108)], 3, centre), rgb("#5fa052"), 0.5, 0.4)
    petals = [rgb(c) for c in ("#e8558a", "#f2c23c", "#ffffff", "#a86fd0", "#e8604a")]
    for _ in range(30):
        x, y, r = dice.between(0, width), dice.between(34, 98), dice.between(2.2, 3.6)
        colour = dice.one_of(petals)
        sheet.shape(bumpy(arc(x, y, r * 0.72, r * 0.72, 0, 1, 6)[:-1], r * 0.42, (x, y)), colour, 0, 0.3)
        sheet.shape(oval(x, y, r * 0.36, r * 0.36), rgb("#8a5a20") if colour[1] > 0.7 else rgb("#ffe27a"), 0, 0)


def night(sheet: Sheet, dice: Dice, width: float) -> None:
    sky(sheet, width, rgb("#141c42"), rgb("#4a3f78"))
    for _ in range(34):
        r = dice.between(0.45, 1.1)
        sheet.shape(oval(dice.between(0, width), dice.between(0, 70), r, r), rgb("#fff6d8"), 0, 0)
    x, y = dice.between(0.12, 0.88) * width, dice.between(13, 20)
    sheet.shape(oval(x, y, 8, 8), rgb("#fdf3c8"), 0.2, 0)
    sheet.shape(oval(x + 3.6, y - 1.6, 6.8, 6.8), mix(rgb("#141c42"), rgb("#4a3f78"), y / 100), 0, 0)
    hills(sheet, dice, width, 84, 12, rgb("#1f2a45"))
