"""Drawing hats, in units of the head."""

from collections.abc import Callable

from .colour import Colour, darker, lighter, rgb
from .curves import box, joined, mirrored, oval, smooth, straight
from .head import TOP, Head
from .sheet import Sheet

STRAW, GOLD = rgb("#e4c57a"), rgb("#f2c230")


def _dome(half: float, low: float, top: float) -> str:
    right = [(half * 0.6, top + 7), (half * 0.95, (top + low) / 2), (half * 1.03, low)]
    return joined(
        smooth([*mirrored(right), (0, top), *right], False),
        smooth([(half * 1.03, low), (0, low + 5), (-half * 1.03, low)], False),
    )


def _beanie(sheet: Sheet, head: Head, colour: Colour) -> None:
    half = head.half + 7
    sheet.shape(_dome(half, -34, TOP - 24), colour, 0.7)
    for x in (-0.5, 0, 0.5):
        sheet.stroke(smooth([(half * x, -44), (half * x * 0.85, TOP - 6)], False), darker(colour, 0.35), 1.8, 0.6)
    band = [(-half * 1.06, -50), (0, -45), (half * 1.06, -50), (half * 1.08, -31), (0, -25), (-half * 1.08, -31)]
    sheet.shape(smooth(band), lighter(colour, 0.22), 0.4)
    sheet.shape(oval(0, TOP - 29, 13, 12), lighter(colour, 0.5), 0.6)


def _cap(sheet: Sheet, head: Head, colour: Colour) -> None:
    half, s = head.half + 5, head.shift * 1.5
    sheet.shape(_dome(half, -36, TOP - 15), colour, 0.7)
    sheet.stroke(smooth([(s * 0.5, TOP - 14), (s * 0.8, -40)], False), darker(colour, 0.4), 1.8, 0.7)
    brim = [
        (-half * 0.92 + s * 0.4, -40),
        (s, -47),
        (half * 0.92 + s * 0.4, -40),
        (half * 0.8 + s, -26),
        (s, -20),
        (-half * 0.8 + s, -26),
    ]
    sheet.shape(smooth(brim), darker(colour, 0.2), 0.5)
    sheet.shape(oval(0, TOP - 15, 4, 3), darker(colour, 0.2), 0.3)


def _top_hat(sheet: Sheet, head: Head, colour: Colour) -> None:
    half = head.half * 0.9
    right = [(half * 0.98, -40), (half * 0.95, -80), (half * 1.1, TOP - 62)]
    crown = joined(
        smooth(right, False),
        smooth([right[-1], (0, TOP - 68), (-right[-1][0], right[-1][1])], False),
        smooth(mirrored(right), False),
        smooth([(-half * 0.98, -40), (0, -34), (half * 0.98, -40)], False),
    )
    sheet.shape(crown, colour, 0.7)
    ribbon = [(-half * 0.985, -58), (0, -52), (half * 0.985, -58), (half, -42), (0, -36), (-half, -42)]
    sheet.shape(straight(ribbon), (0.8, 0.2, 0.25) if colour[0] < 0.7 else (0.2, 0.2, 0.3), 0.3, 0.6)
    brim = [
        (-half * 1.6, -40),
        (-half * 0.9, -45),
        (0, -40),
        (half * 0.9, -45),
        (half * 1.6, -40),
        (half * 0.9, -33),
        (0, -27),
        (-half * 0.9, -33),
    ]
    sheet.shape(smooth(brim), colour, 0.6)


def _straw_hat(sheet: Sheet, head: Head, _: Colour) -> None:
    half = head.half
    sheet.shape(_dome(half * 0.98, -40, TOP - 18), STRAW, 0.6)
    ribbon = [(-half, -56), (0, -50), (half, -56), (half * 1.02, -42), (0, -36), (-half * 1.02, -42)]
    sheet.shape(straight(ribbon), (0.75, 0.25, 0.25), 0.3, 0.7)
    brim = [
        (-half * 1.75, -36),
        (-half, -46),
        (0, -41),
        (half, -46),
        (half * 1.75, -36),
        (half, -28),
        (0, -24),
        (-half, -28),
    ]
    sheet.shape(smooth(brim), STRAW, 0.6)
    sheet.stroke(smooth([(-half * 1.4, -35), (0, -30), (half * 1.4, -35)], False), darker(STRAW, 0.35), 1.5, 0.7)


