"""Drawing one person in one picture, and where the face is."""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np

from .beard import draw_beard
from .clothes.drawing import draw_body
from .dyes import COLOURS
from .expressions import EXPRESSIONS
from .eyes import draw_eyes, draw_glasses
from .face import draw_complexion, draw_head, draw_nose
from .hair.drawing import draw_back_hair, draw_front_hair, hair_of
from .hats import HATS, OWN_COLOURS, PRESSING
from .head import Head, head_of
from .mouth import draw_mouth, mouth_corners
from .person import Person
from .scene import NO_HAT, Look
from .sheet import Sheet

FACE_HEIGHT = 128.0  # of a usual face, in units of the head
PIVOT = 58.0  # y of the point around which a head tilts


@dataclass(frozen=True)
class Place:
    """Where a face is, in shares of the picture's height.

    Attributes:
        box: left, top, right, bottom of the bare face from brow's top to chin, (4,).
        landmarks: left eye, right eye, nose tip, left and right mouth corner as seen, (5, 2).
    """

    box: np.ndarray
    landmarks: np.ndarray


def draw_figure(sheet: Sheet, person: Person, look: Look) -> None:
    """Head and shoulders."""
    head = head_of(person, look.turn, look.nod)
    hair = hair_of(person, head, look.hat in PRESSING)
    expression = EXPRESSIONS[look.expression]
    with sheet.moved(look.x * 100, look.y * 100, look.size * 100 / FACE_HEIGHT):
        with sheet.turned(look.tilt, 0, PIVOT):
            draw_back_hair(sheet, person, hair)
        draw_body(sheet, person, look.clothes, COLOURS[look.clothes_colour])
        with sheet.turned(look.tilt, 0, PIVOT):
            draw_head(sheet, person, head)
            draw_complexion(sheet, person, head, f"{look.person}")
            draw_beard(sheet, person, head)
            draw_nose(sheet, person, head)
            draw_mouth(sheet, person, head, expression)
            draw_eyes(sheet, person, head, expression, look.gaze)
            draw_front_hair(sheet, person, hair, head)
            draw_glasses(sheet, person, head)
            if look.hat != NO_HAT:
                colour = COLOURS[look.hat_colour] if look.hat_colour else OWN_COLOURS[look.hat]
                HATS[look.hat](sheet, head, colour)


def face_of(person: Person, look: Look) -> Place:
    """Where the person's face is when it is drawn."""
    head = head_of(person, look.turn, look.nod)
    corners = mouth_corners(head, EXPRESSIONS[look.expression])
    landmarks = _in_picture(np.array([head.left_eye, head.right_eye, head.nose, *corners]), look)
    rim = _in_picture(_face_rim(head), look)
    return Place(np.concatenate((rim.min(axis=0), rim.max(axis=0))), landmarks)


def _face_rim(head: Head) -> np.ndarray:
    """The face's outline below the middle of the forehead, where detectors end a face."""
    points = np.array(head.outline)
    return np.array([[x, max(y, -34.0)] for x, y in points])


def _in_picture(points: np.ndarray, look: Look) -> np.ndarray:
    angle = radians(look.tilt)
    turn = np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    tilted = (points - (0, PIVOT)) @ turn + (0, PIVOT)
    return tilted * look.size / FACE_HEIGHT + (look.x, look.y)
