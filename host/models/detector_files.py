"""Face detectors by the name of their model, as it lies in the host's folders."""

from pathlib import Path

import folder_paths

from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.faces.insightface_detector import InsightFaceDetector, find_packs, places
from ...uniportrait_core.faces.yunet_detector import YuNetDetector
from .folders import FACE_DETECTION, INSIGHTFACE

INSIGHT, YUNET = "insightface", "yunet"
DEFAULT_PACK, DEFAULT_YUNET = "buffalo_l", "face_detection_yunet_2023mar.onnx"


def load_detector(backend: str, model: str, provider: str) -> InsightFaceDetector | YuNetDetector:
    """The detector of a pack (INSIGHT) or of a file (YUNET). Raises UniPortraitError where it cannot be had."""
    return _yunet(model) if backend == YUNET else _insightface(model, provider)


def insightface_packs() -> dict[str, Path]:
    """The insightface packs that are there, by name."""
    return find_packs(_roots())


def _insightface(model: str, provider: str) -> InsightFaceDetector:
    source = insightface_packs().get(model)
    if source is None:
        roots = _roots()
        tried = ", ".join(str(place) for place in places(roots, model))
        raise UniPortraitError(
            f"No detection model of an insightface pack named {model!r} is in {tried}. Unpack {DEFAULT_PACK}.zip of "
            f"insightface to {roots[0] / 'models' / DEFAULT_PACK} and press R to refresh the node, or set backend to "
            f"{YUNET}."
        )
    return InsightFaceDetector(source, provider)


def _yunet(model: str) -> YuNetDetector:
    folders = folder_paths.get_folder_paths(FACE_DETECTION)
    path = folder_paths.get_full_path(FACE_DETECTION, model) if model.endswith(".onnx") else None
    if path is None:
        tried = ", ".join(str(Path(folder) / model) for folder in folders)
        raise UniPortraitError(
            f"No YuNet model {model!r} was found; tried {tried}. Put {DEFAULT_YUNET} there and choose it at model on "
            f"Face Detector, or set backend to {INSIGHT} for one of its packs."
        )
    return YuNetDetector(Path(path))


def _roots() -> list[Path]:
    return [Path(root) for root in folder_paths.get_folder_paths(INSIGHTFACE)]
