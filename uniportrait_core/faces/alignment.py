"""Aligning a face with the ArcFace template, as the published app does with insightface's `norm_crop`."""

import numpy as np

# Eyes, nose tip and mouth corners in a picture of 112×112 pixels (insightface's `arcface_dst`).
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
TEMPLATE_SIZE = 112


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift that bring `source` nearest to `target` (least squares; Umeyama 1991).

    Args:
        source, target: points (x, y), (points, 2).

    Returns:
        Affine matrix (2, 3).
    """
    # In the plane, a rotation with scale is a product with one complex number.
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    dz, dw = z - z.mean(), w - w.mean()
    turn = (dz.conj() @ dw) / (dz.conj() @ dz).real
    shift = w.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def align(photo: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Cut an aligned face out of a photo; what lies outside the photo is black.

    Args:
        photo: (height, width, 3), uint8.
        landmarks: eyes, nose tip, mouth corners in pixels of the photo, (5, 2).
        size: side of the result in pixels.

    Returns:
        (size, size, 3), uint8.
    """
    import cv2

    matrix = similarity(landmarks, ARCFACE_TEMPLATE * (size / TEMPLATE_SIZE))
    return cv2.warpAffine(photo, matrix, (size, size))
