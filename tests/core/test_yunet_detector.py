"""Face detection by YuNet: OpenCV's own `FaceDetectorYN` with the stand-in model, on real photos."""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from standins.detector import FACES, photo, write_detector
from standins.known_faces import fit
from standins.yunet import write_yunet
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.detection import Face
from uniportrait_core.faces.yunet_detector import YuNetDetector

STATIC, SYMBOLIC = "face_detection_yunet_2023mar.onnx", "face_detection_yunet_2026may.onnx"
OUTPUTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
SIDES = (640, 512, 384, 256)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Both forms of the model, as OpenCV's model zoo has them."""
    folder = tmp_path_factory.mktemp("face_detection")
    write_yunet(folder / STATIC)
    write_yunet(folder / SYMBOLIC, static=False)
    return folder


@pytest.fixture(scope="module")
def detector(folder) -> YuNetDetector:
    return YuNetDetector(folder / STATIC)


def assert_known(found: list[Face], name: str, scale: float) -> None:
    """Exactly the known faces, on a canvas of that scale: within 2 pixels of the photo, boxes within 4."""
    assert len(found) == len(FACES[name])
    for one, known in zip(sorted(found, key=lambda face: face.box[0]), FACES[name], strict=True):
        assert one.box.shape == (4,) and one.landmarks.shape == (5, 2)
        np.testing.assert_allclose(one.box / np.tile(scale, 2), known.box, rtol=0, atol=4)
        np.testing.assert_allclose(one.landmarks / scale, known.landmarks, rtol=0, atol=2)
        assert isinstance(one.confidence, float) and 0.9 < one.confidence <= 1


# The class


@pytest.mark.parametrize("form", [STATIC, SYMBOLIC])
@pytest.mark.parametrize("name", FACES)
def test_the_faces_of_photos_are_found(folder, form, name):
    canvas, scale = fit(photo(name))
    assert_known(YuNetDetector(folder / form)(canvas, 0.5), name, scale)


def test_landmarks_are_in_the_order_of_the_picture(detector):
    ((left_eye, right_eye, nose, left_mouth, right_mouth),) = (
        face.landmarks for face in detector(fit(photo("astronaut"))[0], 0.5)
    )
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_pictures_are_taken_as_rgb(detector):
    canvas, _ = fit(photo("group"))
    assert detector(canvas, 0.5)
    assert not detector(canvas[..., ::-1], 0.5)


def test_the_picture_is_not_changed(detector):
    canvas, _ = fit(photo("astronaut"))
    before = canvas.copy()
    detector(canvas, 0.5)
    assert np.array_equal(canvas, before)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_plain_picture_has_no_faces(detector, value):
    assert detector(np.full((640, 640, 3), value, np.uint8), 0.5) == []


def test_min_confidence_holds_for_each_call(detector):
    canvas, _ = fit(photo("group"))
    canvas[100:, 320:] = cv2.GaussianBlur(canvas[100:, 320:], None, 9)  # and so these faces are less certain
    confidences = sorted(face.confidence for face in detector(canvas, 0.1))
    assert confidences[0] < confidences[-1] - 0.1
    between = (confidences[0] + confidences[-1]) / 2
    sure = [confidence for confidence in confidences if confidence > between]
    assert sorted(face.confidence for face in detector(canvas, between)) == sure
    assert sorted(face.confidence for face in detector(canvas, 0.1)) == confidences
    assert detector(canvas, 1.0) == []


def test_a_path_may_have_any_characters(folder, tmp_path):
    """OpenCV on Windows opens no such path by itself, so the file has to come from memory."""
    file = tmp_path / "Gesichter für 顔" / "модель.onnx"
    file.parent.mkdir()
    file.write_bytes((folder / STATIC).read_bytes())
    assert YuNetDetector(file)(fit(photo("astronaut"))[0], 0.5)


def test_opencv_is_never_given_a_path(folder, monkeypatch):
    create, given = cv2.FaceDetectorYN.create, []

    class Watched:
        @staticmethod
        def create(*arguments):
            given.extend(arguments)
            return create(*arguments)

    monkeypatch.setattr(cv2, "FaceDetectorYN", Watched)
    YuNetDetector(folder / STATIC)
    assert given and [argument for argument in given if isinstance(argument, str)] == ["onnx"]


# Errors


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda model: model[: len(model) // 2], id="half"),
        pytest.param(lambda model: b"", id="empty"),
        pytest.param(lambda model: b"version https://git-lfs.github.com/spec/v1\nsize 232589\n", id="LFS pointer"),
    ],
)
def test_a_damaged_file_is_named(folder, tmp_path, content):
    file = tmp_path / "damaged.onnx"
    file.write_bytes(content((folder / STATIC).read_bytes()))
    with pytest.raises(UniPortraitError, match=r"damaged\.onnx \([\d,]+ bytes\) is not a YuNet .*Download .* again"):
        YuNetDetector(file)


