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
    write_model,
)

STRIDES = (8, 16, 32)
BLOCK = STRIDE // CELL  # cells along a spot of the finest grid
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

    # A spot of the grid takes the best of its 4×4 cells and of all templates, counted (row, column, template).
    choices = BLOCK * BLOCK * len(templates)
    by_choice, reddish = _correlate(graph, templates)
    chosen = node("Softmax", node("Mul", by_choice, constant([CHOICE_STEEPNESS])), axis=1)

    def look_up(table: list[list[float]], weights: str = chosen) -> str:
        kernel = np.array(table).T[..., None, None]
        return node("Conv", weights, constant(kernel), kernel_shape=[1, 1])

    best = look_up([[1.0]] * choices, node("Mul", chosen, by_choice))
    score = node("Sigmoid", node("Mul", node("Sub", best, constant([THRESHOLD])), constant([STEEPNESS])))
    score = node("Mul", score, reddish)
    boxes, landmarks = [], []
    for cell in np.ndindex(BLOCK, BLOCK):
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
    """Normalised cross-correlation with every template at every cell of a spot, and 1 where a cell's surroundings are
    reddish.

    The cells of a spot are channels, (row, column): OpenCV is many times faster with many channels and small kernels
    than with one channel and large ones.

    Returns:
        Correlations (1, cells of a spot · templates, height/8, width/8), and (1, 1, height/8, width/8).
    """
    constant, node = graph.constant, graph.node
    cells, half = BLOCK * BLOCK, len(templates[0].patch) // 2
    size, spots = len(templates[0].patch) ** 2, {"kernel_shape": [STRIDE, STRIDE], "strides": [STRIDE, STRIDE]}
    reach = -(-half // BLOCK)
    window = {"kernel_shape": [2 * reach + 1] * 2, "pads": [reach] * 4}
    of_cell = np.kron(np.eye(cells).reshape(cells, 1, BLOCK, BLOCK), np.ones((CELL, CELL))) / (PIXEL_SCALE * CELL**2)
    to_luminance, to_redness = (of_cell * np.reshape(weights, (1, 3, 1, 1)) for weights in ([1 / 3] * 3, [-1, 0, 1]))
    luminance = node("Conv", "input", constant(to_luminance), constant([-PIXEL_MEAN / PIXEL_SCALE] * cells), **spots)
    redness = node("Conv", "input", constant(to_redness), **spots)

    average = constant(_by_cell(np.full((1, 2 * half + 1, 2 * half + 1), 1 / size), reach))
    patches = constant(_by_cell(np.stack([template.patch for template in templates]), reach))
    response = node("Conv", luminance, patches, **window)
    mean, square_mean, mean_redness = (
        node("Conv", values, average, **window) for values in (luminance, node("Mul", luminance, luminance), redness)
    )
    variance = node("Max", node("Sub", square_mean, node("Mul", mean, mean)), constant([VARIANCE_FLOOR]))
    for_all = constant(np.eye(cells).repeat(len(templates), axis=0)[..., None, None])
    norm = node("Conv", node("Sqrt", node("Mul", variance, constant([size]))), for_all, kernel_shape=[1, 1])
    reddish = node("Sigmoid", node("Mul", node("Sub", mean_redness, constant([REDNESS])), constant([1e4])))
    return node("Div", response, norm), node("ReduceMax", reddish, axes=[1], keepdims=1)


def _by_cell(patches: np.ndarray, reach: int) -> np.ndarray:
    """Kernels over spots for a patch around each cell of a spot.

    Args:
        patches: (patches, cells, cells), of odd size.
        reach: spots that a patch reaches to each side.

    Returns:
        (cells of a spot · patches, cells of a spot, 2 · reach + 1, 2 · reach + 1).
    """
    count, side, _ = patches.shape
    spots = 2 * reach + 1
    wide = np.zeros((BLOCK, BLOCK, count, spots * BLOCK, spots * BLOCK))
    for row, column in np.ndindex(BLOCK, BLOCK):
        top, left = reach * BLOCK + row - side // 2, reach * BLOCK + column - side // 2
        wide[row, column, :, top : top + side, left : left + side] = patches
    kernels = wide.reshape(-1, spots, BLOCK, spots, BLOCK).transpose(0, 2, 4, 1, 3)
    return kernels.reshape(-1, BLOCK * BLOCK, spots, spots)
