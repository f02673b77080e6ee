"""The drawn world: who is in it, what is said about it, and where things are."""

from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from miniworld.world import figure, seeds
from miniworld.world.captions import caption, portrait_caption, vocabulary
from miniworld.world.dice import Dice
from miniworld.world.ink import STYLES
from miniworld.world.person import draw_person
from miniworld.world.picture import faces, masks, picture
from miniworld.world.scene import compose

# Words for who somebody is, which no caption may have.
WHO = (
    "hair haired blond blonde brown ginger grey bald curly afro bob braids ponytail mohawk bun wavy beard bearded "
    "moustache glasses freckles mole skin nose eyes eyebrows face old young man woman boy girl he she earrings"
)
SIZE = 256


def test_people_of_different_purposes_never_meet():
    ranges = (seeds.BASE, seeds.MEASURING, seeds.TEST, seeds.DEMO)
    for a, b in combinations(ranges, 2):
        assert not set(a) & set(b)


def test_the_dice_fall_as_ever():
    """Weights are trained on people of seeds: these numbers may never change."""
    dice = Dice("people", 7)
    assert [round(dice.between(0, 1), 6) for _ in range(3)] == [0.974687, 0.503582, 0.327665]


def test_a_seed_is_one_person_and_nobody_is_met_twice():
    people = [draw_person(seed) for seed in range(4000)]
    assert len(set(people)) == len(people)
    assert people[:50] == [draw_person(seed) for seed in range(50)]


def test_people_differ_in_more_than_one_trait():
    people = [draw_person(seed) for seed in range(150)]
    for a, b in combinations(people, 2):
        assert sum(x != y for x, y in zip(vars(a).values(), vars(b).values(), strict=True)) > 20


@pytest.mark.parametrize("count", (1, 2, 3, 4))
def test_captions_tell_what_is_seen_but_not_who(count):
    words = set(vocabulary())
    assert not words & set(WHO.split())
    for number in range(60):
        scene = compose(range(count), number)
        for text in (caption(scene), caption(scene, Dice(number)), portrait_caption(scene.looks[0], scene.style)):
            assert set(text.replace(",", " ,").split()) <= words, text
        full = caption(scene)
        for look in scene.looks:
            assert look.expression in full and look.clothes in full and look.clothes_colour in full
        assert full == caption(compose(range(10, 10 + count), number)), "the caption depends on who it is"


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_is_one_picture(style):
    scene = compose([1, 2], "again", style)
    assert np.array_equal(picture(scene, 96), picture(scene, 96))
    assert not np.array_equal(picture(scene, 96), picture(compose([1, 3], "again", style), 96))


@pytest.mark.parametrize("style", STYLES)
def test_sizes_show_the_same(style):
    """A quarter of the size differs less from the whole made smaller than this does from itself a pixel further."""
    scene = compose([5, 6], "sizes", style)
    small = cv2.resize(picture(scene, 256), (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    moved = min(np.abs(np.roll(small, by, axis) - small).mean() for by in (-1, 1) for axis in (0, 1))
    assert np.abs(small - picture(scene, 64)).mean() < 0.6 * moved


@pytest.mark.parametrize("count", (1, 2, 3, 4))
def test_masks_show_where_people_are(count):
    scene = compose(range(20, 20 + count), "masks", "illustration")
    found = masks(scene, SIZE)
    assert found.shape == (count, SIZE, SIZE) and (found.sum(axis=0) <= 1).all()
    empty = picture(replace(scene, looks=()), SIZE)
    changed = np.abs(picture(scene, SIZE).astype(int) - empty).sum(axis=-1) > 12
    around = cv2.dilate(found.any(axis=0).astype(np.uint8), np.ones((3, 3))) > 0  # a pixel that is half a person's
    assert not (changed & ~around).any(), "drawn outside the masks"
    assert (changed & found.any(axis=0)).sum() > 0.9 * found.sum()
    for face, mask in zip(faces(scene, SIZE), found, strict=True):
        x, y = face.landmarks.astype(int).T
        assert mask[y, x].all()


def test_landmarks_are_where_eyes_nose_and_mouth_are_drawn(monkeypatch):
    """Nose and mouth are what changes when they are left out; the pupils are dark."""
    tested = 0
    for number in range(30):
        scene = compose([number], f"marks {number}", "illustration")
        (look,) = scene.looks
        if draw_person(number).glasses != "none" or look.expression not in ("calm", "sad", "angry"):
            continue  # glasses hide pupils; open mouths and smiles reach beyond their corners
        look = replace(look, hat="none", gaze=0.0)
        tilted = replace(scene, looks=(look,))
        pixels = picture(tilted, SIZE).astype(int)
        for x, y in faces(tilted, SIZE)[0].landmarks[:2].round().astype(int):
            assert pixels[y - 2 : y + 3, x - 2 : x + 3].sum(axis=-1).min() < 160
        scene = replace(scene, looks=(replace(look, tilt=0.0),))  # so that a mouth ends where it is left- and rightmost
        whole, (face,), unit = picture(scene, SIZE).astype(int), faces(scene, SIZE), look.size * SIZE / 128

        def drawn(part: str, scene=scene, whole=whole) -> tuple[np.ndarray, np.ndarray]:
            """x and y of the pixels of a part of the face, but for its soft shades."""
            with monkeypatch.context() as patch:
                patch.setattr(figure, part, lambda *_: None)
                y, x = np.nonzero(np.abs(picture(scene, SIZE) - whole).sum(axis=-1) > 30)
            return x, y

        x, y = drawn("draw_nose")
        across, down = face.landmarks[2]
        base = x[y > down - 2 * unit]
        assert abs((base.min() + base.max()) / 2 - across) < 2 * unit, "not in the middle of the nose"
        assert 0 <= y.max() - down < 7 * unit, "not above the nose's lower line"
        x, y = drawn("draw_mouth")
        for corner, end in zip(face.landmarks[3:], (x.argmin(), x.argmax()), strict=True):
            assert np.abs(corner - (x[end], y[end])).max() < 2.5 * unit
        left, top, right, bottom = face.box
        assert (face.landmarks > (left, top)).all() and (face.landmarks < (right, bottom)).all()
        tested += 1
    assert tested > 8


@pytest.mark.parametrize("count", (1, 2, 3, 4))
def test_faces_lie_inside_the_picture_and_apart(count):
    for number in range(40):
        boxes = [face.box for face in faces(compose(range(count), f"inside {number}"), 1)]
        for left, top, right, bottom in boxes:
            assert left > -0.03 and right < 1.03 and top > 0 and bottom < 1
        for a, b in zip(boxes, boxes[1:], strict=False):
            assert a[2] < b[0] + 0.25 * (a[2] - a[0]), number
