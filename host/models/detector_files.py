"""Face detectors by the name of their model, as it lies in the host's folders."""

from pathlib import Path

import folder_paths

from ...uniportrait_core.errors import UniPortraitError, named
from ...uniportrait_core.faces.centre_detector import CentreDetector
from ...uniportrait_core.faces.detection import Detector
from ...uniportrait_core.faces.insightface_detector import InsightFaceDetector, find_packs, places
from ...uniportrait_core.faces.yunet_detector import YuNetDetector
from .folders import FACE_DETECTION, INSIGHTFACE, MINI_WORLD, OF_MINI_WORLD
from .get_command import or_get

INSIGHT, YUNET, DRAWN = "insightface", "yunet", "mini world"
DEFAULT_PACK, DEFAULT_YUNET = "buffalo_l", "face_detection_yunet_2023mar.onnx"
DRAWN_MODEL = f"{OF_MINI_WORLD}-face_detector"


def load_detector(backend: str, model: str, provider: str) -> Detector:
    """The detector of a pack (INSIGHT), of a file (YUNET) or of drawn faces (DRAWN).

    Raises UniPortraitError where it cannot be had.
    """
    if backend == DRAWN or model == DRAWN_MODEL:
        return _drawn(backend, model)
    return _yunet(model) if backend == YUNET else _insightface(model, provider)


def insightface_packs() -> dict[str, Path]:
    """The insightface packs that are there, by name."""
    return find_packs(_roots())


def _drawn(backend: str, model: str) -> CentreDetector:
    if (backend, model) != (DRAWN, DRAWN_MODEL):
        raise UniPortraitError(
            f"backend {named(backend, 80)} does not go with model {named(model, 80)} on Face Detector; the backend "
            f"{DRAWN} and the model {DRAWN_MODEL} belong together. Choose both, or neither."
        )
    return CentreDetector(MINI_WORLD / "face_detector.safetensors")


def _insightface(model: str, provider: str) -> InsightFaceDetector:
    source = insightface_packs().get(model)
    if source is None:
        roots = _roots()
        tried = named(", ".join(str(place) for place in places(roots, named(model, 80))))
        raise UniPortraitError(
            f"No detection model of an insightface pack named '{named(model, 80)}' is in {tried}. Unpack "
            f"{DEFAULT_PACK}.zip of insightface to {roots[0] / 'models' / DEFAULT_PACK}{or_get(DEFAULT_PACK)}, and "
            f"press R to refresh the node, or set backend to {YUNET}."
        )
    return InsightFaceDetector(source, provider)


def _yunet(model: str) -> YuNetDetector:
    folders = folder_paths.get_folder_paths(FACE_DETECTION)
    path = folder_paths.get_full_path(FACE_DETECTION, model) if model.endswith(".onnx") else None
    if path is None:
        tried = named(", ".join(str(Path(folder) / named(model, 80)) for folder in folders))
        raise UniPortraitError(
            f"No YuNet model '{named(model, 80)}' was found; tried {tried}. Put {DEFAULT_YUNET} "
            f"there{or_get(DEFAULT_YUNET)}, and choose it at model on Face Detector, or set backend to {INSIGHT} for "
            "one of its packs."
        )
    return YuNetDetector(Path(path))


def _roots() -> list[Path]:
    return [Path(root) for root in folder_paths.get_folder_paths(INSIGHTFACE)]
