"""Sources for `prepare`: small pictures with one to six known faces, and the detectors that know them."""

import io
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from standins.detector import FACES, photo, write_detector
from standins.yunet import write_yunet
from training.prepare.settings import Filters

SIDE = 192  # of the shorter side, in pixels
SMALL = Filters(min_size=128, min_face=12, max_people=5, min_sharpness=8.0)  # what is good enough here
GREY = 128


def group(people: int, side: int = SIDE) -> np.ndarray:
    """The group photo with the first so many of its six people, from left to right; the others' faces are grey."""
    picture = photo("group")
    for face in FACES["group"][people:]:
        left, top, right, bottom = (round(edge) for edge in face.box)
        picture[top - 20 : bottom + 20, left - 20 : right + 20] = GREY
    return smaller(picture, side)


def portrait(side: int = SIDE, blur: float = 0) -> np.ndarray:
    """The astronaut, alone."""
    picture = photo("astronaut")
    return smaller(cv2.GaussianBlur(picture, None, blur) if blur else picture, side)


def landscape(side: int = SIDE) -> np.ndarray:
    """A picture without a face."""
    rows, columns = np.mgrid[:side, : side * 3 // 2]
    return np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)


def smaller(picture: np.ndarray, side: int) -> np.ndarray:
    """With a shorter side of so many pixels."""
    scale = side / min(picture.shape[:2])
    size = [round(edge * scale) for edge in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def encoded(picture: np.ndarray, ending: str = "jpg", **options) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    kind = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[ending]
    Image.fromarray(picture).save(file, kind, **({"quality": 95} if kind != "PNG" else {}), **options)
    return file.getvalue()


def write_source(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def good_pictures(count: int) -> dict[str, bytes | str]:
    """So many pictures of one to five people, each of another brightness, with captions, in folders of their own."""
    files: dict[str, bytes | str] = {}
    for number in range(count):
        people = number % 5
        picture = group(people) if people else portrait()
        dimmed = cv2.convertScaleAbs(picture, alpha=1 - number / (4 * count))
        name = f"place{number % 3}/picture{number:03d}"
        files |= {f"{name}.jpg": encoded(dimmed), f"{name}.txt": f"picture {number} of {people or 1}"}
    return files


def scrfd(folder: Path) -> str:
    """A pack of insightface, as `--detector` wants it."""
    write_detector(folder / "det_10g.onnx")
    return f"insightface:{folder}"


def yunet(folder: Path) -> str:
    """YuNet's file, as `--detector` wants it."""
    write_yunet(folder / "face_detection_yunet_2023mar.onnx")
    return f"yunet:{folder / 'face_detection_yunet_2023mar.onnx'}"
