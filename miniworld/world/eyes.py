"""Drawing eyes and brows, and the glasses before them."""

from .colour import WHITE, Colour, darker, lighter, luma, mix
from .curves import box, oval, smooth, straight
from .expressions import Expression
from .head import Head
from .person import Person
from .sheet import Sheet


def draw_eyes(sheet: Sheet, person: Person, head: Head, expression: Expression, gaze: float) -> None:
    """Both eyes and brows; `gaze` is where they look, −1 left, 1 right."""
    width = 13.4 * person.eye_size
    height = 9.9 * person.eye_size * person.eye_roundness * expression.eye_open
    for side, (x, y) in ((-1, head.left_eye), (1, head.right_eye)):
        slant = -2.2 * person.eye_slant  # of the outer corner
        inner, outer = (x - side * width, y + 1.2), (x + side * width, y + slant)
        top, bottom = (x - side * 0.5, y - height), (x + side * 0.5, y + height * 0.82)
        lid = [
            inner,
            (x - side * width * 0.55, y - height * 0.76),
            top,
            (x + side * width * 0.62, y - height * 0.66 + slant * 0.6),
            outer,
        ]
        below = [
            (x + side * width * 0.58, y + height * 0.58 + slant * 0.4),
            bottom,
            (x - side * width * 0.6, y + height * 0.55),
        ]
        sheet.glow(x, y - 1, width * 1.45, height * 1.9, darker(person.skin, 0.5), 0.42)
        outline = smooth([*lid, *below])
        sheet.shape(outline, (0.98, 0.97, 0.95), 0, 0)
        iris = 8.2 * person.eye_size
        centre = (x + 2.6 * gaze + head.shift * 0.1, y - 0.4)
        with sheet.inside(outline):
            sheet.shape(oval(*centre, iris, iris), person.eye_colour, 0.3, 0.8)
            sheet.shape(
                oval(centre[0], centre[1] + iris * 0.4, iris * 0.62, iris * 0.45),
                lighter(person.eye_colour, 0.5),
                0,
                0,
                opacity=0.6,
            )
            sheet.shape(oval(*centre, iris * 0.5, iris * 0.5), (0.06, 0.05, 0.07), 0, 0)
            sheet.shape(
                straight(
                    [(x - 16, y - 16), (x + 16, y - 16), (x + 16, y - height * 0.62), (x - 16, y - height * 0.62)]
                ),
                (0.35, 0.3, 0.4),
                0,
                0,
                opacity=0.22,
            )
        sheet.shape(oval(centre[0] - iris * 0.32, centre[1] - iris * 0.36, iris * 0.26, iris * 0.26), WHITE, 0, 0)
        lash = darker(mix(person.hair, (0.2, 0.12, 0.1), 0.6), 0.6)
        sheet.stroke(smooth(lid, False), lash, 1.9 + 1.5 * person.lashes)
        sheet.stroke(smooth([outer, *below], False), darker(person.skin, 0.55), 0.9, 0.7)
        if person.lashes > 0.35:
            tips = [(0.62, -0.66, 3.2), (0.98, -0.02, 4.4)]
            for along, up, length in tips:
                start = (x + side * width * along, y + height * up + slant * along)
                end = (start[0] + side * length * 0.85, start[1] - length * 0.75 * person.lashes)
                sheet.stroke(straight([start, end], False), lash, 1.7)
        crease = [(px, py - 4.2) for px, py in lid[1:4]]
        sheet.stroke(smooth(crease, False), darker(person.skin, 0.45), 1.1, 0.6)
        _draw_brow(sheet, person, x, y - 8.5 - 10.5 * person.eye_size - 2.4 * person.brow_height, side, expression)


def _draw_brow(sheet: Sheet, person: Person, x: float, y: float, side: int, expression: Expression) -> None:
    y -= expression.brow_lift
    inner_y = y + 2.2 * person.brow_slant - 5.0 * expression.brow_tilt
    outer_y = y - 1.6 * person.brow_slant + 2.5 * expression.brow_tilt + 1.5
    arch = (inner_y + outer_y) / 2 - 1.5 - 4.5 * person.brow_arch
    thick = 2.7 * person.brow_thickness
    inner, outer = x - side * 12, x + side * 14.5
    over = [(inner, inner_y - thick * 0.9), (x + side * 3, arch - thick), (outer, outer_y)]
    under = [(x + side * 3, arch + thick), (inner, inner_y + thick * 0.9)]
    sheet.shape(smooth([*over, *under]), brow_colour(person), 0, 0)


def brow_colour(person: Person) -> Colour:
    """Like the hair, but darker, and never that of the skin."""
    colour = darker(person.hair, 0.3)
    return colour if abs(luma(colour) - luma(person.skin)) > 0.14 else darker(colour, 0.45)


def draw_glasses(sheet: Sheet, person: Person, head: Head) -> None:
    if person.glasses == "none":
        return
    frame, (lx, ly), (rx, ry) = person.frame, head.left_eye, head.right_eye
    reach = min((rx - lx) / 2 - 2.2, 18.5)
    for side, x, y in ((-1, lx, ly + 1), (1, rx, ry + 1)):
        x += side * 0.8
        if person.glasses == "round":
            glass = oval(x, y, reach, reach)
        elif person.glasses == "square":
            glass = box(x - reach, y - 12.5, x + reach, y + 13.5, 4)
        elif person.glasses == "wide":
            glass = smooth(
                [
                    (x - reach, y - 9),
                    (x, y - 13),
                    (x + reach, y - 11),
                    (x + reach * 0.95, y + 5),
                    (x, y + 13),
                    (x - reach * 0.9, y + 8),
                ]
            )
        else:
            glass = smooth(
                [
                    (x - reach, y - 10),
                    (x, y - 12),
                    (x + reach, y - 10),
                    (x + reach * 0.8, y + 9),
                    (x, y + 12),
                    (x - reach * 0.8, y + 9),
                ]
            )
        sheet.shape(glass, (0.86, 0.94, 1.0), 0, 0, opacity=0.2)
        sheet.stroke(straight([(x - reach * 0.5, y + 4), (x - reach * 0.05, y - 6)], False), WHITE, 2.4, 0.5)
        if person.glasses == "half":
            sheet.stroke(smooth([(x - reach, y - 9), (x, y - 12), (x + reach, y - 9)], False), frame, 4.4)
        else:
            sheet.stroke(glass, frame, 3.4)
        sheet.stroke(
            straight([(x + side * reach, y - 4), (side * head.half * 1.0 - head.shift * 0.3, 0)], False), frame, 3
        )
    sheet.stroke(
        smooth([(lx + reach + 0.8, ly - 3), (head.shift, ly - 6), (rx - reach - 0.8, ry - 3)], False), frame, 3.2
    )
