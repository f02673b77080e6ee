"""Two face recognisers: the backbone, which the people of a picture are made of, and another that only measures."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniportrait_core.embedding.backbone import FaceBackbone, UnitShape

from ..config import Preset


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
    """A recogniser of another build than the backbone: large depthwise kernels, layer norms, mean pooling."""

    IMAGE_SIZE = 112

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], embedding: int):
        super().__init__()
        stages: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0])]
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if index:
                stages += [ChannelNorm(widths[index - 1]), nn.Conv2d(widths[index - 1], width, 2, 2)]
            stages += [_Block(width) for _ in range(depth)]
        self.body = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(widths[-1])
        # Without the last norm all embeddings begin with the same direction, which a margin between directions cannot
        # tell apart: the loss of the whole training stays what it was in the beginning.
        self.head = nn.Sequential(nn.Linear(widths[-1], embedding), nn.BatchNorm1d(embedding))

    def forward(self, faces: Tensor) -> Tensor:
        """
        Args:
            faces: aligned RGB faces, (batch, 3, 112, 112), values −1..1.

        Returns:
            Embeddings, (batch, embedding), not normalised.
        """
        return self.head(self.norm(self.body(faces).mean(dim=(2, 3))))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of a map."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class _Block(nn.Module):
    """Of ConvNeXt (Liu et al. 2022)."""

    def __init__(self, width: int):
        super().__init__()
        self.spread = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.gain = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(self.norm(self.spread(x).movedim(1, -1))) * self.gain
        return x + y.movedim(-1, 1)


def new_measuring_net(preset: Preset) -> MeasuringNet:
    small = preset.embedding < 64
    widths, depths = ((16, 16, 24), (1, 1, 1)) if small else ((48, 80, 128), (2, 2, 3))
    return MeasuringNet(widths, depths, preset.embedding)


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
