"""Finding the attention layers of a Stable Diffusion UNet in the order of the published weights."""

from collections.abc import Iterator, Sequence
from itertools import chain

from comfy.ldm.modules.attention import BasicTransformerBlock, SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...uniportrait_core.attention.adapter import IDLayer
from ...uniportrait_core.errors import UniPortraitError, named
from ...uniportrait_core.files.metadata import MINI_WORLD

SD15_LAYERS = 16  # with cross-attention
KINDS = {"MiniWorld": MINI_WORLD, "SD15": "Stable Diffusion 1.5", "SD20": "Stable Diffusion 2"}  # by class
STAGES = ("input_blocks", "middle_block", "output_blocks")
PRESETS = {
    "all": STAGES,
    "decoder only": ("output_blocks",),
    "middle and decoder": ("middle_block", "output_blocks"),
    "encoder and middle": ("input_blocks", "middle_block"),
    "encoder only": ("input_blocks",),
}
"""Choices of cross-attention layers: the stages of the UNet that they are in."""


def transformer_blocks(unet: UNetModel) -> Iterator[tuple[str, BasicTransformerBlock]]:
    """Transformer blocks with their path inside the UNet: input blocks, output blocks, then the middle block."""
    stages = chain(
        ((f"input_blocks.{i}", block) for i, block in enumerate(unet.input_blocks)),
        ((f"output_blocks.{i}", block) for i, block in enumerate(unet.output_blocks)),
        [("middle_block", unet.middle_block or ())],  # some small relatives of SDXL have none
    )
    for stage, block in stages:
        for j, layer in enumerate(block):
            if isinstance(layer, SpatialTransformer):
                for k, transformer in enumerate(layer.transformer_blocks):
                    yield f"{stage}.{j}.transformer_blocks.{k}", transformer


def cross_attentions(unet: UNetModel) -> list[nn.Module]:
    """The cross-attention modules (`attn2`), in the order of the published weights."""
    return [transformer.attn2 for _, transformer in transformer_blocks(unet)]


def self_attentions(unet: UNetModel) -> list[nn.Module]:
    """The self-attention modules (`attn1`), in the same order."""
    return [transformer.attn1 for _, transformer in transformer_blocks(unet)]


def preset_layers(unet: UNetModel, preset: str) -> list[int]:
    """Numbers of a preset's cross-attention layers, in the order of the published weights.

    Raises UniPortraitError where there is no such preset.
    """
    if preset not in PRESETS:
        raise UniPortraitError(
            f"layers is '{named(preset, 80)}', needed is one of {', '.join(PRESETS)}. Choose one of them on "
            "Apply ID Router."
        )
    blocks = enumerate(transformer_blocks(unet))
    return [index for index, (path, _) in blocks if path.split(".")[0] in PRESETS[preset]]


def check_unet(model: ModelPatcher, layers: Sequence[IDLayer], base: str, node: str, what: str = "weights") -> None:
    """See that a model's cross-attention layers are those that some weights were made for.

    Args:
        model: the diffusion model.
        layers: keys and values of all cross-attention layers.
        base: kind of model that they are for, in words.
        node: title of the node that was given the model, for the message.
        what: the weights are, likewise.

    Raises:
        UniPortraitError: another kind of diffusion model, or other layer sizes.
    """
    needed, found = [tuple(layer.to_k.shape) for layer in layers], _layer_shapes(model)
    if found != needed:
        raise UniPortraitError(
            f"The {what} are for {base} with {_summary(needed)}; the model at {node} is {_kind(model)} with "
            f"{_summary(found)}. Use {a_checkpoint_of(base)}."
        )


def a_checkpoint_of(base: str) -> str:
    """In words, for a message: "an SDXL checkpoint"."""
    if base == MINI_WORLD:
        return "Load Mini World"
    vowels = "AEFHILMNORSX" if base[:2].isupper() else "AEIOU"  # as abbreviations are spoken
    return f"{'an' if base[0] in vowels else 'a'} {base} checkpoint"


def check_layers(unet: nn.Module, node: str) -> None:
    """See that what is sampled is a U-Net with layers. Raises UniPortraitError where a node has replaced it."""
    if not hasattr(unet, "input_blocks"):
        raise UniPortraitError(
            f"The U-Net is of type {type(unet).__name__} while it is sampled, which has no attention layers to add "
            f"anything to. Take away the node that replaces the U-Net, before or after {node}."
        )


def check_sd15(model: ModelPatcher, node: str) -> None:
    """See that a model is of Stable Diffusion 1.5's kind, of any width, and takes nothing but a latent.

    Raises UniPortraitError for any other.
    """
    found = _layer_shapes(model)
    if len(found) != SD15_LAYERS or _kind(model) not in (KINDS["SD15"], MINI_WORLD):
        raise UniPortraitError(
            f"The model at {node} is {_kind(model)} with {_summary(found)}; needed is {KINDS['SD15']} with "
            f"{SD15_LAYERS} cross-attention layers. Use a Stable Diffusion 1.5 checkpoint."
        )
    channels = _input_channels(model)
    needed = model.get_model_object("latent_format").latent_channels
    if channels != needed:
        raise UniPortraitError(
            f"The model at {node} takes {channels} channels, as inpainting models do; a style picture goes with models "
            f"of {needed}. Use an ordinary Stable Diffusion 1.5 checkpoint; for inpainting, with Set Latent Noise Mask."
        )


def _input_channels(model: ModelPatcher) -> int:
    """Channels that a U-Net takes, those included that a weight patch adds to its first layer."""
    unet, patches = model.model.diffusion_model, model.patches.get("diffusion_model.input_blocks.0.0.weight", ())
    values = (patch[1] for patch in patches)
    added = (value[1][0].shape[1] for value in values if isinstance(value, tuple) and value[0] == "diff")
    return max([unet.in_channels, *added])


def _kind(model: ModelPatcher) -> str:
    """What the host takes a model for, in words."""
    names = [kind.__name__ for kind in type(model.model.model_config).__mro__]
    return next((KINDS[name] for name in names if name in KINDS), names[0])


def _layer_shapes(model: ModelPatcher) -> list[tuple[int, int]]:
    """(channels, width of the text) of all cross-attention layers; none in other kinds of diffusion models."""
    unet = model.model.diffusion_model
    if not isinstance(unet, UNetModel):
        return []
    return [(attn.to_k.out_features, attn.to_k.in_features) for attn in cross_attentions(unet)]


def _summary(layers: list[tuple[int, int]]) -> str:
    if not layers:
        return "no U-Net cross-attention layers"
    channels = sorted({channels for channels, _ in layers})
    contexts = sorted({context for _, context in layers})
    return f"{len(layers)} cross-attention layers of {channels} channels on a context of {contexts}"
