"""The IR backbone against the published implementation, and networks of other depths against a plain reference."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import recipe
from uniportrait_core.embedding.backbone import FaceBackbone

PUBLISHED = "glint360k_curricular_face_r101_backbone.bin"


@dataclass(frozen=True)
class Layout:
    """A network: channels of the stem, channels and units of each stage, and whether units are bottlenecks."""

    stem: int
    stages: tuple[tuple[int, int], ...]
    bottleneck: bool = False

    def units(self) -> Iterator[tuple[str, int, int, int]]:
        """Name, channels in and out, and stride of every residual unit."""
        number, width = 0, self.stem
        for channels, units in self.stages:
            for unit in range(units):
                yield f"body.{number}", width, channels, 1 if unit else 2
                number, width = number + 1, channels

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Keys and shapes in the published layout."""
        table = {"input_layer.0.weight": (self.stem, 3, 3, 3), "input_layer.2.weight": (self.stem,)}
        table |= norm("input_layer.1", self.stem)
        for name, channels_in, channels_out, _ in self.units():
            if channels_in != channels_out:
                table[f"{name}.shortcut_layer.0.weight"] = (channels_out, channels_in, 1, 1)
                table |= norm(f"{name}.shortcut_layer.1", channels_out)
            kernels = (1, 3, 1) if self.bottleneck else (3, 3)
            middle = channels_out // 4 if self.bottleneck else channels_out
            widths = (channels_in, *(middle for _ in kernels[1:]), channels_out)
            table |= norm(f"{name}.res_layer.0", channels_in)
            for i, kernel in enumerate(kernels):
                table[f"{name}.res_layer.{1 + 3 * i}.weight"] = (widths[i + 1], widths[i], kernel, kernel)
                table |= norm(f"{name}.res_layer.{2 + 3 * i}", widths[i + 1])
                if i + 1 < len(kernels):
                    table[f"{name}.res_layer.{3 + 3 * i}.weight"] = (widths[i + 1],)
        width, side = self.stages[-1][0], 112 >> len(self.stages)
        table |= norm("output_layer.0", width)
        table |= {"output_layer.3.weight": (24, width * side * side), "output_layer.3.bias": (24,)}
        return table | {k: s for k, s in norm("output_layer.4", 24).items() if "running" in k or "num_" in k}


# The published layouts with narrower layers, the deepest with fewer of them; the last has fewer stages than any.
LAYOUTS = {
    "IR-18": Layout(8, ((8, 2), (16, 2), (24, 2), (32, 2))),
    "IR-50": Layout(8, ((8, 3), (12, 4), (16, 14), (20, 3))),
    "IR-152": Layout(8, ((16, 2), (24, 3), (32, 4), (40, 2)), bottleneck=True),
    "three stages": Layout(6, ((8, 1), (12, 2), (16, 1))),
}


def norm(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{prefix}.{leaf}": (width,) for leaf in leaves} | {f"{prefix}.num_batches_tracked": ()}


def reference(layout: Layout, weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What a network of a known layout gives: its embedding, and the map after each stage."""

    def conv(x: Tensor, key: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{key}.weight"]
        return F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def normed(x: Tensor, key: str) -> Tensor:
        mean, var, gain, bias = (
            weights.get(f"{key}.{leaf}") for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, gain, bias)

    def prelu(x: Tensor, key: str) -> Tensor:
        return F.prelu(x, weights[f"{key}.weight"])

    x = prelu(normed(conv(x, "input_layer.0"), "input_layer.1"), "input_layer.2")
    maps = {}
    for name, channels_in, channels_out, stride in layout.units():
        if channels_in == channels_out:
            shortcut = x[..., ::stride, ::stride]
        else:
            shortcut = normed(conv(x, f"{name}.shortcut_layer.0", stride), f"{name}.shortcut_layer.1")
        x = normed(x, f"{name}.res_layer.0")
        last = 7 if layout.bottleneck else 4
        for i in range(1, last, 3):
            x = prelu(
                normed(conv(x, f"{name}.res_layer.{i}"), f"{name}.res_layer.{i + 1}"), f"{name}.res_layer.{i + 2}"
            )
        x = shortcut + normed(conv(x, f"{name}.res_layer.{last}", stride), f"{name}.res_layer.{last + 1}")
        maps[x.shape[-1]] = x  # the last map of each size
    flat = normed(x, "output_layer.0").flatten(1)
    embedding = F.linear(flat, weights["output_layer.3.weight"], weights["output_layer.3.bias"])
    return normed(embedding, "output_layer.4"), list(maps.values())


def test_ir101_known_answers():
    backbone = FaceBackbone.from_tensors(recipe.weights("golden.face101", recipe.shapes("checkpoint")[PUBLISHED]))
    embedding, stages = backbone(recipe.noise("face112", (1, 3, 112, 112)).clamp(-1, 1))
    wanted = recipe.golden("backbone_ir101")
    assert recipe.relative_error(embedding, wanted["embedding"]) <= 1e-5
    for i, stage in enumerate(stages, start=1):
        assert recipe.relative_error(stage, wanted[f"stage{i}"]) <= 1e-5
    assert backbone.stage_channels == (64, 128, 256, 512)


@pytest.mark.parametrize("name", LAYOUTS)
def test_depth_and_width_are_read_from_the_weights(name):
    layout = LAYOUTS[name]
    weights = recipe.weights(name, layout.shapes())
    faces = recipe.noise("faces", (1, 3, 112, 112)).clamp(-1, 1)
    backbone = FaceBackbone.from_tensors(weights)
    embedding, stages = backbone(faces)
    wanted_embedding, wanted_stages = reference(layout, weights, faces)
    assert recipe.relative_error(embedding, wanted_embedding) <= 1e-5
    assert [stage.shape for stage in stages] == [
        (1, channels, 56 >> i, 56 >> i) for i, (channels, _) in enumerate(layout.stages)
    ]
    for stage, wanted in zip(stages, wanted_stages, strict=True):
        assert recipe.relative_error(stage, wanted) <= 1e-5
    assert backbone.stage_channels == tuple(channels for channels, _ in layout.stages)


def test_half_precision_weights_make_a_float32_network_that_needs_no_gradient():
    weights = recipe.weights("IR-18", LAYOUTS["IR-18"].shapes())
    halves = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    backbone = FaceBackbone.from_tensors(halves)
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}
    assert not backbone.training and not any(parameter.requires_grad for parameter in backbone.parameters())


@pytest.mark.parametrize("key", ["body.3.res_layer.3.weight", "output_layer.4.running_var"])
def test_a_missing_tensor_is_named(key):
    weights = recipe.weights("IR-18", LAYOUTS["IR-18"].shapes())
    del weights[key]
    with pytest.raises(RuntimeError, match=key):
        FaceBackbone.from_tensors(weights)


def test_a_squeeze_and_excitation_network_is_refused():
    weights = recipe.weights("IR-18", LAYOUTS["IR-18"].shapes())
    weights["body.0.res_layer.se_block.fc1.weight"] = torch.zeros(1, 8, 1, 1)
    with pytest.raises(RuntimeError, match="se_block"):
        FaceBackbone.from_tensors(weights)
