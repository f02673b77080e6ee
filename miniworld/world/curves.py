"""Outlines as SVG path data."""

from collections.abc import Iterable, Sequence
from math import cos, pi, sin

Point = tuple[float, float]


def smooth(points: Sequence[Point], closed: bool = True) -> str:
    """A curve through points without corners (Catmull-Rom), as Béziers."""
    count = len(points)
    around = [points[i % count] if closed else points[min(max(i, 0), count - 1)] for i in range(-1, count + 2)]
    pieces = [f"M{_at(points[0])}"]
    for before, start, end, after in zip(around, around[1:], around[2:], around[3:], strict=False):
        if not closed and len(pieces) == count:
            break
        leave = (start[0] + (end[0] - before[0]) / 6, start[1] + (end[1] - before[1]) / 6)
        enter = (end[0] - (after[0] - start[0]) / 6, end[1] - (after[1] - start[1]) / 6)
        pieces.append(f"C{_at(leave)} {_at(enter)} {_at(end)}")
    return "".join(pieces) + ("Z" if closed else "")


def straight(points: Sequence[Point], closed: bool = True) -> str:
    """A line with corners."""
    return "M" + "L".join(_at(point) for point in points) + ("Z" if closed else "")


def joined(*paths: str) -> str:
    """Several open curves as one outline: each goes on where the one before ended."""
    return paths[0] + "".join("L" + path[1:] for path in paths[1:]) + "Z"


def oval(x: float, y: float, rx: float, ry: float) -> str:
    return f"M{_at((x - rx, y))}a{rx:.2f} {ry:.2f} 0 1 0 {2 * rx:.2f} 0a{rx:.2f} {ry:.2f} 0 1 0 {-2 * rx:.2f} 0Z"


def box(left: float, top: float, right: float, bottom: float, round_by: float = 0) -> str:
    if not round_by:
        return straight([(left, top), (right, top), (right, bottom), (left, bottom)])
    r = min(round_by, (right - left) / 2, (bottom - top) / 2)
    return (
        f"M{_at((left + r, top))}H{right - r:.2f}a{r:.2f} {r:.2f} 0 0 1 {r:.2f} {r:.2f}V{bottom - r:.2f}"
        f"a{r:.2f} {r:.2f} 0 0 1 {-r:.2f} {r:.2f}H{left + r:.2f}a{r:.2f} {r:.2f} 0 0 1 {-r:.2f} {-r:.2f}"
        f"V{top + r:.2f}a{r:.2f} {r:.2f} 0 0 1 {r:.2f} {-r:.2f}Z"
    )


def mirrored(points: Iterable[Point]) -> list[Point]:
    """The points on the other side of the vertical axis, in the opposite order."""
    return [(-x, y) for x, y in reversed(list(points))]


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, steps: int) -> list[Point]:
    """Points on an ellipse; angles in turns, clockwise from the right."""
    angles = (2 * pi * (start + (end - start) * i / (steps - 1)) for i in range(steps))
    return [(x + rx * cos(angle), y + ry * sin(angle)) for angle in angles]


def bumpy(points: Sequence[Point], out: float, centre: Point) -> str:
    """A closed outline whose pieces bulge away from a centre, as clouds and curls do."""
    pieces = [f"M{_at(points[0])}"]
    for start, end in zip(points, [*points[1:], points[0]], strict=True):
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        dx, dy = middle[0] - centre[0], middle[1] - centre[1]
        length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
        peak = (middle[0] + 2 * out * dx / length, middle[1] + 2 * out * dy / length)
        pieces.append(f"Q{_at(peak)} {_at(end)}")
    return "".join(pieces) + "Z"


def _at(point: Point) -> str:
    return f"{point[0]:.2f} {point[1]:.2f}"
