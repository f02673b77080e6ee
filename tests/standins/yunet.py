"""A stand-in face detector: YuNet's interface, no trained weights.

A matched filter of known faces (`matched_filter.py`), as `detector.py` is. Its ONNX file has the inputs and outputs of
OpenCV's `face_detection_yunet_2023mar.onnx`, or of `face_detection_yunet_2026may.onnx` without the fixed size, so the
real `cv2.FaceDetectorYN` loads, runs and decodes it. It finds the same faces at the same places as `detector.py` does.

Only operators that OpenCV's own engines have, from 4.10 to 5: tables are looked up by convolutions with one-hot or
constant kernels, and the best choice is made by a steep softmax.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from .known_faces import DETECTION_SIZE, FACES, Face
from .matched_filter import (
    CELL,
    REDNESS,
    STEEPNESS,
    STRIDE,
    THRESHOLD,
    VARIANCE_FLOOR,
    Graph,
    Template,
    make_templates,
    tensor,
    window_of,
    write_model,
)

STRIDES = (8, 16, 32)
OUTPUTS = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))  # and the number of values per spot
PIXEL_SCALE, PIXEL_MEAN = 128, 127.5  # pixels come as 0..255, the templates are of (pixel − mean) / scale
CHOICE_STEEPNESS = 2000.0  # correlations that differ by 0.002 weigh 1 to 55


def write_yunet(
    path: Path, faces: Mapping[str, tuple[Face, ...]] = FACES, side: int = DETECTION_SIZE, static: bool = True
) -> None:
    """Write the detector's ONNX file, whole or not at all.

    Args:
        path: the file to write; its folder is made if need be.
        faces: for names of `PHOTOS`, the faces to find.
        side: the faces are found in photos that are fitted into side×side pixels; other than 640, only whole photos.
        static: the input is 640×640; otherwise height and width are symbolic, for multiples of 32.
    """
    write_model(path, _build(make_templates(faces, side), static))


def _build(templates: list[Template], static: bool) -> onnx.ModelProto:
    """Build the graph for pictures (1, 3, height, width) in BGR, 0..255.

    Per stride s of 8, 16, 32 there are n = height/s · width/s spots, row by row, and the outputs are, as in YuNet, two
    scores (1, n, 1), of which OpenCV takes the geometric mean, the box (1, n, 4) as its middle from the spot and the
    logarithms of its sides, and the landmarks (1, n, 10) from the spot, all in units of the stride.
    """
    graph = Graph()
    constant, node = graph.constant, graph.node

    def output(values: str, name: str, columns: int) -> None:
        rows = node("Transpose", values, perm=[0, 2, 3, 1])
        node("Reshape", rows, constant([1, -1, columns], np.int64), output=name)

    correlation, reddish = _correlate(graph, templates)

    # A spot of the grid takes the best of its 4×4 cells and of all templates, counted (row, column, template).
    block = STRIDE // CELL
    choices = block * block * len(templates)
    one_hot = np.eye(choices).reshape(choices, block, block, len(templates)).transpose(0, 3, 1, 2)
    by_choice = node("Conv", correlation, constant(one_hot), kernel_shape=[block, block], strides=[block, block])
    chosen = node("Softmax", node("Mul", by_choice, constant([CHOICE_STEEPNESS])), axis=1)

    def look_up(table: list[list[float]], weights: str = chosen) -> str:
        kernel = np.array(table).T[..., None, None]
        return node("Conv", weights, constant(kernel), kernel_shape=[1, 1])

    best = look_up([[1.0]] * choices, node("Mul", chosen, by_choice))
    score = node("Sigmoid", node("Mul", node("Sub", best, constant([THRESHOLD])), constant([STEEPNESS])))
    score = node("Mul", score, node("MaxPool", reddish, kernel_shape=[block, block], strides=[block, block]))
    boxes, landmarks = [], []
    for cell in np.ndindex(block, block):
        origin = np.array(cell[::-1]) * CELL
        for template in templates:
            left_top, right_bottom = (template.box + origin) / STRIDE
            boxes.append([*((left_top + right_bottom) / 2), *np.log(right_bottom - left_top)])
            landmarks.append([*((template.landmarks + origin) / STRIDE).flat])
    for name, values in (("cls", score), ("obj", score), ("bbox", look_up(boxes)), ("kps", look_up(landmarks))):
        output(values, f"{name}_{STRIDE}", dict(OUTPUTS)[name])

    # The coarser grids never fire.
    for stride in STRIDES[1:]:
        for name, columns in OUTPUTS:
            zeros = constant(np.zeros((columns, 3, 1, 1)))
            output(
                node("Conv", "input", zeros, kernel_shape=[1, 1], strides=[stride, stride]), f"{name}_{stride}", columns
            )

    height, width = (DETECTION_SIZE, DETECTION_SIZE) if static else ("height", "width")
    outputs = [
        tensor(f"{name}_{stride}", [1, (DETECTION_SIZE // stride) ** 2 if static else f"spots_{stride}", columns])
        for name, columns in OUTPUTS
        for stride in STRIDES
    ]
    return graph.model([tensor("input", [1, 3, height, width])], outputs)


def _correlate(graph: Graph, templates: list[Template]) -> tuple[str, str]:
    """Normalised cross-correlation with every template at every cell, and 1 where it is reddish around the cell."""
    constant, node = graph.constant, graph.node
    cells = {"kernel_shape": [CELL, CELL], "strides": [CELL, CELL]}
    luminance_kernel = np.full((1, 3, CELL, CELL), 1 / (PIXEL_SCALE * 3 * CELL**2))
    luminance = node("Conv", "input", constant(luminance_kernel), constant([-PIXEL_MEAN / PIXEL_SCALE]), **cells)
    redness_kernel = np.reshape([-1, 0, 1], (1, 3, 1, 1)) * np.ones((CELL, CELL)) / (PIXEL_SCALE * CELL**2)
    redness = node("Conv", "input", constant(redness_kernel), **cells)

    size, window = window_of(templates)
    average = constant(np.full((1, 1, *window["kernel_shape"]), 1 / size))
    response = node("Conv", luminance, constant([[template.patch] for template in templates]), **window)
    mean, square_mean, mean_redness = (
        node("Conv", values, average, **window) for values in (luminance, node("Mul", luminance, luminance), redness)
    )
    variance = node("Max", node("Sub", square_mean, node("Mul", mean, mean)), constant([VARIANCE_FLOOR]))
    correlation = node("Div", response, node("Sqrt", node("Mul", variance, constant([size]))))
    reddish = node("Sigmoid", node("Mul", node("Sub", mean_redness, constant([REDNESS])), constant([1e4])))
    return correlation, reddish
