"""Face detection by YuNet, which OpenCV brings along. The library is imported when a detector is made, not before."""

from pathlib import Path

import numpy as np

from ..errors import UniPortraitError, named, reason
from ..ordinary_file import check_ordinary
from .detection import Face
from .trial import survives

INPUT_SIZE = (640, 640)  # the published file's fixed size; OpenCV's newer engines refuse any other
OLDEST = (4, 10)  # loads models from memory
# What the class below does with a file, for a trial.
TRIAL = f"""
import sys, cv2, numpy as np
model = np.fromfile(sys.argv[1], np.uint8)
cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), {INPUT_SIZE}).detect(np.zeros((640, 640, 3), np.uint8))
"""
SOURCE = "https://huggingface.co/opencv/face_detection_yunet"


class YuNetDetector:
    """YuNet as OpenCV's model zoo has it since 2023: boxes and five landmarks, on the CPU."""

    def __init__(self, file: Path):
        """
        Args:
            file: `face_detection_yunet_2023mar.onnx`, or a later one with the same outputs.

        Raises:
            UniPortraitError: OpenCV is not installed, or the file cannot be read or is not YuNet.
        """
        try:
            import cv2
            from cv2 import FaceDetectorYN
        except ImportError as error:
            raise _too_old(str(error)) from error
        if tuple(map(int, cv2.__version__.split(".")[:2])) < OLDEST:
            raise _too_old(f"found is {cv2.__version__}")
        model = _read(file)
        if not survives(TRIAL, file):
            raise UniPortraitError(
                f"{named(file)} ({model.size:,} bytes) is so damaged that it ends the program that reads it, needed is "
                f"YuNet. Download face_detection_yunet_2023mar.onnx again, from {SOURCE}."
            )
        try:
            # From memory, since OpenCV opens no path with other than ASCII characters on Windows.
            self._model = FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), INPUT_SIZE)
            # That a model has other outputs than YuNet shows only when it runs.
            self._model.detect(np.zeros((*INPUT_SIZE, 3), np.uint8))
        except cv2.error as error:
            raise UniPortraitError(
                f"{named(file)} ({model.size:,} bytes) is not a YuNet model that OpenCV {cv2.__version__} can run "
                f"({reason(getattr(error, 'err', None) or error)}). Download face_detection_yunet_2023mar.onnx again, "
                f"from {SOURCE}."
            ) from error

    def __call__(self, picture: np.ndarray, min_confidence: float) -> list[Face]:
        """Find the faces of an RGB picture, (640, 640, 3), uint8, of which YuNet is at least `min_confidence` sure."""
        self._model.setScoreThreshold(min_confidence)
        _, found = self._model.detect(np.ascontiguousarray(picture[..., ::-1]))
        return [] if found is None else [_face(row) for row in found]


def _too_old(found: str) -> UniPortraitError:
    return UniPortraitError(
        f"Face detection with YuNet needs OpenCV 4.10 or later, which is not there ({found}). "
        "Run `pip install --upgrade opencv-python` in ComfyUI's Python."
    )


def _face(row: np.ndarray) -> Face:
    """A face from OpenCV's left, top, width, height, five landmarks and confidence, (15,).

    OpenCV names the person's right eye first, which is the left one as seen: the order that `Face` has.
    """
    left_top, size = row[:2], row[2:4]
    return Face(np.concatenate([left_top, left_top + size]), row[4:14].reshape(5, 2), float(row[14]))


def _read(file: Path) -> np.ndarray:
    try:
        check_ordinary(file)
        return np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise UniPortraitError(
            f"{named(file)} cannot be read ({error.strerror}). Put face_detection_yunet_2023mar.onnx there, from "
            f"{SOURCE}."
        ) from error
