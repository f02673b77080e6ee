"""Places inside."""

from ..colour import darker, lighter, mix, rgb
from ..curves import box, straight
from ..dice import Dice
from ..sheet import Sheet


def library(sheet: Sheet, dice: Dice, width: float) -> None:
    sheet.shape(box(-2, -2, width + 2, 104), rgb("#8a5a38"), 0.3, 0)
    spines = [rgb(c) for c in ("#b5483f", "#3f6f9a", "#d9a441", "#5b8c5a", "#7d5a8c", "#e4dcc6", "#3f4a5a", "#c97b4a")]
    for top in (2, 26, 50, 74):
        sheet.shape(box(-2, top, width + 2, top + 20.5), rgb("#4f3222"), 0, 0)
        x = 0.0
        while x < width:
            wide, high = dice.between(3.2, 6), dice.between(13, 19.5)
            sheet.shape(box(x, top + 20.5 - high, x + wide, top + 20.5), dice.one_of(spines), 0.3, 0.3)
            x += wide + (dice.between(2, 5) if dice.chance(0.1) else 0.3)


def kitchen(sheet: Sheet, dice: Dice, width: float) -> None:
    sheet.shape(box(-2, -2, width + 2, 104), mix(rgb("#f2e3c9"), rgb("#cfe6e0"), dice.between(0, 1)), 0.2, 0)
    for y in range(8, 66, 12):
        sheet.stroke(straight([(0, y), (width, y)], False), rgb("#ffffff"), 0.8)
    for x in range(6, int(width), 12):
        sheet.stroke(straight([(x, 0), (x, 64)], False), rgb("#ffffff"), 0.8)
    wood = mix(rgb("#4f8f8a"), rgb("#b5653f"), dice.between(0, 1))
    split = dice.between(0.35, 0.65) * width
    for left, right in ((-2, split - 12), (split + 12, width + 2)):
        sheet.shape(box(left, -2, right, 30, 1), wood, 0.3, 0.5)
        sheet.stroke(straight([((left + right) / 2, 0), ((left + right) / 2, 30)], False), darker(wood, 0.4), 0.8)
    sheet.shape(box(-2, 66, width + 2, 71), rgb("#e8dcc8"), 0.3, 0.4)
    sheet.shape(box(-2, 71, width + 2, 104), wood, 0.3, 0.4)
    for share, colour in ((0.08, "#c0392b"), (0.9, "#e0a030")):
        x = share * width + dice.between(-3, 3)
        sheet.shape(box(x - 6, 52, x + 6, 66, 2), rgb(colour), 0.5, 0.5)
        sheet.shape(box(x - 7, 50, x + 7, 53, 1), darker(rgb(colour), 0.2), 0.3, 0.5)


def studio(sheet: Sheet, dice: Dice, width: float) -> None:
    colour = dice.one_of([rgb(c) for c in ("#c9d8e6", "#ecd9c6", "#d3e3cf", "#e6cfd8", "#d8d2ea", "#d9d9d6")])
    sheet.shape(box(-2, -2, width + 2, 104), colour, 0.5, 0)
    sheet.glow(width * 0.5, 40, width * 0.7, 60, lighter(colour, 0.8), 0.8)
