"""Face detection by a small network that marks the centres of faces (after CenterNet, Zhou et al. 2019).

Its weights are for drawn faces, those of the mini world.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UniPortraitError, named, reason
from ..ordinary_file import check_ordinary
from ..tensor_checks import check_numbers
from .detection import CANVAS, Face

INPUT = 160  # the canvas is shrunk to this side, in pixels
STRIDE = 4
OUTPUTS = 1 + 4 + 10  # how sure, box, landmarks


class CentreNet(nn.Module):
    """For every spot of a picture: whether a face's centre is there, and where its box and landmarks are then."""

    def __init__(self, width: int = 24):
        super().__init__()
        widths = (width, width * 3 // 2, 2 * width, 3 * width)
        self.down = nn.ModuleList(_convolutions(before, out) for before, out in zip((3, *widths), widths, strict=False))
        self.across = nn.ModuleList(nn.Conv2d(out, 2 * width, 1) for out in widths[1:])
        self.head = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.ReLU(True), nn.Conv2d(2 * width, OUTPUTS, 1)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """
        Args:
            pictures: RGB, (batch, 3, height, width), −1..1; multiples of 16.

        Returns:
            (batch, 15, height / 4, width / 4): a logit; left, top, right, bottom of the box; x and y of five landmarks;
            places relative to the spot's middle, in spots of 4 pixels, divided by 4.
        """
        maps, x = [], pictures
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        merged = self.across[-1](maps[-1])
        for lateral, level in zip(reversed(self.across[:-1]), reversed(maps[1:-1]), strict=True):
            merged = F.interpolate(merged, size=level.shape[-2:], mode="nearest") + lateral(level)
        return self.head(merged)


def _convolutions(before: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inp, stride in ((before, 2), (out, 1)):
        layers += [nn.Conv2d(inp, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True)]
    return nn.Sequential(*layers)


class CentreDetector:
    """`CentreNet` as a face detector, on the CPU."""

    def __init__(self, file: Path):
        """
        Args:
            file: its weights.

        Raises:
            UniPortraitError: the file is missing, or holds something else.
        """
        try:
            check_ordinary(file)
            tensors = load_file(file)
            check_numbers(tensors)
            tensors = {key: value.float() for key, value in tensors.items()}
            self._net = CentreNet(tensors["down.0.0.weight"].shape[0])
            self._net.load_state_dict(tensors)
        except Exception as error:
            raise UniPortraitError(
                f"{named(file)} cannot be read as the detector of drawn faces ({reason(error)}). Get this file "
                "of the mini world again."
            ) from error
        self._net.eval().requires_grad_(False)

    def __call__(self, picture: np.ndarray, min_confidence: float) -> list[Face]:
        """See `detection.Detector`."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None].float()
        shrunk = F.interpolate(pixels, size=(INPUT, INPUT), mode="area") / 127.5 - 1
        return decode(self._net(shrunk)[0], min_confidence, picture.shape[0] / INPUT)


def decode(maps: Tensor, min_confidence: float, scale: float = CANVAS / INPUT) -> list[Face]:
    """Faces from the network's maps of one picture, (15, height, width); the surest first.

    Args:
        scale: from pixels of the network's input to those of the picture.
    """
    sure = maps[0].sigmoid()
    peaks = (sure == F.max_pool2d(sure[None, None], 3, 1, 1)[0, 0]) & (sure >= min_confidence)
    faces = []
    for y, x in peaks.nonzero().tolist():
        middle = torch.tensor([x + 0.5, y + 0.5])
        points = (maps[1:, y, x].reshape(-1, 2) * 4 + middle) * STRIDE * scale
        faces.append(Face(points[:2].reshape(4).numpy(), points[2:].numpy(), float(sure[y, x])))
    return sorted(faces, key=lambda face: -face.confidence)
