"""Detection by the real insightface with a stand-in model: packs, providers, and what can go wrong."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from standins.detector import FACES, photo, write_detector
from standins.known_faces import fit
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.detection import Face
from uniportrait_core.faces.insightface_detector import (
    CPU,
    InsightFaceDetector,
    available_providers,
    detection_source,
    find_packs,
    places,
)

CUDA = "CUDAExecutionProvider"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("buffalo_l") / "det_10g.onnx"
    write_detector(file)
    return file


@pytest.fixture(scope="module")
def detector(model) -> InsightFaceDetector:
    return InsightFaceDetector(model, CPU)


def astronaut() -> np.ndarray:
    return fit(photo("astronaut"))[0]


def find(detector: InsightFaceDetector) -> list[Face]:
    return detector(astronaut(), 0.5)


@pytest.mark.parametrize("name", FACES)
def test_the_faces_of_photos_are_found(detector, name):
    canvas, scale = fit(photo(name))
    found = sorted(detector(canvas, 0.5), key=lambda face: face.box[0])
    assert len(found) == len(FACES[name])
    for one, known in zip(found, FACES[name], strict=True):
        assert one.box.shape == (4,) and one.landmarks.shape == (5, 2)
        np.testing.assert_allclose(one.box / np.tile(scale, 2), known.box, atol=4)
        np.testing.assert_allclose(one.landmarks / scale, known.landmarks, atol=2)
        assert isinstance(one.confidence, float) and 0.9 < one.confidence <= 1


def test_pictures_are_taken_as_rgb(detector):
    assert find(detector)
    assert not detector(np.ascontiguousarray(astronaut()[..., ::-1]), 0.5)


def test_min_confidence_holds_for_each_call(detector):
    assert find(detector) and not detector(astronaut(), 1.1) and find(detector)


# Packs


def test_packs_lie_in_folders_or_once_deeper(tmp_path, model):
    flat, nested = tmp_path / "models" / "buffalo_l", tmp_path / "models" / "antelopev2" / "antelopev2"
    for folder, name in ((flat, "det_10g.onnx"), (nested, "scrfd_10g_bnkps.onnx")):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(model.read_bytes())
        (folder / "w600k_r50.onnx").write_bytes(b"recognition, not for us")
    (tmp_path / "models" / "inswapper").mkdir()
    (tmp_path / "models" / "inswapper" / "inswapper_128.onnx").touch()
    packs = find_packs([tmp_path])
    assert packs == {"buffalo_l": flat / "det_10g.onnx", "antelopev2": nested / "scrfd_10g_bnkps.onnx"}
    for source in packs.values():
        assert find(InsightFaceDetector(source, CPU))


def test_of_two_packs_with_one_name_the_first_counts(tmp_path, model):
    for root in ("a", "b"):
        folder = tmp_path / root / "models" / "buffalo_l"
        folder.mkdir(parents=True)
        (folder / "det_10g.onnx").write_bytes(model.read_bytes())
    assert find_packs([tmp_path / "b", tmp_path / "a", tmp_path / "missing"]) == {
        "buffalo_l": tmp_path / "b" / "models" / "buffalo_l" / "det_10g.onnx"
    }


def test_every_place_of_a_pack_can_be_told(tmp_path):
    models = tmp_path / "models"
    assert places([tmp_path], "buffalo_l") == [models / "buffalo_l", models / "buffalo_l" / "*"]


def test_a_pack_with_a_manifest(tmp_path, model):
    """The layout of insightface 2, whose files have any names."""
    tasks = {"detection": {"file": "faces.onnx", "preprocessing": {"mean": 127.5, "std": 128.0}}}
    manifest = {"manifest_version": 2, "model_id": "raccoon_s", "license": "MODEL.LICENSE", "tasks": tasks}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "MODEL.LICENSE").touch()
    (tmp_path / "faces.onnx").write_bytes(model.read_bytes())
    assert detection_source(tmp_path) == tmp_path
    assert find(InsightFaceDetector(tmp_path, CPU))


# Providers


def test_the_providers_of_onnxruntime_are_offered_with_the_cpu_last(monkeypatch):
    assert available_providers()[-1] == CPU
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CPU, CUDA, "OpenVINOExecutionProvider"])
    assert available_providers() == [CUDA, "OpenVINOExecutionProvider", CPU]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert available_providers() == [CPU]


def test_auto_takes_a_provider_that_works(model, caplog):
    with caplog.at_level(logging.WARNING, "uniportrait"):
        assert find(InsightFaceDetector(model))
    assert not caplog.records


def test_a_provider_that_is_not_offered_is_replaced_with_one_line_in_the_log(model, caplog):
    with caplog.at_level(logging.INFO, "uniportrait"):
        detector = InsightFaceDetector(model, "MadeUpExecutionProvider")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "MadeUpExecutionProvider is not offered" in record.message and "using the CPU" in record.message
    assert find(detector)


def test_a_provider_that_does_not_work_is_replaced_with_one_line_in_the_log(model, caplog, monkeypatch):
    tried = offer_cuda_that_fails(monkeypatch)
    with caplog.at_level(logging.INFO, "uniportrait"):
        detector = InsightFaceDetector(model, CUDA)
    (record,) = caplog.records
    assert "CUDAExecutionProvider does not work (no driver)" in record.message
    assert record.levelno == logging.WARNING
    assert tried == [[CUDA, CPU], [CPU]]
    assert find(detector)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_onnxruntime_itself_replaces_is_named_in_one_line_in_the_log(model, caplog, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["ROCMExecutionProvider", CPU])
    with caplog.at_level(logging.INFO, "uniportrait"):
        detector = InsightFaceDetector(model, "ROCMExecutionProvider")
    (record,) = caplog.records
    assert f"ROCMExecutionProvider does not work here; the face detector runs on {CPU}" in record.message
    assert find(detector)


@pytest.mark.parametrize(("has_cuda", "wanted"), [(False, CPU), (True, CUDA)])
def test_auto_takes_cuda_where_there_is_one(model, monkeypatch, has_cuda, wanted):
    tried = offer_cuda_that_fails(monkeypatch)
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_cuda)
    InsightFaceDetector(model)
    assert tried[0][0] == wanted


def test_a_damaged_detector_is_reported_with_every_provider(tmp_path, monkeypatch):
    (tmp_path / "det_10g.onnx").write_bytes(b"no model")
    with pytest.raises(UniPortraitError, match=r"det_10g\.onnx cannot be used \(.+\)\. Download the pack again\."):
        InsightFaceDetector(tmp_path / "det_10g.onnx", CPU)
    offer_cuda_that_fails(monkeypatch)
    with pytest.raises(UniPortraitError, match=r"det_10g\.onnx cannot be used \(.+\)\. Download the pack again\."):
        InsightFaceDetector(tmp_path / "det_10g.onnx", CUDA)


@pytest.mark.parametrize("runs", [0, 2])
def test_a_provider_that_fails_at_work_is_replaced_with_one_line_in_the_log(model, caplog, monkeypatch, runs):
    """In the trial when the detector is made, or later, for example because the device's memory is full by then."""
    offer_cuda_that_fails_at_work(monkeypatch, runs)
    with caplog.at_level(logging.INFO, "uniportrait"):
        detector = InsightFaceDetector(model, CUDA)
        assert all(len(find(detector)) == 1 for _ in range(3))
    (record,) = caplog.records
    assert "CUDAExecutionProvider does not work (out of memory); the face detector runs on the CPU" in record.message


