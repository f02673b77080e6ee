"""Hair that is tied together."""

from ..curves import arc, oval, smooth
from ..head import TOP
from .cut import Cut, Hair


def slick(cut: Cut) -> Hair:
    return Hair(front=[cut.cap(4, -2, cut.hairline(2))], strands=cut.gleams(4))


def ponytail(cut: Cut) -> Hair:
    hair, way = slick(cut), 1 if cut.part > 0 else -1
    thick, bottom = 10 + 8 * cut.volume, 46 + 50 * cut.length
    x = way * (cut.half + 4)
    if cut.pressed:
        tail = [
            (x * 0.8, 0),
            (x + way * thick * 1.1, 24),
            (x + way * thick * 1.1, bottom * 0.7),
            (x + way * thick * 0.2, bottom),
            (x - way * 4, bottom * 0.6),
            (x * 0.8, 30),
        ]
    else:
        tail = [
            (x * 0.6, TOP + 14),
            (x + way * thick * 1.2, TOP + 2),
            (x + way * thick * 2, -6),
            (x + way * thick * 1.7, bottom * 0.6),
            (x + way * thick * 0.7, bottom),
            (x + way * 2, bottom * 0.5),
            (x, -20),
        ]
        hair.ties.append(oval(x * 0.93, TOP + 22, 5, 7))
    hair.back.append(smooth(tail))
    return hair


def bun(cut: Cut) -> Hair:
    hair = slick(cut)
    if cut.pressed:
        hair.back.append(oval(0, 40, cut.half * 0.9, 22))
        return hair
    r = 16 + 9 * cut.volume
    hair.back.append(oval(cut.part * 0.5, TOP - r * 0.55, r * 1.15, r))
    hair.front.append(oval(cut.part * 0.5, TOP - r * 0.62, r * 1.1, r * 0.92))
    hair.strands.append(smooth(arc(cut.part * 0.5, TOP - r * 0.6, r * 0.6, r * 0.5, 0.5, 0.95, 5), False))
    return hair


def pigtails(cut: Cut) -> Hair:
    out = 5 + 3 * cut.volume
    hair = Hair(
        front=[cut.cap(out, 0, cut.parted(-26) if cut.length < 0.5 else cut.bangs())], strands=cut.gleams(out, 2)
    )
    thick, bottom = 11 + 9 * cut.volume, 30 + 50 * cut.length
    for side in (-1, 1):
        x = side * (cut.half + 5)
        top = 6 if cut.pressed else -16
        tail = [
            (x * 0.9, top),
            (x + side * thick, top - 3),
            (x + side * thick * 1.9, top + 24),
            (x + side * thick * 1.4, bottom),
            (x + side * thick * 0.5, bottom + 10),
            (x, top + 26),
        ]
        hair.back.append(smooth(tail))
        hair.ties.append(oval(x * 1.01, top + 5, 4.5, 6))
    return hair


def braids(cut: Cut) -> Hair:
    out = 5 + 3 * cut.volume
    hair = Hair(front=[cut.cap(out, 14, cut.parted(-16), 0.88)], strands=cut.gleams(out, 2))
    links, size = 4 + round(3 * cut.length), 8.5 + 2.5 * cut.volume
    for side in (-1, 1):
        for i in range(links):
            hair.front.insert(
                0, oval(side * (cut.half * 0.98 + i * 1.2), 24 + i * size * 1.25, size * 0.95, size * 0.85)
            )
        hair.ties.append(oval(side * (cut.half * 0.98 + links * 1.2), 24 + links * size * 1.2 - 3, 5, 4))
    return hair
