"""What hair is made of, and what hair styles share."""

from dataclasses import dataclass, field

from ..curves import Point, joined, mirrored, smooth
from ..head import TOP, Head
from ..person import Person


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


class Cut:
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

    def bangs(self) -> list[Point]:
        """A fringe cut straight, from the right to the left."""
        s, y = self.shift * 0.5, -25
        return [
            (self.half * 0.8 + s, y + 3),
            (self.half * 0.35 + s, y - 1),
            (s, y + 1),
            (-self.half * 0.35 + s, y - 1),
            (-self.half * 0.8 + s, y + 3),
        ]
