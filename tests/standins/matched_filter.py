"""What the stand-in face detectors share: templates of the known faces, and a graph to correlate them with pictures.

A matched filter: the middle of every known face, cut out of the photos, is correlated with the picture, and a
correlation near 1 is a face.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .known_faces import DETECTION_SIZE, Face, fit, pad_with_grey, photo

STRIDE = 8  # pixels between the anchors that may fire
CELL = 2  # the filter works on the mean of 2×2 pixels
HALF_PATCH = 15  # cells of a template on each side of the middle one, for photos at full size
THRESHOLD, STEEPNESS = 0.8, 40.0  # score = sigmoid(STEEPNESS · (correlation − THRESHOLD))
VARIANCE_FLOOR = 1e-3  # of the picture around a cell: keeps flat areas from passing for faces
REDNESS = 0.02  # of skin: red minus blue, around a cell


@dataclass(frozen=True)
class Template:
    """A known face at one size.

    Args:
        patch: its middle, without mean and of norm 1, (cells, cells).
        box: left top and right bottom as (x, y) in pixels from the top left pixel of the patch's middle cell, (2, 2).
        landmarks: likewise, (5, 2).
    """

    patch: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray


def make_templates(faces: Mapping[str, tuple[Face, ...]], side: int) -> list[Template]:
    """The faces as a detector sees them when their photos are fitted into side×side pixels.

    At full size also as in the photos with the grey margin; at another, that would be the size of the photos at yet
    another side.
    """
    # In a small photo a large patch would hold the photo's edge, and a patch as small as the photo fits too much.
    half = round(HALF_PATCH * (side / DETECTION_SIZE) ** 0.5)
    templates = []
    for name, known in faces.items():
        original = photo(name)
        whole, padded = (original, (0, 0)), pad_with_grey(original)
        for image, offset in (whole, padded) if side == DETECTION_SIZE else (whole,):
            square, scale = fit(image, side)
            luminance = _luminance(square)
            for face in known:
                box = (np.array(face.box).reshape(2, 2) + offset) * scale
                landmarks = (np.array(face.landmarks) + offset) * scale
                x, y = (landmarks.mean(axis=0) / CELL).round().astype(int)
                patch = luminance[y - half : y + half + 1, x - half : x + half + 1]
                patch = patch - patch.mean()
                origin = np.array((x, y)) * CELL
                templates.append(Template(patch / np.linalg.norm(patch), box - origin, landmarks - origin))
    return templates


def window_of(templates: Sequence[Template]) -> tuple[int, dict[str, list[int]]]:
    """The number of cells of a template, and the attributes of a convolution with it at every cell."""
    side = len(templates[0].patch)
    return side**2, {"kernel_shape": [side, side], "pads": [side // 2] * 4}


def _luminance(square: np.ndarray) -> np.ndarray:
    """The mean of the channels per cell, float32 (cells, cells), of a square (pixels, pixels, 3) uint8."""
    cells = len(square) // CELL
    return ((square.astype(np.float32) - 127.5) / 128).reshape(cells, CELL, cells, CELL, 3).mean(axis=(1, 3, 4))


@dataclass
class Graph:
    """An ONNX graph that grows node by node; values go by name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, value: object, dtype: type = np.float32) -> str:
        """Add a constant and return its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"constant_{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, op: str, *inputs: str, output: str = "", **attributes: object) -> str:
        """Add a node and return the name of its output."""
        output = output or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The finished model, checked."""
        graph = helper.make_graph(self.nodes, "matched_filter_face_detector", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


def tensor(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """A float32 input or output of a model."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def write_model(path: Path, model: onnx.ModelProto) -> None:
    """Write an ONNX file, whole or not at all; its folder is made if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(model.SerializeToString())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
