"""Drawing hair: what hangs behind the head, and what lies before it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .colour import darker, lighter, mix
from .curves import Point, arc, bumpy, joined, mirrored, oval, smooth
from .head import TOP, Head
from .person import Person
from .sheet import Sheet


@dataclass
class Hair:
    """Outlines of one head of hair.

    Attributes:
        back: behind body and head.
        front: over the forehead and down the sides.
        strands: lines on it that catch the light.
        ties: bands that hold it.
        thin: how much of the skin shines through, 0..1.
    """

    back: list[str] = field(default_factory=list)
    front: list[str] = field(default_factory=list)
    strands: list[str] = field(default_factory=list)
    ties: list[str] = field(default_factory=list)
    thin: float = 0.0


def draw_back_hair(sheet: Sheet, person: Person, hair: Hair) -> None:
    for path in hair.back:
        sheet.shape(path, darker(person.hair, 0.22), 0.6)


def draw_front_hair(sheet: Sheet, person: Person, hair: Hair, head: Head) -> None:
    colour = mix(person.hair, person.skin, hair.thin)
    with sheet.inside(head.path):
        for path in hair.front:  # its shadow on the forehead
            with sheet.moved(y=5):
                sheet.shape(path, darker(person.skin, 0.6), 0, 0, opacity=0.3 * (1 - hair.thin))
    for path in hair.front:
        sheet.shape(path, colour, 0.75)
    for path in hair.strands:
        sheet.stroke(path, lighter(colour, 0.4), 2.2, 0.45)
    for path in hair.ties:
        sheet.shape(path, (0.85, 0.25, 0.4), 0.4)


def hair_of(person: Person, head: Head, pressed: bool) -> Hair:
    """
    Args:
        pressed: under a hat: flat, and nothing on top.
    """
    return _STYLES[person.hair_style](_Cut(person, head, pressed))


class _Cut:
    """What hair styles share."""

    def __init__(self, person: Person, head: Head, pressed: bool):
        self.head, self.pressed, self.length = head, pressed, person.hair_length
        self.volume = min(person.hair_volume, 0.7) if pressed else person.hair_volume
        self.half, self.line, self.shift = head.half, head.hairline, head.shift
        self.part = person.parting * self.half * 0.55
        self.style = person.hair_style

    def over(self, out: float, low: float, left_low: float | None = None) -> list[Point]:
        """Points over the skull from the left to the right side, `out` off it, down to the height `low`."""
        half, top = self.half + out, TOP - out * 1.15
        right = [(half * 0.56, top + 7), (half * 0.92, -36 - out * 0.3), (half * 1.0, -10), (half * 0.985, low)]
        left = mirrored(right)
        left[0] = (left[0][0], low if left_low is None else left_low)
        return [*left, (0, top), *right]

    def cap(self, out: float, low: float, forehead: list[Point], rim: float = 0.9) -> str:
        """Hair from the skull's outside to a hairline, given from the right to the left."""
        edge = [(self.half * rim, low), (self.half * (rim - 0.04), -18)]
        return joined(smooth(self.over(out, low), False), smooth([*edge, *forehead, *mirrored(edge)], False))

    def hairline(self, lift: float = 0) -> list[Point]:
        """The natural hairline, from the right to the left."""
        s, line = self.shift * 0.5, self.line - lift
        return [(self.half * 0.62 + s, line + 5), (s, line), (-self.half * 0.62 + s, line + 5)]

    def parted(self, fall: float) -> list[Point]:
        """A fringe that falls to both sides of the parting, from the right to the left."""
        p, line = self.part, self.line - 4
        right, left = self.half * 0.86, -self.half * 0.86
        return [
            (right * 0.95, fall),
            ((p + right) / 2 + 4, line + 10),
            (p, line - 3),
            ((p + left) / 2 - 4, line + 10),
            (left * 0.95, fall),
        ]

    def gleams(self, out: float, count: int = 3) -> list[str]:
        """Strands that follow the skull."""
        lines = []
        for i in range(count):
            share = 0.3 + 0.22 * i
            points = [
                (-self.half * share - 2, TOP + 9 - out * 0.5 + i * 5),
                (-self.half * (share + 0.22), TOP + 20 + i * 6),
                (-self.half * (share + 0.3), -26 + i * 5),
            ]
            lines.append(smooth(points, False))
        return lines[: max(1, count)]

    def curtain(self, out: float, bottom: float, wave: float = 0.0, narrow: float = 0.94) -> str:
        """Hair that hangs behind the head, its lower edge at `bottom`."""
        half = self.half + out
        steps = 6
        side = []
        for i in range(steps + 1):
            share = i / steps
            y = -20 + (bottom + 20) * share
            x = half * (1.03 + (narrow - 1.0) * share) + wave * (1 if i % 2 else -1) * (0.4 + share)
            side.append((x, y))
        low = [(half * 0.5, bottom + 5), (0, bottom + 2), (-half * 0.5, bottom + 5)]
        crown = [(-half * 0.6, TOP - out * 0.7), (0, TOP - out), (half * 0.6, TOP - out * 0.7)]
        return smooth([*crown, *side, *low, *mirrored(side)])


