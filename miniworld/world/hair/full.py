"""Hair that stands off the head all around."""

from ..curves import arc, bumpy, smooth
from ..head import TOP
from .cut import Cut, Hair


def bowl(cut: Cut) -> Hair:
    out = 6 + 5 * cut.volume
    low, fringe = -2 + 18 * cut.length, -24 + 5 * cut.length
    s = cut.shift * 0.5
    line = [
        (cut.half * 0.8 + s, fringe + 2),
        (cut.half * 0.4 + s, fringe - 1),
        (s, fringe),
        (-cut.half * 0.4 + s, fringe - 1),
        (-cut.half * 0.8 + s, fringe + 2),
    ]
    strands = [smooth([(x, TOP + 4), (x * 1.6, -44), (x * 1.8, fringe - 4)], False) for x in (-18, -6, 14)]
    return Hair(back=[cut.curtain(out - 2, low + 8)], front=[cut.cap(out, low, line, 0.88)], strands=strands)


def curly(cut: Cut) -> Hair:
    out = 5 + 8 * cut.volume
    rim = arc(0, -14, cut.half + out, 50 + out, 0.44, 1.06, 12)
    inner = [(cut.half * 0.86, 0), *[(x, y) for x, y in cut.hairline(-1)], (-cut.half * 0.86, 0)]
    wavy = bumpy([*rim, *inner], 4.5 if cut.pressed else 6, (0, -10))
    swirls = [
        smooth(arc(x, y, 6, 5, 0.1, 0.75, 6), False)
        for x, y in ((-24, -58 - out * 0.4), (8, -62 - out * 0.4), (-42, -34), (34, -48))
    ]
    back = bumpy(arc(0, 0, cut.half + out * 0.8, 34 + 26 * cut.length, 0, 1, 13)[:-1], 4, (0, 0))
    return Hair(back=[back], front=[wavy], strands=swirls)


def afro(cut: Cut) -> Hair:
    r = 62 + 17 * cut.volume
    centre = (0.0, -22.0)
    back = bumpy(arc(*centre, r, r * (0.8 if cut.pressed else 0.94), 0, 1, 19)[:-1], 4, centre)
    rim = arc(0, -14, cut.half + 6, 54, 0.49, 1.01, 11)
    front = bumpy([*rim, (cut.half * 0.86, -20), *cut.hairline(0), (-cut.half * 0.86, -20)], 3.5, (0, -6))
    return Hair(back=[back], front=[front])
