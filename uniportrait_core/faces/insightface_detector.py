"""Face detection by insightface: its packs on disk, in the layouts that users have, and its detectors.

A pack is a folder with a detection model. The archive of some packs holds a folder of the pack's name, others only the
files, so that a pack is found one level deep or two: `models/buffalo_l/`, `models/antelopev2/antelopev2/`.

The library is imported when a detector is made, not before.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UniPortraitError, named, reason
from .detection import CANVAS, MIN_CONFIDENCE, Face

AUTO = "auto"
CPU = "CPUExecutionProvider"
# What `auto` tries, in order. TensorRT is left out: it builds an engine for minutes at every start.
PREFERRED = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider", CPU)
DETECTION_FILES = ("det_*.onnx", "scrfd*.onnx")
MANIFEST = "manifest.json"  # packs of insightface 2 name their files in it

logger = logging.getLogger("uniportrait")


class InsightFaceDetector:
    """SCRFD or RetinaFace detection with five landmarks."""

    def __init__(self, source: Path, provider: str = AUTO):
        """
        Args:
            source: a detection model's ONNX file, or a pack with a manifest (`detection_source`).
            provider: an execution provider of onnxruntime, or `auto` for the fastest that is there. One that does not
                work is replaced by the CPU, with a line in the log.

        Raises:
            UniPortraitError: insightface is not installed, or `source` is no detection model.
        """
        try:
            import onnxruntime
            from insightface.model_zoo import get_model
        except ImportError as error:
            raise UniPortraitError(
                f"insightface's detectors need a package that is not installed ({error}). Install insightface and "
                "onnxruntime by `pip install -r requirements.txt` in this pack's folder with ComfyUI's Python, choose "
                "backend yunet on Face Detector, which needs neither, or give aligned 224×224 crops to Encode Face ID "
                "without a detector."
            ) from error
        self._source, self._get_model = source, get_model
        self._providers = _choose(provider, onnxruntime.get_available_providers())
        self._model = self._load()
        # A trial: some providers load a model and cannot run it.
        self(np.zeros((CANVAS, CANVAS, 3), np.uint8), MIN_CONFIDENCE)

    def __call__(self, picture: np.ndarray, min_confidence: float) -> list[Face]:
        """See `detection.Detector`. A provider that fails, as when memory is short, is replaced by the CPU for good."""
        self._model.det_thresh = min_confidence  # an argument of `detect` in newer versions only
        try:
            boxes, landmarks = self._model.detect(np.ascontiguousarray(picture[..., ::-1]))
        except Exception as error:
            self._fall_back(error)
            return self(picture, min_confidence)
        if landmarks is None:
            raise UniPortraitError(
                f"{named(self._source)} gives no landmarks, which alignment needs. Choose a pack such as buffalo_l."
            )
        return [Face(box[:4], points, float(box[4])) for box, points in zip(boxes, landmarks, strict=True)]

    def _load(self) -> Any:
        """The detection model as insightface has it, on the CPU where another provider does not work."""
        # A task is stated for packs with a manifest only; of a plain file insightface sees it itself.
        task = {"model_task": "detection"} if self._source.is_dir() else {}
        try:
            model = self._get_model(str(self._source), providers=self._providers, static_shape_sessions=False, **task)
        except Exception as error:  # whatever a provider raises: drivers, missing libraries
            self._fall_back(error)
            return self._model
        if getattr(model, "taskname", None) != "detection":
            raise UniPortraitError(
                f"{named(self._source)} is not a face detection model of the installed insightface. "
                "Choose a pack such as buffalo_l, or update insightface."
            )
        used = model.session.get_providers()[0]
        if used != self._providers[0]:  # onnxruntime itself falls back without an error
            logger.warning("%s does not work here; the face detector runs on %s.", self._providers[0], used)
        model.prepare(0, input_size=(CANVAS, CANVAS), det_thresh=MIN_CONFIDENCE)
        return model

    def _fall_back(self, error: Exception) -> None:
        if self._providers == [CPU]:
            raise UniPortraitError(
                f"{named(self._source)} cannot be used ({reason(error)}). Download the pack again."
            ) from error
        logger.warning("%s does not work (%s); the face detector runs on the CPU.", self._providers[0], error)
        self._providers = [CPU]
        self._model = self._load()


def available_providers() -> list[str]:
    """What the installed onnxruntime offers, the CPU last; the CPU alone where it is not installed."""
    try:
        from onnxruntime import get_available_providers
    except ImportError:
        return [CPU]
    return [name for name in get_available_providers() if name != CPU] + [CPU]


def find_packs(roots: Iterable[Path]) -> dict[str, Path]:
    """Detection models by name of their pack; of two packs with one name, the first counts.

    Args:
        roots: folders such as ComfyUI's `models/insightface`.

    Returns:
        What `InsightFaceDetector` takes, by name.
    """
    packs: dict[str, Path] = {}
    for root in roots:
        for folder in _subfolders(root / "models"):
            for place in (folder, *_subfolders(folder)):
                if source := detection_source(place):
                    packs.setdefault(folder.name, source)
    return packs


def places(roots: Iterable[Path], name: str) -> list[Path]:
    """Where a pack is looked for, for an error that says so."""
    return [place for root in roots for place in (root / "models" / name, root / "models" / name / "*")]


def detection_source(folder: Path) -> Path | None:
    """A folder's detection model, the folder itself if it has a manifest, or None."""
    files = (file for pattern in DETECTION_FILES for file in sorted(folder.glob(pattern)))
    return next(files, folder if (folder / MANIFEST).is_file() else None)


def _subfolders(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if path.is_dir())


def _choose(wanted: str, available: list[str]) -> list[str]:
    if wanted == AUTO:
        # onnxruntime's GPU build offers CUDA also where there is none.
        usable = [name for name in available if name != "CUDAExecutionProvider" or torch.cuda.is_available()]
        wanted = next((name for name in PREFERRED if name in usable), CPU)
    elif wanted not in available:
        logger.warning("%s is not offered by this onnxruntime (%s); using the CPU.", wanted, ", ".join(available))
        wanted = CPU
    return [wanted] if wanted == CPU else [wanted, CPU]
