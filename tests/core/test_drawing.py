"""Drawn faces: in their colours, where they are, on a copy."""

import numpy as np
import pytest

from uniportrait_core.faces.detection import Face
from uniportrait_core.results.drawing import COLOURS, draw_faces

POINTS = np.array([[30.0, 40.0], [60.0, 40.0], [45.0, 55.0], [33.0, 70.0], [58.0, 70.0]])


def face(left: float = 20, top: float = 30) -> Face:
    return Face(np.array([left, top, left + 60, top + 60.0]), POINTS + (left - 20, top - 30), 0.9)


def plain(height: int = 200, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=-1).any())


def test_box_landmarks_and_label_are_drawn_on_a_copy():
    photo = plain()
    drawn = draw_faces(photo, [face()], ["0: 0.90"], [0])
    assert drawn.shape == photo.shape and drawn.dtype == np.uint8 and (photo == 90).all()
    assert tuple(drawn[60, 20]) == tuple(drawn[90, 50]) == COLOURS[0]  # the left and the lower side
    assert all(tuple(drawn[int(y), int(x)]) == COLOURS[0] for x, y in POINTS)
    assert not (drawn[10:28, 20:60] == 90).all()  # the label above
    assert (drawn[120:, 120:] == 90).all()


def test_faces_have_colours_by_their_number():
    drawn = draw_faces(plain(), [face(), face(120, 100)], ["0", "1"], [0, 1])
    assert has(drawn[:, :100], COLOURS[0]) and has(drawn[:, 110:], COLOURS[1])
    assert not has(drawn[:, :100], COLOURS[1])
    assert has(draw_faces(plain(), [face()], ["7"], [len(COLOURS)]), COLOURS[0])


def test_without_faces_the_photo_stays():
    assert np.array_equal(draw_faces(plain(), [], [], []), plain())


@pytest.mark.parametrize("corner", [(-30, -30), (0, 0), (270, 170), (250, -20)])
def test_faces_at_the_edges_keep_their_labels(corner):
    drawn = draw_faces(plain(), [face(*corner)], ["3: 0.55"], [3])
    plate = (drawn == COLOURS[3]).all(axis=-1)
    assert plate.sum() > 100


@pytest.mark.parametrize("size", [(32, 32), (2000, 3000)])
def test_lines_grow_with_the_picture(size):
    drawn = draw_faces(plain(*size), [Face(np.array([8.0, 8, 24, 24]), POINTS / 4, 0.9)], ["0"], [0])
    assert has(drawn, COLOURS[0])
