"""Finding faces in photos: the ladder of sizes, the second look, coordinates, and the choice among faces."""

import math

import cv2
import numpy as np
import pytest
from insightface.model_zoo import get_model

from standins.detector import FACES, pad_with_grey, photo, write_detector
from standins.known_faces import fit
from standins.yunet import write_yunet
from uniportrait_core.faces.detection import ORDERS, Face, face_mask, find_faces, order_faces
from uniportrait_core.faces.insightface_detector import CPU, InsightFaceDetector
from uniportrait_core.faces.yunet_detector import YuNetDetector

SIDES = (640, 512, 384, 256)
LANDMARKS = np.array([[30.0, 30.0], [60.0, 32.0], [45.0, 50.0], [33.0, 65.0], [58.0, 66.0]])


def face(left: float, top: float, right: float, bottom: float, confidence: float = 0.9) -> Face:
    """A face whose landmarks lie in its box as in a portrait."""
    points = LANDMARKS / 100 * (right - left, bottom - top) + (left, top)
    return Face(np.array([left, top, right, bottom]), points, confidence)


def picture(height: int = 200, width: int = 320) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


class Looks:
    """A detector that finds `faces` at the look of that number alone, and remembers what it was shown."""

    def __init__(self, success: int | None = None, faces: list[Face] = ()):
        self.success, self.faces = success, list(faces)
        self.shown: list[np.ndarray] = []
        self.confidences: list[float] = []

    def __call__(self, canvas: np.ndarray, min_confidence: float) -> list[Face]:
        self.shown.append(canvas)
        self.confidences.append(min_confidence)
        return self.faces if len(self.shown) - 1 == self.success else []


# The ladder


def test_every_size_is_tried_then_every_size_with_a_border():
    given, looks = picture(201, 322), Looks()
    assert find_faces(looks, given, 0.3) == []
    padded, _ = pad_with_grey(given)
    wanted = [fit(look, side)[0] for look in (given, padded) for side in SIDES]
    assert len(looks.shown) == len(wanted) == 8
    for found, look in zip(looks.shown, wanted, strict=True):
        assert found.shape == (640, 640, 3) and found.dtype == np.uint8 and np.array_equal(found, look)
    assert looks.confidences == [0.3] * 8


@pytest.mark.parametrize("success", range(8))
def test_the_first_success_ends_the_search(success):
    looks = Looks(success, [face(10, 10, 40, 40)])
    assert len(find_faces(looks, picture())) == 1
    assert len(looks.shown) == success + 1


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (33, 2000), (2000, 33), (32, 32)])
def test_the_first_look_is_what_insightface_makes_of_a_photo(tmp_path, height, width, monkeypatch):
    """So that the first look finds what the published app finds, to the bit."""
    write_detector(tmp_path / "det_10g.onnx", {"astronaut": FACES["astronaut"]})
    model = get_model(str(tmp_path / "det_10g.onnx"), providers=[CPU])
    model.prepare(0, input_size=(640, 640))
    seen, forward = [], model.forward
    monkeypatch.setattr(model, "forward", lambda image, *rest: seen.append(image) or forward(image, *rest))
    model.detect(picture(height, width))
    looks = Looks()
    find_faces(looks, picture(height, width))
    assert np.array_equal(looks.shown[0], seen[0])


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1)])
def test_the_thinnest_picture_is_looked_at(size):
    looks = Looks()
    assert find_faces(looks, picture(*size)) == [] and len(looks.shown) == 8


# Coordinates


@pytest.mark.parametrize("success", range(4))
@pytest.mark.parametrize(("height", "width"), [(200, 320), (320, 200), (900, 1200)])
def test_faces_come_back_to_the_photo(success, height, width):
    wanted, scale = face(20, 40, 120, 140, 0.7), SIDES[success] / max(height, width)
    shown = Face(wanted.box * scale, wanted.landmarks * scale, 0.7)
    (found,) = find_faces(Looks(success, [shown]), picture(height, width))
    np.testing.assert_allclose(found.box, wanted.box, rtol=0.005)
    np.testing.assert_allclose(found.landmarks, wanted.landmarks, rtol=0.005)
    assert found.confidence == 0.7


@pytest.mark.parametrize("success", range(4))
@pytest.mark.parametrize(("height", "width"), [(500, 3000), (1000, 1500), (3000, 500)])
def test_faces_on_a_wide_photo_do_not_shift(success, height, width):
    """Sizes in pixels are rounded, so that the two axes are not scaled quite alike."""
    wanted = face(width - 150, 20, width - 50, 120)
    canvas = fit(np.full((height, width, 3), 255, np.uint8), SIDES[success])[0]
    scale = np.array([(canvas[0, :, 0] > 0).sum() / width, (canvas[:, 0, 0] > 0).sum() / height])
    shown = Face(wanted.box * np.tile(scale, 2), wanted.landmarks * scale, 0.7)
    (found,) = find_faces(Looks(success, [shown]), picture(height, width))
    np.testing.assert_allclose(found.box, wanted.box, atol=1e-6)
    np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=1e-6)


@pytest.mark.parametrize("success", range(4, 8))
def test_faces_of_the_second_look_lose_the_border(success):
    wanted, scale = face(20, 40, 120, 140), SIDES[success - 4] / 480
    shown = Face((wanted.box + (80, 50, 80, 50)) * scale, (wanted.landmarks + (80, 50)) * scale, 0.9)
    (found,) = find_faces(Looks(success, [shown]), picture(200, 320))
    np.testing.assert_allclose(found.box, wanted.box, atol=1e-6)
    np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=1e-6)


