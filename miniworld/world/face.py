"""Drawing a face: eyes, brows, nose, mouth, and what lies on it."""

from .colour import WHITE, Colour, darker, lighter, luma, mix
from .curves import Point, box, oval, smooth, straight
from .dice import Dice
from .expressions import Expression
from .head import Head
from .person import Person
from .sheet import Sheet


def mouth_corners(head: Head, expression: Expression) -> tuple[Point, Point]:
    """Left and right corner, as seen."""
    x, y = head.mouth
    half, lift = head.mouth_half * expression.mouth_wide, 4.5 * expression.smile
    return (x - half, y - lift), (x + half, y - lift)


def draw_head(sheet: Sheet, person: Person, head: Head) -> None:
    """Ears and the bare head."""
    skin = person.skin
    for side in (-1, 1):
        x, r = side * (head.half * 0.985) - head.shift * 0.35, person.ear_size
        sheet.shape(oval(x, 8, 9 * r, 13 * r), darker(skin, 0.04), 0.4)
        sheet.shape(oval(x + side * 0.5, 9, 4.2 * r, 7.5 * r), darker(skin, 0.25), 0, 0, opacity=0.55)
        if person.earrings == "stud":
            sheet.shape(oval(x, 8 + 13 * r, 2.8, 2.8), (0.95, 0.85, 0.5), 0.6, 0.6)
        elif person.earrings == "hoop":
            sheet.stroke(oval(x, 16 + 13 * r, 6, 7), (0.9, 0.74, 0.32), 2.4)
    sheet.shape(head.path, skin, 0.55)


def draw_complexion(sheet: Sheet, person: Person, head: Head, seed: str) -> None:
    """Light, shade, blush, freckles, lines of age."""
    skin, rosy = person.skin, mix(person.skin, (0.86, 0.25, 0.25), 0.55)
    with sheet.inside(head.path):
        sheet.glow(head.half * 0.98, 20, head.half * 0.62, 66, darker(skin, 0.55), 0.36)
        sheet.glow(0, head.chin + 6, head.half, 24, darker(skin, 0.5), 0.32)
    sheet.glow(head.shift - 8, -28, 32, 20, lighter(skin, 0.8), 0.35)
    for x, _ in (head.left_eye, head.right_eye):
        sheet.glow(x * 1.28, 23, 15, 11, rosy, 0.2 + 0.6 * person.blush)
    if person.freckles:
        dice = Dice("freckles", seed)
        spot = mix(skin, (0.45, 0.2, 0.08), 0.62)
        for _ in range(int(26 * person.freckles)):
            x, y = dice.bell(-34, 34) + head.shift, dice.bell(8, 30)
            sheet.shape(oval(x, y, 1.35, 1.25), spot, 0, 0)
    if person.lines > 0.12:
        line, opacity = darker(skin, 0.5), min(0.6, 1.1 * person.lines)
        for side, (x, y) in ((-1, head.left_eye), (1, head.right_eye)):
            sheet.stroke(smooth([(x - 6, y + 11), (x, y + 13), (x + 6, y + 11)], False), line, 1.2, opacity)
            at = head.mouth[0] + side * (head.mouth_half + 5)
            points = [(at - side * 7, head.nose[1] + 1), (at, head.mouth[1] - 9), (at + side * 1.5, head.mouth[1])]
            sheet.stroke(smooth(points, False), line, 1.5, opacity)
        sheet.stroke(
            smooth([(-15 + head.shift, -27), (head.shift, -28.5), (15 + head.shift, -27)], False), line, 1.2, opacity
        )
    if person.mole:
        x, y = person.mole[0] * 30 + head.shift, 14 + person.mole[1] * (head.chin - 28)
        sheet.shape(oval(x, y, 2.3, 2.2), darker(mix(skin, (0.3, 0.15, 0.1), 0.7), 0.3), 0, 0)


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


def draw_nose(sheet: Sheet, person: Person, head: Head) -> None:
    x, y = head.nose
    wide = 7.6 * person.nose_width * {"button": 0.9, "straight": 0.85, "pointed": 0.75, "broad": 1.3}[person.nose]
    shade, bridge = darker(person.skin, 0.42), head.shift * 0.8
    side = 1 if head.shift >= 0 else -1
    if person.nose != "button":
        points = [(bridge + side * 4.5, 4), (x + side * 4, y * 0.62), (x + side * wide * 0.75, y - 3)]
        sheet.stroke(smooth(points, False), shade, 1.6, 0.45 if person.nose == "broad" else 0.65)
    sheet.glow(x, y - 2, wide * 1.3, 8, mix(person.skin, (0.8, 0.25, 0.2), 0.5), 0.5)
    tip = 3.4 if person.nose == "pointed" else 0.8
    base = [
        (x - wide, y - 1.5),
        (x - wide * 0.62, y + 2.2),
        (x, y + tip + 1.2),
        (x + wide * 0.62, y + 2.2),
        (x + wide, y - 1.5),
    ]
    sheet.stroke(smooth(base, False), darker(person.skin, 0.55), 2.1)
    for nostril in (-0.45, 0.45):
        sheet.shape(oval(x + nostril * wide, y + 1, wide * 0.17, 1.0), darker(person.skin, 0.6), 0, 0, opacity=0.7)
    sheet.glow(x - 1.5, y - 5, 3.6, 4.5, lighter(person.skin, 0.85), 0.8)


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