def offer_cuda_that_fails_at_work(monkeypatch, runs: int) -> None:
    """CUDA that works for a number of runs."""
    import insightface.model_zoo

    get_model = insightface.model_zoo.get_model

    def failing(name: str, providers: list[str], **options: object):
        made = get_model(name, providers=[CPU], **options)
        if providers != [CPU]:
            run, left = made.session.run, [None] * runs

            def fail(*arguments: object):
                if not left:
                    raise RuntimeError("out of memory")
                left.pop()
                return run(*arguments)

            monkeypatch.setattr(made.session, "run", fail)
            monkeypatch.setattr(made.session, "get_providers", lambda: providers)
        return made

    monkeypatch.setattr(insightface.model_zoo, "get_model", failing)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])


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
def test_a_missing_package(model, monkeypatch, package):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UniPortraitError, match=rf"not installed \(.*{package}.*\)\. Install insightface and onnxruntime by"
    ) as error:
        InsightFaceDetector(model)
    assert "without a detector" in str(error.value) and "backend yunet" in str(error.value)


@pytest.mark.parametrize("outputs", [1, 6])
def test_a_model_that_is_no_detector_with_landmarks(tmp_path, outputs):
    write_model(tmp_path / "det_10g.onnx", outputs)
    problem = "is not a face detection model of" if outputs == 1 else "gives no landmarks"
    with pytest.raises(UniPortraitError, match=rf"det_10g\.onnx {problem}.* Choose a pack such as buffalo_l"):
        InsightFaceDetector(tmp_path / "det_10g.onnx", CPU)


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
