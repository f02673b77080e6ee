"""Drawing beards."""

from .colour import darker, mix
from .curves import smooth
from .head import Head
from .person import Person
from .sheet import Sheet


def draw_beard(sheet: Sheet, person: Person, head: Head) -> None:
    """Below the mouth, which is drawn over it."""
    if person.beard == "none":
        return
    colour, (x, y), half, chin = darker(person.hair, 0.16), head.mouth, head.half, head.chin
    wide, lip = head.mouth_half, y - 4.5 * person.lip_fullness
    if person.beard in ("stubble", "full", "long"):
        long = {"stubble": 0.0, "full": 7.0, "long": 30.0}[person.beard]
        right = [
            (half * 0.97, 8),
            (half * person.cheeks * 1.0, chin * 0.5),
            (half * 0.72, chin * 0.86 + long * 0.4),
            (half * 0.3, chin + long),
        ]
        outer = [*right, (0, chin + long * 1.1), *[(-px, py) for px, py in reversed(right)]]
        if person.beard == "stubble":
            outer = [(px * 0.99, min(py, chin - 0.5)) for px, py in outer]
        inner = [
            (-half * 0.8, 18),
            (-wide * 1.5 + x, y - 13),
            (x - wide * 0.6, lip - 6),
            (x, lip - 4.5),
            (x + wide * 0.6, lip - 6),
            (wide * 1.5 + x, y - 13),
            (half * 0.8, 18),
        ]
        path = smooth([*outer, *inner])
        if person.beard == "stubble":
            with sheet.inside(head.path):
                sheet.shape(path, mix(colour, person.skin, 0.25), 0, 0, opacity=0.42)
            return
        sheet.shape(path, colour, 0.5)
        for share in (-0.55, -0.2, 0.2, 0.55):
            top, end = (half * share, y + 9), (half * share * 0.7, chin + long * 0.75 - 4)
            sheet.stroke(
                smooth([top, ((top[0] + end[0]) / 2 * 1.08, (top[1] + end[1]) / 2), end], False),
                darker(colour, 0.4),
                1.4,
                0.5,
            )
    if person.beard == "goatee":
        points = [
            (x - wide * 0.95, y - 3),
            (x - wide * 0.62, lip - 5),
            (x, lip - 3.4),
            (x + wide * 0.62, lip - 5),
            (x + wide * 0.95, y - 3),
            (x + wide * 0.92, y + 8),
            (x + wide * 0.5, chin + 3),
            (x, chin + 7),
            (x - wide * 0.5, chin + 3),
            (x - wide * 0.92, y + 8),
        ]
        sheet.shape(smooth(points), colour, 0.4)
    if person.beard == "moustache":
        droop = 5 if person.chin > 0.32 else -1
        right = [
            (x + 4, lip - 6),
            (x + wide * 0.8, lip - 3),
            (x + wide * 1.35, lip + droop),
            (x + wide * 0.7, lip + 3.5),
            (x + 3, lip + 0.6),
        ]
        left = [(2 * x - px, py) for px, py in reversed(right)]
        sheet.shape(smooth([*right, (x, lip - 1), *left, (x, lip - 5)]), colour, 0.4)
