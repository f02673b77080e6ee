"""The detectors of the pack, by a word and a path."""

from pathlib import Path

from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.detection import Detector
from uniportrait_core.faces.insightface_detector import InsightFaceDetector, detection_source
from uniportrait_core.faces.yunet_detector import YuNetDetector


def make_detector(wanted: str) -> Detector:
    """Load `yunet:FILE` or `insightface:FOLDER`. Raises UniPortraitError where it is something else."""
    kind, _, path = wanted.partition(":")
    if kind == "yunet" and path:
        return YuNetDetector(Path(path))
    if kind == "insightface" and path:
        if (source := detection_source(Path(path))) is None:
            raise UniPortraitError(
                f"{path} holds no detection model of insightface (det_*.onnx or scrfd*.onnx). Give the folder of a "
                "pack, such as models/buffalo_l, at --detector insightface:FOLDER."
            )
        return InsightFaceDetector(source)
    raise UniPortraitError(
        f"{wanted!r} names no detector; needed is yunet:FILE or insightface:FOLDER. Give, for example, --detector "
        "yunet:face_detection_yunet_2023mar.onnx."
    )


def detector_record(wanted: str) -> str:
    """Which detector it is, wherever its files lie now."""
    kind, _, path = wanted.partition(":")
    source = detection_source(Path(path)) if kind == "insightface" else Path(path)
    return f"{kind}:{source.name} of {source.stat().st_size} bytes" if source and source.is_file() else wanted
