"""The pack where insightface or onnxruntime is not installed: all that does not need them works, the rest says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnxruntime import get_available_providers
from PIL import Image

from comfy_server import ComfyClient, ExecutionFailedError, comfy_server
from servers import standin_models
from standins.detector import FACES, photo

# Python runs this at its start. The environment of the tests has the packages; here nobody can import them.
WITHOUT = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] == {package!r} else find(name, path, target)

PathFinder.find_spec = find_spec
"""
UNIPORTRAIT = {
    "faceid": "uniportrait-faceid_sd15.bin",
    "router": "none",
    "face_backbone": "glint360k_curricular_face_r101_backbone.bin",
}
CLIP = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"
INSIGHT = {"backend": "insightface", "model": "buffalo_l", "provider": "auto"}
YUNET = {"backend": "yunet", "model": "face_detection_yunet_2023mar.onnx", "provider": "auto"}


@pytest.fixture(scope="module", params=["insightface", "onnxruntime"])
def package(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(package: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyClient]:
    startup = tmp_path_factory.mktemp("startup")
    (startup / "sitecustomize.py").write_text(WITHOUT.format(package=package), encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(startup), os.environ.get("PYTHONPATH"))))
    with comfy_server(Path(os.environ["COMFYUI_PATH"]), standin_models(), environment={"PYTHONPATH": path}) as running:
        for name in FACES:
            Image.fromarray(photo(name)).save(running.base / "input" / f"{name}.png")
        yield running


def node(class_type: str, **inputs: object) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def detection(settings: dict) -> dict[str, dict]:
    """A prompt that finds the faces of the group photo."""
    return {
        "photo": node("LoadImage", image="group.png"),
        "detector": node("UniPortraitFaceDetector", **settings),
        "faces": node(
            "UniPortraitDetectFaces",
            detector=["detector", 0],
            image=["photo", 0],
            order="left to right",
            min_confidence=0.5,
        ),
        "crops": node("PreviewImage", images=["faces", 1]),
    }


def encoding() -> dict[str, dict]:
    """A prompt that encodes a picture as an aligned crop."""
    return {
        "weights": node("LoadUniPortrait", **UNIPORTRAIT),
        "clip": node("CLIPVisionLoader", clip_name=CLIP),
        "photo": node("LoadImage", image="astronaut.png"),
        "encode": node(
            "FaceIDEncode",
            uniportrait=["weights", 0],
            clip_vision=["clip", 0],
            image=["photo", 0],
            structure_scale=0.1,
        ),
        "save": node("UniPortraitSaveFaceID", face_id=["encode", 0], filename_prefix="clean"),
    }


def test_the_pack_is_loaded_with_all_its_nodes(server: ComfyClient, package: str) -> None:
    mine = [name for name, about in server.object_info().items() if "UniPortrait" in str(about["python_module"])]
    assert {"FaceIDEncode", "UniPortraitFaceDetector", "UniPortraitFaceSimilarity"} <= set(mine)
    inputs = server.object_info("UniPortraitFaceDetector")["UniPortraitFaceDetector"]["input"]["required"]
    providers = inputs["provider"][1].get("options") or inputs["provider"][0]
    assert providers[0] == "auto" and providers[-1] == "CPUExecutionProvider"
    if package == "insightface":
        assert set(providers[1:]) == set(get_available_providers())
    else:
        assert len(providers) == 2


def test_aligned_crops_are_encoded(server: ComfyClient) -> None:
    outputs = server.run(encoding())
    assert outputs["save"]["text"] == ["Saved 1 people to clean_00001_.safetensors"]
    (crop,) = server.images({"encode": outputs["encode"]})
    assert crop.size == (224, 224)


def test_the_detector_node_says_what_to_install(server: ComfyClient, package: str) -> None:
    with pytest.raises(
        ExecutionFailedError, match=rf"No module named '{package}.*Install insightface and onnxruntime by"
    ):
        server.run(detection(INSIGHT))


def test_yunet_needs_neither(server: ComfyClient) -> None:
    crops = server.images({"crops": server.run(detection(YUNET))["crops"]})
    assert [crop.size for crop in crops] == [(224, 224)] * len(FACES["group"])