def test_a_model_of_insightface_is_named(tmp_path):
    write_detector(tmp_path / "det_10g.onnx")
    with pytest.raises(UniPortraitError, match=r"det_10g\.onnx .* is not a YuNet model .*Download .*2023mar\.onnx"):
        YuNetDetector(tmp_path / "det_10g.onnx")


def test_a_missing_output_is_found_out_when_the_detector_is_made(folder, tmp_path):
    model = onnx.load(folder / STATIC)
    for named in (*model.graph.output, *model.graph.node):
        if isinstance(named, onnx.NodeProto):
            named.output[:] = ["landmarks" if name == "kps_8" else name for name in named.output]
        elif named.name == "kps_8":
            named.name = "landmarks"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UniPortraitError, match=r"other\.onnx .* is not a YuNet model"):
        YuNetDetector(tmp_path / "other.onnx")


@pytest.mark.parametrize("file", ["missing.onnx", ""])
def test_a_file_that_cannot_be_read_is_named(tmp_path, file):
    with pytest.raises(UniPortraitError, match=f"{tmp_path.name}.*cannot be read .*Put face_detection_yunet_2023mar"):
        YuNetDetector(tmp_path / file)


def test_without_opencv_the_package_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UniPortraitError, match="pip install --upgrade opencv-python"):
        YuNetDetector(folder / STATIC)


def test_an_opencv_without_yunet_counts_as_missing(folder, monkeypatch):
    monkeypatch.delattr(cv2, "FaceDetectorYN")
    with pytest.raises(UniPortraitError, match="OpenCV 4.10 or later"):
        YuNetDetector(folder / STATIC)


def test_an_opencv_that_is_too_old_is_named(folder, monkeypatch):
    monkeypatch.setattr(cv2, "__version__", "4.9.0.80")
    with pytest.raises(UniPortraitError, match=r"OpenCV 4.10 or later.*found is 4\.9\.0.*--upgrade opencv-python"):
        YuNetDetector(folder / STATIC)


# The stand-in itself


def shapes(values) -> dict[str, list[int | str]]:
    return {one.name: [size.dim_value or size.dim_param for size in one.type.tensor_type.shape.dim] for one in values}


def test_the_standin_has_the_signature_of_the_published_file(folder):
    graph = onnx.load(folder / STATIC).graph
    assert shapes(graph.input) == {"input": [1, 3, 640, 640]}
    assert list(shapes(graph.output).items()) == [
        (f"{name}_{stride}", [1, (640 // stride) ** 2, columns])
        for name, columns in OUTPUTS.items()
        for stride in (8, 16, 32)
    ]


def test_the_symbolic_form_differs_in_its_sizes_alone(folder):
    static, symbolic = (onnx.load(folder / form).graph for form in (STATIC, SYMBOLIC))
    assert shapes(symbolic.input) == {"input": [1, 3, "height", "width"]}
    assert list(shapes(symbolic.output)) == list(shapes(static.output))
    assert symbolic.node == static.node and symbolic.initializer == static.initializer


def test_the_symbolic_form_has_any_size(folder):
    """As cropped pictures do not change the scale, the faces stay where they are."""
    canvas, scale = fit(photo("group"))
    model = np.fromfile(folder / SYMBOLIC, np.uint8)
    network = cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), (640, 448))
    _, found = network.detect(np.ascontiguousarray(canvas[:448, :, ::-1]))
    assert len(found) == len(FACES["group"])


@pytest.mark.parametrize("side", SIDES[1:])
def test_a_standin_for_another_side_finds_faces_at_that_side_alone(tmp_path, side):
    write_yunet(tmp_path / "small.onnx", side=side)
    small = YuNetDetector(tmp_path / "small.onnx")
    for name in FACES:
        for shown in SIDES:
            canvas, scale = fit(photo(name), shown)
            if shown == side:
                assert_known(small(canvas, 0.5), name, scale)
            else:
                assert small(canvas, 0.5) == []


def test_the_standin_knows_only_the_faces_that_it_was_given(tmp_path):
    write_yunet(tmp_path / "one.onnx", {"astronaut": FACES["astronaut"]})
    one = YuNetDetector(tmp_path / "one.onnx")
    assert one(fit(photo("group"))[0], 0.5) == []
    canvas, scale = fit(photo("astronaut"))
    assert_known(one(canvas, 0.5), "astronaut", scale)


@pytest.mark.parametrize("name", FACES)
def test_the_standin_finds_moved_faces(detector, name):
    canvas, scale = fit(np.roll(photo(name), (11, -7), axis=(0, 1)))
    move = np.array([-7, 11]) * scale
    found = [
        Face(face.box - np.tile(move, 2), face.landmarks - move, face.confidence) for face in detector(canvas, 0.5)
    ]
    assert_known(found, name, scale)
