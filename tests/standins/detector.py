"""A stand-in face detector: insightface's interface, no trained weights.

Trained detectors may not be shipped, so the tests and the demo write this one instead. It is a matched filter: the
middle of every known face, cut out of the two photos that the installed packages carry, is correlated with the picture,
and a correlation near 1 is a face. Its ONNX file has the inputs and outputs of insightface's SCRFD with landmarks
(`det_10g.onnx` of the pack `buffalo_l`), so the real insightface loads, runs and decodes it like any other detector.

What it finds: the faces of `FACES`, anywhere in a picture, at the size that they have after insightface has fitted the
photo, or the photo with the published 25 % of grey on every side, into 640×640. The photo may be stored at another
size or compressed; a crop of it, which is fitted to another scale, has no faces, nor has a mirrored one. Landmarks are
exact where the photo is whole and within one detector pixel in x and y where it has been moved. As with a real
detector the channels have to be in order: with red and blue swapped there are no faces.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from insightface.data import get_image
from onnx import TensorProto, helper, numpy_helper
from skimage import data

DETECTION_SIZE = 640  # insightface fits every picture into a square of this many pixels
GREY_MARGIN = 0.25  # the published second try: this share of height and width on each side, filled with grey 128
STRIDE = 8  # pixels between the anchors that may fire
CELL = 2  # the filter works on the mean of 2×2 pixels
PATCH = 31  # side of a template in cells, odd
THRESHOLD, STEEPNESS = 0.8, 40.0  # score = sigmoid(STEEPNESS · (correlation − THRESHOLD))


@dataclass(frozen=True)
class Face:
    """A known face in photo pixels, (x, y) from the top left.

    Args:
        box: x1, y1, x2, y2: from the hairline to the chin, from cheek to cheek.
        landmarks: left eye, right eye (as seen in the picture), nose tip, left and right corner of the mouth.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]


PHOTOS: Mapping[str, Callable[[], np.ndarray]] = {
    "astronaut": data.astronaut,
    "group": lambda: get_image("t1", to_rgb=True),
}

# Read off the enlarged photos. The group stands from left to right; its largest box is the third.
FACES: Mapping[str, tuple[Face, ...]] = {
    "astronaut": (Face((180, 72, 269, 180), ((202.5, 100.5), (246.5, 102.5), (223, 127), (202.5, 139), (245, 140.5))),),
    "group": (
        Face((62, 262, 166, 394), ((86, 329), (131, 307.5), (119.5, 335.5), (114, 370.5), (148, 351))),
        Face((270, 150, 368, 266), ((290, 211.5), (319.5, 194), (303, 228), (313.5, 246.5), (341, 232))),
        Face((464, 274, 568, 414), ((491, 319), (538, 332), (509.5, 361), (484, 368.5), (539, 377))),
        Face((748, 350, 840, 479), ((760, 396.5), (803, 403), (778, 427), (767, 437.5), (810.5, 441))),
        Face((906, 66, 1002, 207), ((917.5, 117.5), (943.5, 115.5), (920, 151), (934.5, 172), (961.5, 167))),
        Face((1134, 266, 1226, 400), ((1150, 326.5), (1194.5, 323.5), (1167, 349), (1153.5, 366), (1197.5, 363))),
    ),
}


def photo(name: str) -> np.ndarray:
    """Return a photo of `PHOTOS` as RGB uint8 (height, width, 3), read from the installed packages."""
    return np.ascontiguousarray(PHOTOS[name]())


