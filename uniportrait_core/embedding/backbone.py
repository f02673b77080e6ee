"""The IR face recognition backbone (improved residual network, CurricularFace weights).

Follows `curricular_face/backbone/model_irse.py` of the published code. Depth and widths are read from the weights, so
IR-18 to IR-101 (basic units) and IR-152, IR-200 (bottleneck units) all load.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..tensor_checks import check_shapes, layer_count


class UnitShape(NamedTuple):
    """Channels into, inside and out of one residual unit; its stride; whether it is a bottleneck."""

    in_channels: int
    mid_channels: int
    out_channels: int
    stride: int
    bottleneck: bool


class ResidualUnit(nn.Module):
    """Pre-normalised residual unit: the stride is in its last convolution and in the shortcut."""

    def __init__(self, shape: UnitShape, projected: bool):
        super().__init__()
        inp, mid, out, stride, bottleneck = shape
        if projected:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        else:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        head = [nn.BatchNorm2d(inp)]
        if bottleneck:
            head += [nn.Conv2d(inp, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.PReLU(mid)]
            head += [nn.Conv2d(mid, mid, 3, 1, 1, bias=False), nn.BatchNorm2d(mid), nn.PReLU(mid)]
            last = nn.Conv2d(mid, out, 1, stride, bias=False)
        else:
            head += [nn.Conv2d(inp, mid, 3, 1, 1, bias=False), nn.BatchNorm2d(mid), nn.PReLU(mid)]
            last = nn.Conv2d(mid, out, 3, stride, 1, bias=False)
        self.res_layer = nn.Sequential(*head, last, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class FaceBackbone(nn.Module):
    """IR backbone on aligned faces of 112×112 pixels."""

    IMAGE_SIZE = 112

    def __init__(self, units: list[UnitShape], stage_starts: list[int], embedding_dim: int = 512):
        """
        Args:
            units: the residual units in order.
            stage_starts: index of the first unit of each stage; the resolution halves there.
            embedding_dim: length of the final face embedding.
        """
        super().__init__()
        stem = units[0].in_channels
        self.stage_ends = tuple(start - 1 for start in stage_starts[1:]) + (len(units) - 1,)
        self.stage_channels = tuple(units[end].out_channels for end in self.stage_ends)
        self.input_layer = nn.Sequential(nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem))
        self.body = nn.Sequential(
            *(ResidualUnit(unit, projected=unit.in_channels != unit.out_channels) for unit in units)
        )
        self.embedding_dim = embedding_dim
        width, size = units[-1].out_channels, self.IMAGE_SIZE >> len(stage_starts)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(width * size * size, embedding_dim),
            nn.BatchNorm1d(embedding_dim, affine=False),
        )

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "FaceBackbone":
        """Build the network that `tensors` describe, and load them.

        Args:
            tensors: state dict of the published layout (`input_layer.…`, `body.<unit>.…`, `output_layer.…`).

        Returns:
            The backbone in evaluation mode, float32, on the CPU.

        Raises:
            KeyError, ValueError, RuntimeError: keys or shapes that do not make an IR backbone.
        """
        count = layer_count(tensors, "body.")
        check_shapes(tensors, {"output_layer.3.weight": "embedding features"})
        starts = [i for i in range(count) if i == 0 or f"body.{i}.shortcut_layer.0.weight" in tensors]
        units = [_unit_shape(tensors, i, stride=2 if i in starts else 1) for i in range(count)]
        with torch.device("meta"):
            model = cls(units, starts, embedding_dim=tensors["output_layer.3.weight"].shape[0])
        floats = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
        model.load_state_dict(floats, assign=True)
        return model.eval().requires_grad_(False)

    def forward(self, faces: Tensor) -> tuple[Tensor, list[Tensor]]:
        """
        Args:
            faces: aligned RGB faces, (batch, 3, 112, 112), values −1..1.

        Returns:
            The embedding (batch, 512), not normalised, and the map after each stage; for IR-101 (batch, 64, 56, 56),
            (batch, 128, 28, 28), (batch, 256, 14, 14) and (batch, 512, 7, 7).
        """
        x = self.input_layer(faces)
        stages = []
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in self.stage_ends:
                stages.append(x)
        return self.output_layer(x), stages


def _unit_shape(tensors: dict[str, Tensor], index: int, stride: int) -> UnitShape:
    first = f"body.{index}.res_layer.1.weight"
    sizes = check_shapes(tensors, {first: "mid in side side"})
    bottleneck = sizes["side"] == 1
    last = f"body.{index}.res_layer.{7 if bottleneck else 4}.weight"
    sizes = check_shapes(tensors, {last: "out mid side side"}, sizes)
    return UnitShape(sizes["in"], sizes["mid"], sizes["out"], stride, bottleneck)
