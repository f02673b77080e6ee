"""Finding the face to keep: the choice among faces, the second look, and insightface on real photos."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from insightface.utils.face_align import norm_crop

from standins.detector import FACES, photo, write_detector
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces import Face, crop_largest, find_faces
from uniportrait_core.insightface_detector import CPU, InsightFaceDetector

pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated")  # in insightface
SIZE = 224
CUDA = "CUDAExecutionProvider"
LANDMARKS = np.array([[30.0, 30.0], [60.0, 32.0], [45.0, 50.0], [33.0, 65.0], [58.0, 66.0]])


def face(left: float, top: float, right: float, bottom: float, confidence: float = 0.9) -> Face:
    """A face whose landmarks lie in its box as in a portrait."""
    points = LANDMARKS / 100 * (right - left, bottom - top) + (left, top)
    return Face(np.array([left, top, right, bottom]), points, confidence)


def picture(height: int = 200, width: int = 320) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_faces_of_the_first_look_are_given_as_they_are():
    looks, known = [], [face(10, 20, 110, 120), face(-5, 0, 30, 40)]

    def detect(image: np.ndarray) -> list[Face]:
        looks.append(image)
        return known

    given = picture()
    assert find_faces(detect, given) == known
    assert len(looks) == 1 and np.array_equal(looks[0], given)


def test_the_second_look_has_a_quarter_of_grey_on_every_side():
    looks = []

    def detect(image: np.ndarray) -> list[Face]:
        looks.append(image)
        return []

    given = picture(201, 322)
    assert find_faces(detect, given) == []
    assert len(looks) == 2
    second = looks[1]
    top, left = 50, 80  # a quarter, rounded down
    assert second.shape == (201 + 2 * top, 322 + 2 * left, 3) and second.dtype == np.uint8
    assert np.array_equal(second[top:-top, left:-left], given)
    second[top:-top, left:-left] = 128
    assert (second == 128).all()


def only_padded(faces: list[Face], shape: tuple[int, ...] = (200, 320, 3)):
    """A detector that finds faces only in a picture of another shape."""
    return lambda image: [] if image.shape == shape else faces


def test_faces_of_the_second_look_come_back_to_the_photo():
    (found,) = find_faces(only_padded([face(100, 90, 200, 190, 0.7)]), picture())
    assert found.box.tolist() == [20, 40, 120, 140]
    np.testing.assert_allclose(found.landmarks, face(20, 40, 120, 140).landmarks)
    assert found.confidence == 0.7


def test_boxes_of_the_second_look_are_cut_at_the_edges_and_landmarks_are_not():
    (found,) = find_faces(only_padded([face(20, 10, 450, 290)]), picture())
    assert found.box.tolist() == [0, 0, 320, 200]
    np.testing.assert_allclose(found.landmarks, face(-60, -40, 370, 240).landmarks)
    (found,) = find_faces(only_padded([face(10, 10, 110, 110)]), picture())
    assert found.box.tolist() == [0, 0, 30, 60]
    np.testing.assert_allclose(found.landmarks, face(-70, -40, 30, 60).landmarks)
    assert (found.landmarks < 0).any()


def test_the_largest_box_wins_wherever_it_comes():
    small, wide, tall = face(0, 0, 60, 60), face(50, 20, 170, 100), face(200, 10, 260, 190)
    given = picture()
    wanted = norm_crop(given, tall.landmarks, image_size=SIZE)
    for order in ([small, wide, tall], [tall, wide, small], [wide, tall, small]):
        crop = crop_largest(lambda _, order=order: order, given, SIZE)
        assert np.abs(crop.astype(int) - wanted).max() <= 1


def test_in_the_second_look_the_part_inside_the_photo_counts():
    outside, inside = face(0, 0, 180, 150), face(150, 100, 260, 200)  # most of the first is in the grey border
    given = picture()
    crop = crop_largest(only_padded([outside, inside]), given, SIZE)
    wanted = norm_crop(given, inside.landmarks - (80, 50), image_size=SIZE)
    assert np.abs(crop.astype(int) - wanted).max() <= 1


def test_no_face_gives_no_crop():
    assert crop_largest(lambda _: [], picture(), SIZE) is None


# The real insightface with the stand-in detector


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    """A model pack as insightface lays it out; models for other tasks lie beside the detector."""
    folder = tmp_path_factory.mktemp("models") / "standin"
    write_detector(folder / "det_10g.onnx")
    (folder / "2d106det.onnx").write_bytes(b"landmarks, not for us")
    (folder / "w600k_r50.onnx").write_bytes(b"recognition, not for us")
    return folder


@pytest.fixture(scope="module")
def detector(pack) -> InsightFaceDetector:
    return InsightFaceDetector(pack, CPU)


@pytest.mark.parametrize("name", FACES)
def test_insightface_finds_the_faces_of_photos(detector, name):
    found = sorted(detector(photo(name)), key=lambda face: face.box[0])
    assert len(found) == len(FACES[name])
    for one, known in zip(found, FACES[name], strict=True):
        assert one.box.shape == (4,) and one.landmarks.shape == (5, 2)
        np.testing.assert_allclose(one.box, known.box, atol=4)
        np.testing.assert_allclose(one.landmarks, known.landmarks, atol=2)
        assert isinstance(one.confidence, float) and 0.9 < one.confidence <= 1


def test_photos_are_taken_as_rgb(detector):
    assert detector(photo("astronaut"))
    assert not detector(photo("astronaut")[..., ::-1])


@pytest.mark.parametrize(("name", "largest"), [("astronaut", 0), ("group", 2)])
def test_the_crop_is_that_of_the_published_app(detector, name, largest):
    crop = crop_largest(detector, photo(name), SIZE)
    wanted = norm_crop(photo(name), np.array(FACES[name][largest].landmarks), image_size=SIZE)
    assert np.abs(crop.astype(int) - wanted).mean() < 1


def test_a_face_that_is_found_only_in_the_padded_photo(detector):
    original, looks = photo("astronaut"), []

    def short_sighted(image: np.ndarray) -> list[Face]:
        looks.append(image.shape)
        return [] if image.shape == original.shape else detector(image)

    (found,) = find_faces(short_sighted, original)
    assert looks == [(512, 512, 3), (768, 768, 3)]
    np.testing.assert_allclose(found.box, FACES["astronaut"][0].box, atol=4)
    np.testing.assert_allclose(found.landmarks, FACES["astronaut"][0].landmarks, atol=2)
    crop, wanted = (crop_largest(detect, original, SIZE) for detect in (short_sighted, detector))
    assert np.abs(crop.astype(int) - wanted).mean() < 1


def test_a_photo_without_faces(detector):
    grey = np.full((480, 640, 3), 128, np.uint8)
    assert detector(grey) == []
    assert crop_largest(detector, grey, SIZE) is None


def test_auto_takes_a_provider_that_works(pack, caplog):
    with caplog.at_level(logging.WARNING, "uniportrait"):
        assert InsightFaceDetector(pack)(photo("astronaut"))
    assert not caplog.records


def test_a_provider_that_is_not_offered_is_replaced_with_one_line_in_the_log(pack, caplog):
    with caplog.at_level(logging.INFO, "uniportrait"):
        detector = InsightFaceDetector(pack, "MadeUpExecutionProvider")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "MadeUpExecutionProvider is not offered" in record.message and "using the CPU" in record.message
    assert detector(photo("astronaut"))


def test_a_provider_that_does_not_work_is_replaced_with_one_line_in_the_log(pack, caplog, monkeypatch):
    tried = offer_cuda_that_fails(monkeypatch)
    with caplog.at_level(logging.INFO, "uniportrait"):
        detector = InsightFaceDetector(pack, CUDA)
    (record,) = caplog.records
    assert "CUDAExecutionProvider does not work (no driver)" in record.message
    assert tried == [[CUDA, CPU], [CPU]]
    assert detector(photo("astronaut"))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_onnxruntime_itself_replaces_is_named_in_one_line_in_the_log(pack, caplog, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["ROCMExecutionProvider", CPU])
    with caplog.at_level(logging.INFO, "uniportrait"):
        detector = InsightFaceDetector(pack, "ROCMExecutionProvider")
    (record,) = caplog.records
    assert f"ROCMExecutionProvider does not work here; the face detector runs on {CPU}" in record.message
    assert detector(photo("astronaut"))


@pytest.mark.parametrize(("has_cuda", "wanted"), [(False, CPU), (True, CUDA)])
def test_auto_takes_cuda_where_there_is_one(pack, monkeypatch, has_cuda, wanted):
    tried = offer_cuda_that_fails(monkeypatch)
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_cuda)
    InsightFaceDetector(pack)
    assert tried[0][0] == wanted


def test_a_damaged_detector_is_reported_with_every_provider(tmp_path, monkeypatch):
    (tmp_path / "det_10g.onnx").write_bytes(b"no model")
    with pytest.raises(UniPortraitError, match=r"det_10g\.onnx cannot be loaded \(.+\)\. Download the pack again\."):
        InsightFaceDetector(tmp_path, CPU)
    offer_cuda_that_fails(monkeypatch)
    with pytest.raises(UniPortraitError, match=r"det_10g\.onnx cannot be loaded \(.+\)\. Download the pack again\."):
        InsightFaceDetector(tmp_path, CUDA)


def offer_cuda_that_fails(monkeypatch) -> list[list[str]]:
    """As on a machine with a GPU package of onnxruntime and without a driver; returns the providers that are tried."""
    import insightface.model_zoo
    import onnxruntime

    tried, get_model = [], insightface.model_zoo.get_model

    def failing(name: str, providers: list[str], **options: object):
        tried.append(providers)
        if providers != [CPU]:
            raise RuntimeError("no driver")
        return get_model(name, providers=providers, **options)

    monkeypatch.setattr(insightface.model_zoo, "get_model", failing)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    return tried


@pytest.mark.parametrize("package", ["insightface", "onnxruntime"])
def test_a_missing_package(pack, monkeypatch, package):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UniPortraitError, match=rf"not installed \(.*{package}.*\)\. Run `pip install insightface"
    ) as error:
        InsightFaceDetector(pack)
    assert "without a detector" in str(error.value)


def test_a_folder_without_a_detector(tmp_path):
    (tmp_path / "w600k_r50.onnx").touch()
    with pytest.raises(UniPortraitError, match=r"No detection model \(det_\*\.onnx or .*w600k_r50\.onnx\. Unpack"):
        InsightFaceDetector(tmp_path)
    with pytest.raises(UniPortraitError, match="holds nothing"):
        InsightFaceDetector(tmp_path / "missing")


@pytest.mark.parametrize("outputs", [1, 6])
def test_a_model_that_is_no_detector_with_landmarks(tmp_path, outputs):
    write_model(tmp_path / "det_10g.onnx", outputs)
    if outputs == 1:
        with pytest.raises(UniPortraitError, match=r"det_10g\.onnx is not a face detection model\. Choose a pack"):
            InsightFaceDetector(tmp_path, CPU)
    else:
        with pytest.raises(UniPortraitError, match=r"gives no landmarks, .* Choose a pack"):
            InsightFaceDetector(tmp_path, CPU)(photo("astronaut"))


def write_model(path: Path, outputs: int) -> None:
    """Six outputs make a detector without landmarks: scores and boxes at three strides; one makes something else."""
    from onnx import TensorProto, helper

    sides = [640 // stride for stride in (8, 16, 32)]
    shapes = [(2 * side * side, width) for width in (1, 4) for side in sides][:outputs]
    nodes, constants = [], []
    for i, shape in enumerate(shapes):
        constants.append(helper.make_tensor(f"shape_{i}", TensorProto.INT64, [2], shape))
        nodes.append(helper.make_node("ConstantOfShape", [f"shape_{i}"], [f"output_{i}"]))
    values = [helper.make_tensor_value_info(f"output_{i}", TensorProto.FLOAT, shape) for i, shape in enumerate(shapes)]
    image = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, "height", "width"])
    graph = helper.make_graph(nodes, "constant", [image], values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
