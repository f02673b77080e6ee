"""Drawing a mouth."""

from .colour import darker, lighter
from .curves import Point, box, oval, smooth
from .expressions import Expression
from .head import Head
from .person import Person
from .sheet import Sheet


def mouth_corners(head: Head, expression: Expression) -> tuple[Point, Point]:
    """Left and right corner, as seen."""
    x, y = head.mouth
    half, lift = head.mouth_half * expression.mouth_wide, 4.5 * expression.smile
    return (x - half, y - lift), (x + half, y - lift)


def draw_mouth(sheet: Sheet, person: Person, head: Head, expression: Expression) -> None:
    (left, y), (right, _) = mouth_corners(head, expression)
    x, rest = head.mouth
    full, opened = 3.6 * person.lip_fullness, expression.mouth_open
    bend = rest + 3.4 * expression.smile
    half = (right - left) / 2
    upper = [
        (left, y),
        (x - half * 0.5, (y + bend) / 2 - full * 0.7),
        (x - half * 0.16, bend - full * 1.15),
        (x, bend - full * 0.8),
        (x + half * 0.16, bend - full * 1.15),
        (x + half * 0.5, (y + bend) / 2 - full * 0.7),
        (right, y),
    ]
    lower_y = bend + opened + full * 1.25
    lower = [(x + half * 0.55, (y + lower_y) / 2 + 1.6), (x, lower_y), (x - half * 0.55, (y + lower_y) / 2 + 1.6)]
    lips = person.lip_colour
    sheet.glow(x, lower_y + 4.5, half * 0.8, 4, darker(person.skin, 0.5), 0.4)
    sheet.shape(smooth([*upper, *lower]), lips, 0.25, 0.5)
    line = darker(lips, 0.55)
    if opened:
        inner_top = [
            (left + 2.2, y + 0.6),
            (x - half * 0.5, (y + bend) / 2 + 0.4),
            (x, bend),
            (x + half * 0.5, (y + bend) / 2 + 0.4),
            (right - 2.2, y + 0.6),
        ]
        bottom = bend + opened
        inner = smooth(
            [*inner_top, (x + half * 0.5, (y + bottom) / 2 + 2), (x, bottom), (x - half * 0.5, (y + bottom) / 2 + 2)]
        )
        sheet.shape(inner, (0.33, 0.08, 0.11), 0, 0.5)
        with sheet.inside(inner):
            sheet.shape(oval(x, bottom + 2, half * 0.6, opened * 0.42), (0.85, 0.38, 0.4), 0, 0)
            if expression.smile > 0.3:
                sheet.shape(box(left, y - 8, right, bend + opened * 0.3, 2), (0.99, 0.98, 0.95), 0, 0)
    else:
        middle = [
            (left, y),
            (x - half * 0.5, (y + bend) / 2 + 0.6),
            (x, bend),
            (x + half * 0.5, (y + bend) / 2 + 0.6),
            (right, y),
        ]
        sheet.stroke(smooth(middle, False), line, 1.9)
        sheet.glow(x - half * 0.15, bend + full * 0.7, half * 0.4, full * 0.4, lighter(lips, 0.7), 0.6)
    for corner, side in ((left, -1), (right, 1)):
        if expression.smile > 0.5:
            sheet.stroke(
                smooth([(corner + side * 1, y - 3), (corner + side * 2.6, y), (corner + side * 1, y + 3)], False),
                darker(person.skin, 0.5),
                1.3,
                0.7,
            )