def _crown(sheet: Sheet, head: Head, _: Colour) -> None:
    half, low, top = head.half * 0.86, -44, TOP - 34
    spikes = [
        (-half, low),
        (-half * 1.14, top + 8),
        (-half * 0.55, -72),
        (-half * 0.45, top - 4),
        (0, -74),
        (half * 0.45, top - 4),
        (half * 0.55, -72),
        (half * 1.14, top + 8),
        (half, low),
    ]
    sheet.shape(
        straight(spikes, False) + "L" + smooth([(half, low), (0, low + 9), (-half, low)], False)[1:] + "Z", GOLD, 0.7
    )
    for x, y, gem in ((-0.62, -54, "#d23b6b"), (0, -50, "#3b74cf"), (0.62, -54, "#43a05a")):
        sheet.shape(oval(half * x, y, 5.5, 6), rgb(gem), 0.4, 0.8)
    for x in (-0.45, 0.45):
        sheet.shape(oval(half * x, top - 4, 5, 5), lighter(GOLD, 0.4), 0.4, 0.8)


def _chef_hat(sheet: Sheet, head: Head, _: Colour) -> None:
    half, white = head.half, (0.97, 0.97, 0.98)
    puffs = [
        (-half * 0.95, -56),
        (-half * 1.25, TOP - 22),
        (-half * 0.7, TOP - 46),
        (0, TOP - 52),
        (half * 0.7, TOP - 46),
        (half * 1.25, TOP - 22),
        (half * 0.95, -56),
    ]
    sheet.shape(smooth([*puffs, (0, -50)]), white, 0.5)
    for x in (-0.4, 0.4):
        sheet.stroke(smooth([(half * x, -58), (half * x * 1.3, TOP - 24)], False), (0.6, 0.62, 0.7), 2, 0.8)
    sheet.shape(
        straight([(-half * 0.98, -64), (0, -59), (half * 0.98, -64), (half * 1.0, -38), (0, -32), (-half * 1.0, -38)]),
        white,
        0.5,
    )


def _headphones(sheet: Sheet, head: Head, colour: Colour) -> None:
    half = head.half + 7
    band = smooth(
        [
            (-half, 2),
            (-half * 0.96, -36),
            (-half * 0.55, TOP - 10),
            (0, TOP - 16),
            (half * 0.55, TOP - 10),
            (half * 0.96, -36),
            (half, 2),
        ],
        False,
    )
    sheet.stroke(band, darker(colour, 0.55), 10)
    sheet.stroke(band, colour, 6.5)
    for side in (-1, 1):
        sheet.shape(box(side * half - 10, -14, side * half + 10, 26, 9), colour, 0.6)
        sheet.shape(box(side * half - 4, -8, side * half + 4, 20, 4), lighter(colour, 0.4), 0.2, 0.5)


HATS: dict[str, Callable[[Sheet, Head, Colour], None]] = {
    "beanie": _beanie,
    "cap": _cap,
    "top hat": _top_hat,
    "straw hat": _straw_hat,
    "crown": _crown,
    "chef hat": _chef_hat,
    "headphones": _headphones,
}
"""Hats by the word for them in captions."""

COLOURED = ("beanie", "cap", "headphones")
"""Hats that come in colours; the others have one of their own."""

OWN_COLOURS: dict[str, Colour] = {
    "top hat": (0.17, 0.16, 0.2),
    "straw hat": STRAW,
    "crown": GOLD,
    "chef hat": (0.97, 0.97, 0.98),
}

PRESSING = ("beanie", "cap", "top hat", "straw hat", "chef hat")
"""Hats under which hair lies flat."""
