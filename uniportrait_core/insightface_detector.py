"""Face detection by insightface. The library is imported when a detector is made, not before."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .errors import UniPortraitError
from .faces import Face

CPU = "CPUExecutionProvider"
PREFERRED = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider", CPU)
INPUT_SIZE = (640, 640)
MIN_CONFIDENCE = 0.5
DETECTOR_NAMES = ("det_*.onnx", "scrfd*.onnx")

logger = logging.getLogger("uniportrait")


class InsightFaceDetector:
    """SCRFD or RetinaFace detection with five landmarks, at 640×640 and confidence 0.5 as in the published app."""

    def __init__(self, folder: Path, provider: str = "auto"):
        """
        Args:
            folder: an insightface model pack, for example `models/insightface/models/buffalo_l`.
            provider: an execution provider of onnxruntime, or `auto` for the fastest that is there. One that does not
                work is replaced by the CPU, with a line in the log.

        Raises:
            UniPortraitError: insightface is not installed, or the pack has no detection model.
        """
        try:
            import onnxruntime
            from insightface.model_zoo import get_model
        except ImportError as error:
            raise UniPortraitError(
                f"Face detection needs a package that is not installed ({error}). Run `pip install insightface "
                "onnxruntime` in ComfyUI's Python, or give aligned 224×224 crops to Encode Face ID without a detector."
            ) from error
        file = _detection_file(folder)
        providers = _providers(provider, onnxruntime.get_available_providers())
        self._model = _load(get_model, file, providers)
        self._model.prepare(0, input_size=INPUT_SIZE, det_thresh=MIN_CONFIDENCE)

    def __call__(self, photo: np.ndarray) -> list[Face]:
        """Find faces in an RGB photo, (height, width, 3), uint8."""
        boxes, landmarks = self._model.detect(np.ascontiguousarray(photo[..., ::-1]))
        if landmarks is None:
            raise UniPortraitError(
                "This detection model gives no landmarks, which alignment needs. Choose a pack such as buffalo_l."
            )
        return [Face(box[:4], points, float(box[4])) for box, points in zip(boxes, landmarks, strict=True)]


def _load(get_model: Callable, file: Path, providers: list[str]) -> object:
    """The detection model as insightface has it, on the CPU where another provider does not work."""
    try:
        model = get_model(str(file), providers=providers, static_shape_sessions=False)
    except Exception as error:  # whatever a provider raises: drivers, missing libraries
        if providers == [CPU]:
            raise UniPortraitError(f"{file} cannot be loaded ({error}). Download the pack again.") from error
        logger.warning("%s does not work (%s); the face detector runs on the CPU.", providers[0], error)
        return _load(get_model, file, [CPU])
    if getattr(model, "taskname", None) != "detection":
        raise UniPortraitError(f"{file} is not a face detection model. Choose a pack such as buffalo_l.")
    used = model.session.get_providers()[0]
    if used != providers[0]:  # onnxruntime itself falls back without an error
        logger.warning("%s does not work here; the face detector runs on %s.", providers[0], used)
    return model


def _detection_file(folder: Path) -> Path:
    for pattern in DETECTOR_NAMES:
        if files := sorted(folder.glob(pattern)):
            return files[0]
    found = ", ".join(path.name for path in sorted(folder.glob("*"))) or "nothing"
    raise UniPortraitError(
        f"No detection model ({' or '.join(DETECTOR_NAMES)}) in {folder}, which holds {found}. "
        "Unpack insightface's buffalo_l.zip there."
    )


def _providers(wanted: str, available: list[str]) -> list[str]:
    if wanted == "auto":
        # onnxruntime's GPU build offers CUDA also where there is none.
        usable = [name for name in available if name != "CUDAExecutionProvider" or torch.cuda.is_available()]
        wanted = next(name for name in PREFERRED if name in usable)
    elif wanted not in available:
        logger.warning("%s is not offered by this onnxruntime (%s); using the CPU.", wanted, ", ".join(available))
        wanted = CPU
    return [wanted] if wanted == CPU else [wanted, CPU]