def _bald(_: _Cut) -> Hair:
    return Hair()


def _receding(cut: _Cut) -> Hair:
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


def _buzz(cut: _Cut) -> Hair:
    return Hair(front=[cut.cap(1.5, -6, cut.hairline(1))], thin=0.3)


def _crop(cut: _Cut) -> Hair:
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


def _side_part(cut: _Cut) -> Hair:
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


def _quiff(cut: _Cut) -> Hair:
    if cut.pressed:
        return _crop(cut)
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


def _spiky(cut: _Cut) -> Hair:
    if cut.pressed:
        return _crop(cut)
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


def _bowl(cut: _Cut) -> Hair:
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


def _curly(cut: _Cut) -> Hair:
    out = 5 + 8 * cut.volume
    rim = arc(0, -14, cut.half + out, 50 + out, 0.44, 1.06, 12)
    inner = [(cut.half * 0.86, 0), *[(x, y) for x, y in cut.hairline(-1)], (-cut.half * 0.86, 0)]
    wavy = _curls([*rim, *inner], 4.5 if cut.pressed else 6)
    swirls = [
        smooth(arc(x, y, 6, 5, 0.1, 0.75, 6), False)
        for x, y in ((-24, -58 - out * 0.4), (8, -62 - out * 0.4), (-42, -34), (34, -48))
    ]
    back = bumpy(arc(0, 0, cut.half + out * 0.8, 34 + 26 * cut.length, 0, 1, 13)[:-1], 4, (0, 0))
    return Hair(back=[back], front=[wavy], strands=swirls)


def _curls(points: list[Point], out: float) -> str:
    return bumpy(points, out, (0, -10))


def _afro(cut: _Cut) -> Hair:
    r = 62 + 17 * cut.volume
    centre = (0.0, -22.0)
    back = bumpy(arc(*centre, r, r * (0.8 if cut.pressed else 0.94), 0, 1, 19)[:-1], 4, centre)
    rim = arc(0, -14, cut.half + 6, 54, 0.49, 1.01, 11)
    front = bumpy([*rim, (cut.half * 0.86, -20), *cut.hairline(0), (-cut.half * 0.86, -20)], 3.5, (0, -6))
    return Hair(back=[back], front=[front])


def _mohawk(cut: _Cut) -> Hair:
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


def _locs(cut: _Cut) -> Hair:
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


