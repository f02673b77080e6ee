"""Hair that ends above the ears."""

from ..curves import Point, arc, joined, smooth
from ..head import TOP
from .cut import Cut, Hair


def bald(_: Cut) -> Hair:
    return Hair()


def receding(cut: Cut) -> Hair:
    sides = []
    for side in (-1, 1):
        h = cut.half * side
        points = [
            (h * 0.72, -48),
            (h * 1.02, -38),
            (h * (1.08 + 0.08 * cut.volume), -8),
            (h * 1.02, 8),
            (h * 0.92, 4),
            (h * 0.9, -14),
            (h * 0.82, -30),
        ]
        sides.append(smooth(points))
    return Hair(front=sides)


def buzz(cut: Cut) -> Hair:
    return Hair(front=[cut.cap(1.5, -6, cut.hairline(1))], thin=0.3)


def crop(cut: Cut) -> Hair:
    out = 4 + 3 * cut.volume
    s, line = cut.shift * 0.5, cut.line
    fringe = [
        (cut.half * 0.66 + s, line + 8),
        (cut.half * 0.3 + s, line + 2 + 5 * cut.length),
        (s, line + 6),
        (-cut.half * 0.3 + s, line + 1 + 5 * cut.length),
        (-cut.half * 0.66 + s, line + 8),
    ]
    return Hair(front=[cut.cap(out, -2, fringe)], strands=cut.gleams(out, 2))


def side_part(cut: Cut) -> Hair:
    out, way = 6 + 5 * cut.volume, 1 if cut.part > 0 else -1
    p, line = way * cut.half * 0.42, cut.line
    far = [
        (-way * cut.half * 0.84, line + 20),
        (-way * cut.half * 0.4, line + 9),
        (way * cut.half * 0.1, line),
        (p, line - 7),
        (way * cut.half * 0.8, line + 6),
    ]
    forehead = far if way < 0 else far[::-1]
    strand = smooth(
        [
            (p, line - 10),
            (way * 2, TOP + 12 - out * 0.3),
            (-way * cut.half * 0.5, TOP + 16),
            (-way * cut.half * 0.82, -34),
        ],
        False,
    )
    return Hair(front=[cut.cap(out, 2, forehead)], strands=[strand])


def quiff(cut: Cut) -> Hair:
    if cut.pressed:
        return crop(cut)
    rise, way = 15 + 12 * cut.volume, 1 if cut.part > 0 else -1
    half, line = cut.half, cut.line
    top = [
        (-half * 0.99, -4),
        (-half * 1.05, -26),
        (-half * 0.95, -50),
        (-half * 0.55 - way * 3, TOP - rise * 0.75),
        (way * 6, TOP - rise),
        (half * 0.6 - way * 3, TOP - rise * 0.7),
        (half * 0.96, -50),
        (half * 1.05, -26),
        (half * 0.99, -4),
    ]
    inner = [
        (half * 0.9, -4),
        (half * 0.82, -24),
        (half * 0.66, line + 1),
        (way * half * 0.2, line - 6),
        (-half * 0.66, line + 1),
        (-half * 0.82, -24),
        (-half * 0.9, -4),
    ]
    strands = [
        smooth([(x, line - 7), (x * 1.2 + way * 5, TOP - rise * 0.4), (x * 0.8 + way * 9, TOP - rise * 0.82)], False)
        for x in (-half * 0.36, 0, half * 0.36)
    ]
    return Hair(front=[joined(smooth(top, False), smooth(inner, False))], strands=strands)


def spiky(cut: Cut) -> Hair:
    if cut.pressed:
        return crop(cut)
    base = arc(0, -12, cut.half * 1.06, 52, 0.5, 1.0, 10)
    tips = arc(0, -16, cut.half * 1.12 + 9 * cut.volume, 60 + 17 * cut.volume, 0.52, 0.98, 9)
    path = "M" + " ".join(
        f"{x:.2f} {y:.2f}{'L' if i < len(base) + len(tips) - 1 else ''}" for i, (x, y) in enumerate(_zipped(base, tips))
    )
    inner = [
        (cut.half * 0.9, -6),
        (cut.half * 0.8, -24),
        *_zigzag(cut.hairline(), 7),
        (-cut.half * 0.8, -24),
        (-cut.half * 0.9, -6),
    ]
    return Hair(front=[path + "".join(f"L{x:.2f} {y:.2f}" for x, y in inner) + "Z"], strands=cut.gleams(2, 2))


def _zipped(base: list[Point], tips: list[Point]) -> list[Point]:
    return [point for pair in zip(base, tips, strict=False) for point in pair] + [base[-1]]


def _zigzag(points: list[Point], depth: float) -> list[Point]:
    (x0, y0), (x1, y1), (x2, y2) = points
    steps = [(x0 + (x2 - x0) * i / 8, (y0 if i in (0, 8) else y1) + (depth if i % 2 else 0)) for i in range(9)]
    return steps


def mohawk(cut: Cut) -> Hair:
    shaved = cut.cap(1, -8, cut.hairline(0))
    if cut.pressed:
        return Hair(front=[shaved], thin=0.55)
    rise = 22 + 16 * cut.volume
    s = cut.shift
    crest = [
        (s - 13, cut.line + 3),
        (s - 20, TOP - 4),
        (s - 18, TOP - rise * 0.7),
        (s - 3, TOP - rise),
        (s + 14, TOP - rise * 0.8),
        (s + 20, TOP - 4),
        (s + 13, cut.line + 3),
        (s, cut.line + 7),
    ]
    strands = [smooth([(s + x, cut.line), (s + x * 1.4, TOP - rise * 0.6)], False) for x in (-6, 6)]
    return Hair(front=[smooth(crest)], strands=strands)
