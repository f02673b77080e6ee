"""Two face recognisers: the backbone, which the people of a picture are made of, and another that only measures."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniportrait_core.embedding.backbone import FaceBackbone, UnitShape

from ..config import Preset
from ..weights import in_floats


def new_backbone(preset: Preset) -> FaceBackbone:
    """The pack's IR backbone, thin; each stage has a width of its own, by which its file shows where stages begin."""
    stem, *widths = preset.backbone
    units, starts, before = [], [], stem
    for width, count in zip(widths, preset.units, strict=True):
        starts.append(len(units))
        units.append(UnitShape(before, width, width, 2, False))
        units += [UnitShape(width, width, width, 1, False)] * (count - 1)
        before = width
    return FaceBackbone(units, starts, preset.embedding)


class MeasuringNet(nn.Module):
    """A recogniser of another build than the backbone: ResNet's blocks (He et al. 2016) and means over parts of a face.

    A mean over the whole face, as in ResNet, forgets where things are, and people are told apart much worse by it.
    """

    IMAGE_SIZE = 112
    GRID = 3  # parts, both ways

    def __init__(self, widths: tuple[int, ...], embedding: int):
        super().__init__()
        pairs = zip((widths[0], *widths), widths, strict=False)
        blocks = [_Block(before, width, 2 if before != width else 1) for before, width in pairs]
        self.body = nn.Sequential(*_convolution(3, widths[0], 2), nn.ReLU(True), *blocks)
        # The last norm takes away what all faces have in common. Without it all embeddings begin with one direction.
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * self.GRID**2, embedding, bias=False), nn.BatchNorm1d(embedding)
        )
        self.dim = embedding

    def forward(self, faces: Tensor) -> Tensor:
        """
        Args:
            faces: aligned RGB faces, (batch, 3, 112, 112), values −1..1.

        Returns:
            Embeddings, (batch, embedding), not normalised.
        """
        return self.head(F.adaptive_avg_pool2d(self.body(faces), self.GRID).flatten(1))


class _Block(nn.Module):
    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        first, second = _convolution(before, width, stride), _convolution(width, width)
        self.change = nn.Sequential(*first, nn.ReLU(True), *second)
        same = before == width
        self.keep = nn.Identity() if same else nn.Sequential(nn.AvgPool2d(stride), *_convolution(before, width, side=1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.change(x) + self.keep(x))


def _convolution(before: int, width: int, stride: int = 1, side: int = 3) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, width, side, stride, side // 2, bias=False), nn.BatchNorm2d(width)


def new_measuring_net(preset: Preset) -> MeasuringNet:
    return MeasuringNet(preset.measure, preset.embedding)


def load_measuring_net(file: Path) -> MeasuringNet:
    """From its weights, whose shapes say how wide it is; float32, in evaluation mode."""
    tensors = in_floats(file)
    widths = [len(value) for key, value in tensors.items() if key.endswith("change.0.weight")]
    net = MeasuringNet(tuple(widths), len(tensors["head.0.weight"]))
    net.load_state_dict(tensors)
    return net.eval().requires_grad_(False)


class MarginHead(nn.Module):
    """CosFace (Wang et al. 2018): people as directions, each to be met with a margin. Thrown away after training."""

    def __init__(self, embedding: int, people: int, margin: float = 0.25, scale: float = 24.0):
        super().__init__()
        self.people = nn.Parameter(torch.randn(people, embedding) * 0.05)
        self.margin, self.scale = margin, scale

    def forward(self, embeddings: Tensor, people: Tensor, warm: float) -> Tensor:
        """The loss.

        Args:
            embeddings: (batch, embedding).
            people: their numbers, (batch,).
            warm: share of the margin, 0..1.
        """
        with torch.autocast(embeddings.device.type, enabled=False):  # half precision would blur small differences
            cosines = F.normalize(embeddings.float()) @ F.normalize(self.people).T
            cosines = cosines - warm * self.margin * F.one_hot(people, len(self.people))
            return F.cross_entropy(self.scale * cosines, people)
