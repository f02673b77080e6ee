"""Faces drawn on the photo that they were found in, and who has which part of a picture."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..faces.detection import Face
from .likeness import Likeness
from .routing_report import PictureReport, percent, report_picture

# Told apart by most colour-blind people (Okabe and Ito), as RGB.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178))
INK = (20, 20, 20)
USUAL_SIDE = 640  # a picture whose shorter side is this long has lines of 2 pixels


def draw_faces(photo: np.ndarray, faces: Sequence[Face], labels: Sequence[str], colours: Sequence[int]) -> np.ndarray:
    """A copy of the photo with box, landmarks and label of every face.

    Args:
        photo: RGB, (height, width, 3), uint8.
        faces: in pixels of the photo.
        labels: one per face, in ASCII.
        colours: one per face, a number of any size.

    Returns:
        (height, width, 3), uint8.
    """
    import cv2

    picture = np.ascontiguousarray(photo).copy()
    scale = max(min(photo.shape[:2]) / USUAL_SIDE, 0.5)
    line = max(round(2 * scale), 1)
    for face, label, number in zip(faces, labels, colours, strict=True):
        colour = COLOURS[number % len(COLOURS)]
        left, top, right, bottom = (int(side) for side in face.box.round())
        cv2.rectangle(picture, (left, top), (right, bottom), colour, line)
        for x, y in face.landmarks.round().astype(int).tolist():
            cv2.circle(picture, (x, y), line + 1, colour, -1, cv2.LINE_AA)
            cv2.circle(picture, (x, y), line + 1, INK, 1, cv2.LINE_AA)
        _draw_label(picture, label, (left, top), scale, line, colour)
    return picture


def draw_routing(picture: np.ndarray, shares: np.ndarray, labels: Sequence[str], opacity: float) -> np.ndarray:
    """A copy of the picture with everybody's part in their colour, and a legend.

    Args:
        picture: RGB, (height, width, 3), uint8.
        shares: of each spot for each person, (people, rows, columns), 0..1, over the whole picture.
        labels: one per person, in ASCII.
        opacity: of the colours where somebody has all of a spot, 0..1.

    Returns:
        (height, width, 3), uint8.
    """
    import cv2

    height, width = picture.shape[:2]
    spots = cv2.resize(np.moveaxis(shares, 0, -1), (width, height), interpolation=cv2.INTER_LINEAR)
    spots = spots.reshape(height, width, -1)
    colours = np.array([COLOURS[number % len(COLOURS)] for number in range(len(shares))], np.float32)
    cover = opacity * spots.sum(axis=-1, keepdims=True).clip(0, 1)
    blend = picture * (1 - cover) + opacity * spots @ colours
    drawn = np.ascontiguousarray(blend.round().clip(0, 255).astype(np.uint8))
    scale = max(min(height, width) / USUAL_SIDE, 0.5)
    line = max(round(2 * scale), 1)
    for number, label in enumerate(labels):
        colour = COLOURS[number % len(COLOURS)]
        _draw_label(drawn, label, (0, round(28 * scale) * number), scale, line, colour, below=True)
    return drawn


def draw_likeness(picture: np.ndarray, faces: Sequence[Face], likeness: Likeness) -> np.ndarray:
    """A copy of the picture, RGB, (height, width, 3), uint8, with everybody's score at their face."""
    nobody = len(likeness.faces)
    return draw_faces(
        picture, faces, likeness.labels, [nobody if owner is None else owner for owner in likeness.owners]
    )


def draw_report(
    picture: np.ndarray, shares: Tensor, faces: Sequence[Face], report: PictureReport, opacity: float
) -> np.ndarray:
    """As `draw_routing`, with everybody's share in the legend, and with the owners of the report at their faces."""
    own = report_picture(shares, [], 0).picture
    labels = [f"person {number}: {percent(share)}" for number, share in enumerate(own, start=1)]
    names = [f"person {owner + 1}: {percent(share)}" for owner, share in report.owners]
    drawn = draw_routing(picture, shares.numpy(), labels, opacity)
    return draw_faces(drawn, faces, names, [owner for owner, _ in report.owners])


def _draw_label(
    picture: np.ndarray,
    label: str,
    corner: tuple[int, int],
    scale: float,
    line: int,
    colour: tuple[int, int, int],
    below: bool = False,
) -> None:
    """On a plate above the corner; below it if so wanted, or where there is no room above."""
    import cv2

    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale
    (width, height), _ = cv2.getTextSize(label, font, size, line)
    gap = 2 * line
    left = min(max(corner[0], 0), max(picture.shape[1] - width - 2 * gap, 0))
    needed = height + 2 * gap
    bottom = corner[1] if corner[1] >= needed and not below else max(corner[1], 0) + needed
    plate = (left, bottom - needed), (left + width + 2 * gap, bottom)
    cv2.rectangle(picture, *plate, colour, -1)
    cv2.putText(picture, label, (left + gap, bottom - gap), font, size, INK, max(line // 2, 1), cv2.LINE_AA)
