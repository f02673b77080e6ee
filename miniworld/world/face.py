"""Drawing a bare face: the head, its skin, and its nose."""

from .colour import darker, lighter, mix
from .curves import oval, smooth
from .dice import Dice
from .head import Head
from .person import Person
from .sheet import Sheet


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