def test_boxes_of_the_second_look_are_cut_at_the_edges_and_landmarks_are_not():
    wanted, scale = face(-70, -40, 330, 240), 640 / 480
    wanted.landmarks[0] -= (60, 60)  # an eye beyond the corner
    shown = Face((wanted.box + (80, 50, 80, 50)) * scale, (wanted.landmarks + (80, 50)) * scale, 0.9)
    (found,) = find_faces(Looks(4, [shown]), picture(200, 320))
    assert found.box.tolist() == [0, 0, 320, 200]
    np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=1e-6)
    assert (found.landmarks < 0).any()


# The choice


@pytest.mark.parametrize(
    ("order", "wanted"), [("largest", "bca"), ("left to right", "cab"), ("most confident", "abc")], ids=str
)
def test_orders(order, wanted):
    known = {"a": face(100, 0, 160, 60, 0.9), "b": face(200, 10, 320, 190, 0.8), "c": face(50, 20, 100, 110, 0.6)}
    for names in ("abc", "cba", "bac"):
        found = order_faces([known[name] for name in names], order)
        assert [one.confidence for one in found] == [known[name].confidence for name in wanted]


def test_faces_are_ordered_by_their_middle_from_left_to_right():
    wide, narrow = face(0, 0, 300, 100), face(100, 0, 150, 60)
    assert order_faces([wide, narrow], "left to right") == [narrow, wide]


@pytest.mark.parametrize("grow", [0.0, 0.2, 1.0])
def test_a_mask_is_an_ellipse_around_the_box(grow):
    face = Face(np.array([20, 30, 60, 90], np.float32), np.zeros((5, 2), np.float32), 1.0)
    mask = face_mask(face, (140, 100), grow)
    assert mask.shape == (140, 100) and mask.dtype == np.float32 and set(np.unique(mask)) == {0, 1}
    across, down = 40 * (0.5 + grow), 60 * (0.5 + grow)
    inside = [(60, 40), (60, 40 + 0.95 * across), (60 - 0.95 * down, 40), (60 + 0.7 * down, 40 - 0.7 * across)]
    outside = [(60, 40 + 1.05 * across), (60 + 1.05 * down, 40), (60 - 0.75 * down, 40 - 0.75 * across)]
    for places, value in ((inside, 1), (outside, 0)):
        for y, x in places:
            if 0 <= y < 140 and 0 <= x < 100:
                assert mask[int(y), int(x)] == value, (y, x)
    if not grow:
        assert mask.sum() == pytest.approx(math.pi / 4 * 40 * 60, rel=0.01)


def test_there_are_three_orders():
    assert list(ORDERS) == ["largest", "left to right", "most confident"]


# The real libraries on real photos


@pytest.fixture(scope="module", params=["insightface", "yunet"])
def make_detector(request, tmp_path_factory):
    """`make_detector(side)` is a detector that finds the known faces in photos of that size on the canvas alone."""
    folder = tmp_path_factory.mktemp(request.param)

    def make(side: int = 640):
        file = folder / f"det_{side}.onnx"
        if request.param == "yunet":
            write_yunet(file, side=side)
            return YuNetDetector(file)
        write_detector(file, side=side)
        return InsightFaceDetector(file, CPU)

    return make


def assert_known(found: list[Face], name: str, tolerance: float) -> None:
    assert len(found) == len(FACES[name])
    for one, known in zip(order_faces(found, "left to right"), FACES[name], strict=True):
        np.testing.assert_allclose(one.box, known.box, atol=2 * tolerance)
        np.testing.assert_allclose(one.landmarks, known.landmarks, atol=tolerance)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", FACES)
def test_every_step_of_the_ladder_finds_what_it_is_for(make_detector, name, side):
    assert_known(find_faces(make_detector(side), photo(name)), name, tolerance=2)


@pytest.mark.parametrize("name", FACES)
def test_faces_that_need_the_border(make_detector, name):
    detector, looks = make_detector(), []

    def short_sighted(canvas: np.ndarray, min_confidence: float) -> list[Face]:
        looks.append(canvas)
        return detector(canvas, min_confidence) if len(looks) > len(SIDES) else []

    assert_known(find_faces(short_sighted, photo(name)), name, tolerance=2)
    assert len(looks) == 5


def test_the_largest_face_is_that_of_the_published_app(make_detector):
    found = order_faces(find_faces(make_detector(), photo("group")), "largest")
    np.testing.assert_allclose(found[0].box, FACES["group"][2].box, atol=4)


def test_a_photo_without_faces(make_detector):
    assert find_faces(make_detector(), np.full((480, 640, 3), 128, np.uint8)) == []


def test_min_confidence_reaches_the_detector(make_detector):
    blurred = photo("group").copy()
    blurred[:, 640:] = cv2.GaussianBlur(blurred[:, 640:], None, 18)
    detector = make_detector()
    sure, all_of_them = (find_faces(detector, blurred, confidence) for confidence in (0.99, 0.05))
    assert 0 < len(sure) < len(all_of_them)
    assert all(one.confidence >= 0.99 for one in sure) and math.isfinite(all_of_them[0].confidence)
