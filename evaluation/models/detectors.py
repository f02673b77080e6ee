"""The pack's own face detectors, with its ladder of sizes, as in Face Similarity."""

from functools import partial
from pathlib import Path

import torch

from uniportrait_core.errors import UniPortraitError
from uniportrait_core.faces.centre_detector import CentreDetector
from uniportrait_core.faces.detection import find_faces
from uniportrait_core.faces.insightface_detector import CPU, InsightFaceDetector, detection_source
from uniportrait_core.faces.yunet_detector import YuNetDetector

from .interfaces import Detector


def load_yunet(path: Path, device: torch.device) -> Detector:
    """OpenCV's YuNet, on the CPU."""
    return partial(find_faces, YuNetDetector(path))


def load_insightface(path: Path, device: torch.device) -> Detector:
    """A detection model's ONNX file, or the folder of a pack such as buffalo_l."""
    source = detection_source(path) if path.is_dir() else path
    if source is None:
        raise UniPortraitError(f"{path} has no detection model. Give the folder of a pack such as buffalo_l.")
    return partial(find_faces, InsightFaceDetector(source, "auto" if device.type == "cuda" else CPU))


def load_centre(path: Path, device: torch.device) -> Detector:
    """The detector of drawn faces, on the CPU."""
    return partial(find_faces, CentreDetector(path))
