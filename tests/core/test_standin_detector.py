"""The stand-in face detector, loaded and run by the real insightface."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.model_zoo import get_model
from skimage import data

from standins.detector import FACES, Face, pad_with_grey, photo, write_detector
from standins.known_faces import fit

CPU = ["CPUExecutionProvider"]


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("detector") / "pack" / "det_standin.onnx"
    write_detector(path)
    return path


@pytest.fixture(scope="module")
def detector(detector_file: Path):
    model = get_model(str(detector_file), providers=CPU)
    model.prepare(0, input_size=(640, 640), det_thresh=0.5)
    return model


def detect(detector, image: np.ndarray, **options) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes with scores (faces, 5) and landmarks (faces, 5, 2) in an RGB image, from left to right."""
    boxes, landmarks = detector.detect(np.ascontiguousarray(image[..., ::-1]), **options)
    order = boxes[:, 0].argsort()
    return boxes[order], landmarks[order]


def assert_found(found: tuple[np.ndarray, np.ndarray], known: tuple[Face, ...], offset=(0, 0)) -> None:
    """Exactly the known faces, moved by offset (x, y): landmarks within 3 pixels, sides of the boxes within 4.

    2.3 of the 3 are insightface's: it takes the scale of y for both axes, and on the padded group photo they differ.
    """
    boxes, landmarks = found
    assert len(boxes) == len(landmarks) == len(known)
    assert (boxes[:, 4] > 0.9).all()
    for box, points, face in zip(boxes, landmarks, known, strict=True):
        np.testing.assert_allclose(points - offset, face.landmarks, rtol=0, atol=3)
        np.testing.assert_allclose(box[:4].reshape(2, 2) - offset, np.reshape(face.box, (2, 2)), rtol=0, atol=4)


def test_insightface_takes_it_for_a_detector_with_landmarks_and_a_free_size(detector):
    assert (detector.taskname, detector.use_kps, detector.fmc) == ("detection", True, 3)
    assert isinstance(detector.input_shape[2], str) and isinstance(detector.input_shape[3], str)


@pytest.mark.parametrize(("height", "width"), [(640, 640), (256, 320), (32, 96)])
def test_outputs_have_the_shapes_of_scrfd(detector, height, width):
    outputs = detector.session.run(None, {"input.1": np.zeros((1, 3, height, width), np.float32)})
    anchors = [2 * (height // stride) * (width // stride) for stride in (8, 16, 32)]
    assert [output.shape for output in outputs] == [(n, columns) for columns in (1, 4, 10) for n in anchors]


@pytest.mark.parametrize("name", FACES)
def test_finds_exactly_the_known_faces(detector, name):
    assert_found(detect(detector, photo(name)), FACES[name])


@pytest.mark.parametrize("name", FACES)
def test_finds_them_in_the_photo_padded_with_grey(detector, name):
    padded, offset = pad_with_grey(photo(name))
    assert_found(detect(detector, padded), FACES[name], offset)


@pytest.mark.parametrize("name", FACES)
def test_finds_them_where_the_photo_has_moved(detector, name):
    moved = np.roll(photo(name), (11, -7), axis=(0, 1))
    assert_found(detect(detector, moved), FACES[name], offset=(-7, 11))


@pytest.mark.parametrize("name", FACES)
def test_finds_them_in_a_compressed_photo(detector, name):
    encoded = cv2.imencode(".jpg", photo(name), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    assert_found(detect(detector, cv2.imdecode(encoded, cv2.IMREAD_COLOR)), FACES[name])


def test_finds_them_at_another_input_shape_of_the_same_scale(detector):
    assert_found(detect(detector, photo("group"), input_size=(640, 448)), FACES["group"])


def test_largest_face(detector):
    def area(face: Face) -> float:
        x1, y1, x2, y2 = face.box
        return (x2 - x1) * (y2 - y1)

    found = detect(detector, photo("group"), max_num=1, metric="max")
    assert_found(found, (max(FACES["group"], key=area),))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(data.coffee(), id="coffee"),
        pytest.param(data.chelsea(), id="cat"),
        pytest.param(data.rocket(), id="rocket"),
        pytest.param(np.full((480, 640, 3), 128, np.uint8), id="grey"),
        pytest.param(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), id="noise"),
        pytest.param(photo("astronaut")[:, ::-1], id="mirrored"),
        pytest.param(photo("group")[..., ::-1], id="red and blue swapped"),
        pytest.param(photo("group")[460:], id="table"),
    ],
)
def test_finds_nothing_without_the_faces(detector, image):
    boxes, landmarks = detect(detector, image)
    assert boxes.shape == (0, 5)
    assert landmarks.shape == (0, 5, 2)


def test_knows_only_the_faces_that_it_was_given(tmp_path):
    write_detector(tmp_path / "one.onnx", {"group": FACES["group"][2:3]})
    one = get_model(str(tmp_path / "one.onnx"), providers=CPU)
    one.prepare(0, input_size=(640, 640))
    assert_found(detect(one, photo("group")), FACES["group"][2:3])
    assert_found(detect(one, photo("astronaut")), ())


@pytest.mark.parametrize("side", [512, 384, 256])
@pytest.mark.parametrize("name", FACES)
def test_a_detector_for_another_side_finds_them_at_that_side_alone(tmp_path, name, side):
    write_detector(tmp_path / "small.onnx", side=side)
    small = get_model(str(tmp_path / "small.onnx"), providers=CPU)
    small.prepare(0, input_size=(640, 640))
    for shown in (640, 512, 384, 256):
        canvas, scale = fit(photo(name), shown)
        boxes, landmarks = detect(small, canvas)
        boxes[:, :4] /= np.tile(scale, 2)
        assert_found((boxes, landmarks / scale), FACES[name] if shown == side else ())


def test_an_interrupted_write_leaves_the_old_file(detector_file, monkeypatch):
    before = detector_file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_detector(detector_file, {"astronaut": FACES["astronaut"]})
    assert detector_file.read_bytes() == before
    assert [path.name for path in detector_file.parent.iterdir()] == [detector_file.name]
