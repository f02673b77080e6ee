"""Hair that falls to the chin or further."""

from ..curves import smooth
from ..head import TOP
from .cut import Cut, Hair


def locs(cut: Cut) -> Hair:
    out, bottom = 5 + 4 * cut.volume, 26 + 70 * cut.length
    ropes = []
    for i in range(7):
        x = (cut.half + out) * (-1.05 + 2.1 * i / 6)
        ropes.append(
            smooth(
                [
                    (x * 0.8, -30),
                    (x * 1.06, 10),
                    (x * 1.1, bottom),
                    (x * 1.1 + 11, bottom),
                    (x * 1.06 + 12, 10),
                    (x * 0.8 + 12, -30),
                ]
            )
        )
    front = [cut.cap(out, 6, cut.parted(-22))]
    sides = []
    for side in (-1, 1):
        for offset in (0, 10):
            x = side * (cut.half * 0.92 + offset)
            sides.append(
                smooth(
                    [
                        (x - 6, -26),
                        (x - 6 + side * 2, 20),
                        (x - 5 + side * 3, bottom - offset),
                        (x + 5 + side * 3, bottom - offset),
                        (x + 6 + side * 2, 20),
                        (x + 6, -26),
                    ]
                )
            )
    strands = [smooth([(cut.part, TOP), (x, -44), (x * 1.25, -26)], False) for x in (-34, -18, 18, 34)]
    return Hair(back=ropes, front=[*sides, *front], strands=strands)


def bob(cut: Cut) -> Hair:
    out, bottom = 9 + 7 * cut.volume, 38 + 22 * cut.length
    fringe = cut.parted(-8) if abs(cut.part) < cut.half * 0.33 else cut.bangs()
    front = cut.cap(out, 20, fringe, 0.86)
    strands = [smooth([(cut.part + x * 0.3, TOP + 2), (x * 1.1, -40), (x * 1.45, -6)], False) for x in (-34, 34)]
    return Hair(back=[cut.curtain(out, bottom, narrow=1.02)], front=[front], strands=strands)


def long_hair(cut: Cut) -> Hair:
    out, bottom = 6 + 5 * cut.volume, 80 + 45 * cut.length
    fringe = cut.parted(-6) if abs(cut.part) < cut.half * 0.4 else cut.bangs()
    strands = [smooth([(cut.part + x * 0.2, TOP + 3), (x, -42), (x * 1.35, 0)], False) for x in (-38, -24, 38)]
    return Hair(
        back=[cut.curtain(out, bottom)],
        front=[cut.cap(out, 30, fringe, 0.88), *side_locks(cut, out, bottom * 0.8)],
        strands=strands,
    )


def side_locks(cut: Cut, out: float, bottom: float, wave: float = 0.0) -> list[str]:
    """Locks that hang before the shoulders."""
    locks = []
    for side in (-1, 1):
        x = side * (cut.half + out)
        outer = [
            (x, 10),
            (x * 1.03 + side * wave, bottom * 0.4),
            (x * 1.0 - side * wave, bottom * 0.75),
            (x * 0.86, bottom),
        ]
        inner = [
            (x * 0.72 - side * wave, bottom * 0.72),
            (x * 0.8 + side * wave * 0.5, bottom * 0.4),
            (cut.half * side * 0.9, 10),
        ]
        locks.append(smooth([*outer, *inner]))
    return locks


def wavy(cut: Cut) -> Hair:
    out, bottom = 10 + 8 * cut.volume, 66 + 45 * cut.length
    strands = [smooth([(cut.part + x * 0.2, TOP), (x, -40), (x * 1.5, -12), (x * 1.3, 16)], False) for x in (-36, 36)]
    return Hair(
        back=[cut.curtain(out, bottom, wave=5.5, narrow=1.06)],
        front=[cut.cap(out, 24, cut.parted(-10), 0.87), *side_locks(cut, out, bottom * 0.85, 5)],
        strands=strands,
    )
