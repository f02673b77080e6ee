"""A stand-in face detector: insightface's interface, no trained weights.

Trained detectors may not be shipped, so the tests and the demo write this one instead, a matched filter of known faces
(`matched_filter.py`). Its ONNX file has the inputs and outputs of insightface's SCRFD with landmarks (`det_10g.onnx` of
the pack `buffalo_l`), so the real insightface loads, runs and decodes it like any other detector.

What it finds: the faces of `FACES`, anywhere in a picture, at the size that they have after insightface has fitted the
photo, or the photo with the published 25 % of grey on every side, into 640×640. The photo may be stored at another
size or compressed; a crop of it, which is fitted to another scale, has no faces, nor has a mirrored one (but fitted
into 384×384 the photo has nearly the size that it has with grey in 640×640, and some faces are found). Landmarks are
exact where the photo is whole and within one detector pixel in x and y where it has been moved. As with a real
detector the channels have to be in order: with red and blue swapped there are no faces.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from .known_faces import DETECTION_SIZE, FACES, GREY_MARGIN, PHOTOS, Face, pad_with_grey, photo
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

__all__ = ["DETECTION_SIZE", "FACES", "GREY_MARGIN", "PHOTOS", "Face", "pad_with_grey", "photo", "write_detector"]


def write_detector(path: Path, faces: Mapping[str, tuple[Face, ...]] = FACES, side: int = DETECTION_SIZE) -> None:
    """Write the detector's ONNX file, whole or not at all.

    Args:
        path: the file to write; its folder is made if need be.
        faces: for names of `PHOTOS`, the faces to find.
        side: the faces are found in photos that are fitted into side×side pixels; other than 640, only whole photos.
    """
    write_model(path, _build(make_templates(faces, side)))


def _build(templates: list[Template]) -> onnx.ModelProto:
    """Build the graph for pictures (1, 3, height, width) whose sides are multiples of 32.

    Per stride s of 8, 16, 32 there are n = 2 · height/s · width/s anchors, two per spot, row by row, and the outputs
    are, as in SCRFD: scores (n, 1) for each stride, then distances from the anchor to the left, top, right and bottom
    of the box (n, 4), then offsets to the five landmarks (n, 10), both in units of the stride.
    """
    graph = Graph()
    constant, node = graph.constant, graph.node
    size, window = window_of(templates)

    # Normalised cross-correlation with every template at every cell. Templates have no mean, so the picture's local
    # mean need not be taken off.
    colour = node("AveragePool", "input.1", kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    luminance = node("ReduceMean", colour, axes=[1])
    response = node("Conv", luminance, constant([[template.patch] for template in templates]), **window)
    mean, square_mean = (
        node("AveragePool", values, count_include_pad=1, **window)
        for values in (luminance, node("Mul", luminance, luminance))
    )
    variance = node("Max", node("Sub", square_mean, node("Mul", mean, mean)), constant(VARIANCE_FLOOR))
    correlation = node("Div", response, node("Sqrt", node("Mul", variance, constant(size))))
    score = node("Sigmoid", node("Mul", node("Sub", correlation, constant(THRESHOLD)), constant(STEEPNESS)))
    # Skin is redder than it is blue.
    red_minus_blue = node("Conv", colour, constant(np.reshape([1, 0, -1], (1, 3, 1, 1))))
    reddish = node("Greater", node("AveragePool", red_minus_blue, count_include_pad=1, **window), constant(REDNESS))
    score = node("Mul", score, node("Cast", reddish, to=TensorProto.FLOAT))

    # A spot of the anchor grid takes the best of its 4×4 cells and of all templates; that choice, counted in
    # SpaceToDepth's order (row, column, template), looks up the constants for box and landmarks.
    block = STRIDE // CELL
    choices = node("SpaceToDepth", score, blocksize=block)
    best = node("ArgMax", choices, axis=1, keepdims=0)
    boxes, landmarks = [], []
    for cell in np.ndindex(block, block):
        origin = np.array(cell[::-1]) * CELL
        for template in templates:
            (left, top), (right, bottom) = (template.box + origin) / STRIDE
            boxes.append([-left, -top, right, bottom] * 2)
            landmarks.append([*((template.landmarks + origin) / STRIDE).flat] * 2)
    top_score = node("Reshape", node("ReduceMax", choices, axes=[1]), constant([-1, 1], np.int64))
    node("Reshape", node("Concat", top_score, top_score, axis=1), constant([-1, 1], np.int64), output="score_8")
    node("Reshape", node("Gather", constant(boxes), best), constant([-1, 4], np.int64), output="bbox_8")
    node("Reshape", node("Gather", constant(landmarks), best), constant([-1, 10], np.int64), output="kps_8")

    # The coarser grids never fire.
    sides = node("Slice", node("Shape", "input.1"), *(constant([i], np.int64) for i in (2, 4)))
    for stride in (16, 32):
        spots = node("ReduceProd", node("Div", sides, constant(stride, np.int64)))
        anchors = node("Mul", spots, constant([2], np.int64))
        for output, width in (("score", 1), ("bbox", 4), ("kps", 10)):
            shape = node("Concat", anchors, constant([width], np.int64), axis=0)
            node("ConstantOfShape", shape, output=f"{output}_{stride}")

    outputs = [
        tensor(f"{output}_{stride}", [f"anchors_{stride}", width])
        for output, width in (("score", 1), ("bbox", 4), ("kps", 10))
        for stride in (8, 16, 32)
    ]
    return graph.model([tensor("input.1", [1, 3, "height", "width"])], outputs)
