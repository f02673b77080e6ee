"""What paper and brush do to a drawing, after it is drawn."""

import cv2
import numpy as np

from .dice import Dice


def on_paper(pixels: np.ndarray, style: str, seed: str) -> np.ndarray:
    """Put a drawing on its style's paper; grain and strokes are in shares of the picture, so that sizes agree.

    Args:
        pixels: RGB, (height, width, 3), uint8.
    """
    finish = _FINISHES.get(style)
    if finish is None:
        return pixels
    noise = np.random.RandomState(int(Dice("paper", seed).between(0, 2**31)))
    return finish(pixels.astype(np.float32), noise).clip(0, 255).round().astype(np.uint8)


def _grain(noise: np.random.RandomState, shape: tuple[int, ...], cells: int) -> np.ndarray:
    """Smooth noise around 0 with `cells` bumps down the picture, (height, width)."""
    height, width = shape[:2]
    coarse = noise.standard_normal((cells, max(round(cells * width / height), 1))).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _pencil(pixels: np.ndarray, noise: np.random.RandomState) -> np.ndarray:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width] / height
    wobble = 0.012 * _grain(noise, pixels.shape, 12)
    hatching = np.sin((x + y + wobble) * 2 * np.pi * 42)[..., None]
    dark = 1 - pixels / 255
    return pixels + 18 * dark * hatching + 2.5 * _grain(noise, pixels.shape, 64)[..., None]


def _watercolour(pixels: np.ndarray, noise: np.random.RandomState) -> np.ndarray:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    shift = 0.0045 * height
    bent = cv2.remap(
        pixels,
        x + shift * _grain(noise, pixels.shape, 14),
        y + shift * _grain(noise, pixels.shape, 14),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    pools = 1 - 0.035 * _grain(noise, pixels.shape, 9)[..., None] - 0.02 * _grain(noise, pixels.shape, 48)[..., None]
    return 252 - (252 - bent) * pools


_FINISHES = {"pencil sketch": _pencil, "watercolour": _watercolour}