def pad_with_grey(image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Add the published grey margin to an image (height, width, 3); also return its width (left, top) in pixels."""
    top, left = (int(side * GREY_MARGIN) for side in image.shape[:2])
    return np.pad(image, ((top, top), (left, left), (0, 0)), constant_values=128), (left, top)


def write_detector(path: Path, faces: Mapping[str, tuple[Face, ...]] = FACES) -> None:
    """Write the detector's ONNX file, whole or not at all.

    Args:
        path: the file to write; its folder is made if need be.
        faces: for names of `PHOTOS`, the faces to find.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(_build(list(_templates(faces))).SerializeToString())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _fit(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit an RGB image into the detector's square as insightface does.

    Returns the mean of the channels per cell, float32 (DETECTION_SIZE / CELL, the same), and the scale in detector
    pixels per image pixel.
    """
    height, width = image.shape[:2]
    if height > width:
        fitted = (int(DETECTION_SIZE * width / height), DETECTION_SIZE)
    else:
        fitted = (DETECTION_SIZE, int(DETECTION_SIZE * height / width))
    square = np.zeros((DETECTION_SIZE, DETECTION_SIZE, 3), np.float32)
    square[: fitted[1], : fitted[0]] = cv2.resize(image, fitted)
    cells = DETECTION_SIZE // CELL
    luminance = ((square - 127.5) / 128).reshape(cells, CELL, cells, CELL, 3).mean(axis=(1, 3, 4))
    return luminance, fitted[1] / height


def _templates(faces: Mapping[str, tuple[Face, ...]]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield per face and size: the template (PATCH, PATCH) without mean and of norm 1, and the face's box (2, 2) and
    landmarks (5, 2) as (x, y) in detector pixels from the top left pixel of the template's middle cell."""
    for name, known in faces.items():
        original = photo(name)
        for image, offset in ((original, (0, 0)), pad_with_grey(original)):
            luminance, scale = _fit(image)
            for face in known:
                box = (np.array(face.box).reshape(2, 2) + offset) * scale
                landmarks = (np.array(face.landmarks) + offset) * scale
                x, y = (landmarks.mean(axis=0) / CELL).round().astype(int)
                half = PATCH // 2
                patch = luminance[y - half : y + half + 1, x - half : x + half + 1]
                patch = patch - patch.mean()
                origin = np.array((x, y)) * CELL
                yield patch / np.linalg.norm(patch), box - origin, landmarks - origin


def _build(templates: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> onnx.ModelProto:
    """Build the graph for pictures (1, 3, height, width) whose sides are multiples of 32.

    Per stride s of 8, 16, 32 there are n = 2 · height/s · width/s anchors, two per spot, row by row, and the outputs
    are, as in SCRFD: scores (n, 1) for each stride, then distances from the anchor to the left, top, right and bottom
    of the box (n, 4), then offsets to the five landmarks (n, 10), both in units of the stride.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(value: object, dtype: type = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"constant_{len(constants)}"))
        return constants[-1].name

    def node(op: str, *inputs: str, output: str = "", **attributes: object) -> str:
        output = output or f"{op.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    # Normalised cross-correlation with every template at every cell. Templates have no mean, so the picture's local
    # mean need not be taken off; the floor under its variance keeps flat areas from passing for faces.
    window = {"kernel_shape": [PATCH, PATCH], "pads": [PATCH // 2] * 4}
    colour = node("AveragePool", "input.1", kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    luminance = node("ReduceMean", colour, axes=[1])
    response = node("Conv", luminance, constant([[patch] for patch, _, _ in templates]), **window)
    mean, square_mean = (
        node("AveragePool", values, count_include_pad=1, **window)
        for values in (luminance, node("Mul", luminance, luminance))
    )
    variance = node("Max", node("Sub", square_mean, node("Mul", mean, mean)), constant(1e-3))
    correlation = node("Div", response, node("Sqrt", node("Mul", variance, constant(PATCH**2))))
    score = node("Sigmoid", node("Mul", node("Sub", correlation, constant(THRESHOLD)), constant(STEEPNESS)))
    # Skin is redder than it is blue.
    red_minus_blue = node("Conv", colour, constant(np.reshape([1, 0, -1], (1, 3, 1, 1))))
    reddish = node("Greater", node("AveragePool", red_minus_blue, count_include_pad=1, **window), constant(0.02))
    score = node("Mul", score, node("Cast", reddish, to=TensorProto.FLOAT))

    # A spot of the anchor grid takes the best of its 4×4 cells and of all templates; that choice, counted in
    # SpaceToDepth's order (row, column, template), looks up the constants for box and landmarks.
    block = STRIDE // CELL
    choices = node("SpaceToDepth", score, blocksize=block)
    best = node("ArgMax", choices, axis=1, keepdims=0)
    boxes, landmarks = [], []
    for cell in np.ndindex(block, block):
        origin = np.array(cell[::-1]) * CELL
        for _, box, points in templates:
            (left, top), (right, bottom) = (box + origin) / STRIDE
            boxes.append([-left, -top, right, bottom] * 2)
            landmarks.append([*((points + origin) / STRIDE).flat] * 2)
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

    def tensor(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [
        tensor(f"{output}_{stride}", [f"anchors_{stride}", width])
        for output, width in (("score", 1), ("bbox", 4), ("kps", 10))
        for stride in (8, 16, 32)
    ]
    picture = tensor("input.1", [1, 3, "height", "width"])
    graph = helper.make_graph(nodes, "matched_filter_face_detector", [picture], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
