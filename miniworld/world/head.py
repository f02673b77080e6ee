"""The shape of a person's head, seen from the front and a little turned.

All of a head is drawn in units of which it is about 128 high and 100 wide, around a point between the eyes; x grows to
the right, y downwards.
"""

from dataclasses import dataclass

from .curves import Point, mirrored, smooth
from .person import Person

TOP, CHIN, HALF_WIDTH = -64.0, 66.0, 50.0
EYE_X, NOSE_Y, MOUTH_Y = 21.0, 24.0, 44.0
MOUTH_X = 17.0


@dataclass(frozen=True)
class Head:
    """Where the parts of a head are.

    Attributes:
        half: half its width at the temples.
        chin: y of the chin.
        outline: points around it, from the top clockwise.
        left_eye, right_eye, nose, mouth: centres; of the nose, its tip.
        mouth_half: half the width of the resting mouth.
        shift: how far the face is turned to the right; the nose moves by more than the eyes.
        hairline: y of the hairline in the middle.
    """

    half: float
    chin: float
    outline: tuple[Point, ...]
    left_eye: Point
    right_eye: Point
    nose: Point
    mouth: Point
    mouth_half: float
    shift: float
    hairline: float

    @property
    def path(self) -> str:
        return smooth(self.outline)


def head_of(person: Person, turn: float = 0, nod: float = 0) -> Head:
    """
    Args:
        turn: −1 to the left as seen, 1 to the right.
        nod: −1 upwards, 1 downwards.
    """
    half = HALF_WIDTH * person.head_width
    chin = CHIN * person.face_length
    cheek, jaw, tip = half * person.cheeks, half * person.jaw, half * person.chin
    right = [
        (half * 0.56, TOP + 8),
        (half * 0.93, -32),
        (half, -6),
        ((half + cheek) / 2, 14),
        (cheek, chin * 0.45),
        ((cheek + 1.6 * jaw) / 2.6, chin * 0.7),
        ((jaw + tip) / 2, chin * 0.92),
        (tip * 0.5, chin),
    ]
    outline = ((0.0, TOP), *right, *mirrored(right))
    shift, drop = 6.5 * turn, 4.0 * nod
    apart = EYE_X * person.eye_distance * (half / HALF_WIDTH) ** 0.5
    eye_shift = shift * 0.75
    mouth_y = chin * (MOUTH_Y / CHIN) + 2.5 * person.mouth_height + drop * 0.9
    return Head(
        half=half,
        chin=chin,
        outline=outline,
        left_eye=(-apart + eye_shift + 0.6 * turn, drop),
        right_eye=(apart + eye_shift + 0.6 * turn, drop),
        nose=(shift * 1.25, min(NOSE_Y * person.nose_length, mouth_y - 14) + drop * 1.4),
        mouth=(shift * 0.95, mouth_y),
        mouth_half=MOUTH_X * person.mouth_width,
        shift=shift,
        hairline=-42 - 6 * person.hairline + drop * 0.6,
    )