def _bob(cut: _Cut) -> Hair:
    out, bottom = 9 + 7 * cut.volume, 38 + 22 * cut.length
    fringe = cut.parted(-8) if abs(cut.part) < cut.half * 0.33 else _bangs(cut)
    front = cut.cap(out, 20, fringe, 0.86)
    strands = [smooth([(cut.part + x * 0.3, TOP + 2), (x * 1.1, -40), (x * 1.45, -6)], False) for x in (-34, 34)]
    return Hair(back=[cut.curtain(out, bottom, narrow=1.02)], front=[front], strands=strands)


def _bangs(cut: _Cut) -> list[Point]:
    s, y = cut.shift * 0.5, -25
    return [
        (cut.half * 0.8 + s, y + 3),
        (cut.half * 0.35 + s, y - 1),
        (s, y + 1),
        (-cut.half * 0.35 + s, y - 1),
        (-cut.half * 0.8 + s, y + 3),
    ]


def _long(cut: _Cut) -> Hair:
    out, bottom = 6 + 5 * cut.volume, 80 + 45 * cut.length
    fringe = cut.parted(-6) if abs(cut.part) < cut.half * 0.4 else _bangs(cut)
    strands = [smooth([(cut.part + x * 0.2, TOP + 3), (x, -42), (x * 1.35, 0)], False) for x in (-38, -24, 38)]
    return Hair(
        back=[cut.curtain(out, bottom)],
        front=[cut.cap(out, 30, fringe, 0.88), *_sides(cut, out, bottom * 0.8)],
        strands=strands,
    )


def _sides(cut: _Cut, out: float, bottom: float, wave: float = 0.0) -> list[str]:
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


def _wavy(cut: _Cut) -> Hair:
    out, bottom = 10 + 8 * cut.volume, 66 + 45 * cut.length
    strands = [smooth([(cut.part + x * 0.2, TOP), (x, -40), (x * 1.5, -12), (x * 1.3, 16)], False) for x in (-36, 36)]
    return Hair(
        back=[cut.curtain(out, bottom, wave=5.5, narrow=1.06)],
        front=[cut.cap(out, 24, cut.parted(-10), 0.87), *_sides(cut, out, bottom * 0.85, 5)],
        strands=strands,
    )


def _slick(cut: _Cut) -> Hair:
    return Hair(front=[cut.cap(4, -2, cut.hairline(2))], strands=cut.gleams(4))


def _ponytail(cut: _Cut) -> Hair:
    hair, way = _slick(cut), 1 if cut.part > 0 else -1
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


def _bun(cut: _Cut) -> Hair:
    hair = _slick(cut)
    if cut.pressed:
        hair.back.append(oval(0, 40, cut.half * 0.9, 22))
        return hair
    r = 16 + 9 * cut.volume
    hair.back.append(oval(cut.part * 0.5, TOP - r * 0.55, r * 1.15, r))
    hair.front.append(oval(cut.part * 0.5, TOP - r * 0.62, r * 1.1, r * 0.92))
    hair.strands.append(smooth(arc(cut.part * 0.5, TOP - r * 0.6, r * 0.6, r * 0.5, 0.5, 0.95, 5), False))
    return hair


def _pigtails(cut: _Cut) -> Hair:
    out = 5 + 3 * cut.volume
    hair = Hair(
        front=[cut.cap(out, 0, cut.parted(-26) if cut.length < 0.5 else _bangs(cut))], strands=cut.gleams(out, 2)
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


def _braids(cut: _Cut) -> Hair:
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


_STYLES: dict[str, Callable[[_Cut], Hair]] = {
    "bald": _bald,
    "receding": _receding,
    "buzz": _buzz,
    "crop": _crop,
    "side part": _side_part,
    "quiff": _quiff,
    "spiky": _spiky,
    "bowl": _bowl,
    "curly": _curly,
    "afro": _afro,
    "mohawk": _mohawk,
    "locs": _locs,
    "bob": _bob,
    "long": _long,
    "wavy": _wavy,
    "ponytail": _ponytail,
    "bun": _bun,
    "pigtails": _pigtails,
    "braids": _braids,
}
