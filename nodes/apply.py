"""IDRouterApply: a diffusion model that draws these people."""

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..uniportrait_core.attention import IDAttention, prepare
from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.identity import FaceID as People
from .lora import add_lora
from .sockets import CATEGORY, FaceID, UniPortrait, aliases
from .tap import IDTap, add_tap
from .unet import PRESETS, check_unet, cross_attentions, preset_layers
from .weights import Weights


class IDRouterApply(io.ComfyNode):
    """Patch a copy of a Stable Diffusion 1.5 model with ID attention, ID routing and the UniPortrait LoRA."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IDRouterApply",
            display_name="Apply ID Router",
            category=CATEGORY,
            description="Makes a Stable Diffusion 1.5 model draw the people in face_id, each in their own place. "
            "Combines with LoRA, ControlNet and patches that replace attention, in any order.",
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 1.5 model; it stays as it is."),
                UniPortrait.Input("uniportrait", tooltip="From Load UniPortrait."),
                FaceID.Input(
                    "face_id",
                    tooltip="One person from Encode Face ID, or several from Combine Face IDs; mixed or adjusted too.",
                ),
                io.Float.Input(
                    "id_scale",
                    default=0.7,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the faces, 0 to 2; 0.7 is the published value. Lower follows the prompt more, "
                    "0 switches ID attention off.",
                ),
                io.Float.Input(
                    "lora_scale",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Strength of the UniPortrait LoRA, 0 to 2; 1 is the published value, 0 leaves the model's "
                    "weights as they are. It is merged into the weights, so it works at every step.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the sampling, 0 to 1, after which ID attention begins. Later leaves the layout "
                    "to the prompt.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the sampling, 0 to 1, after which ID attention ends. Steps outside cost nothing.",
                ),
                io.Combo.Input(
                    "layers",
                    options=list(PRESETS),
                    default="all",
                    optional=True,
                    tooltip="Cross-attention layers that get ID attention. all is published; the decoder decides more "
                    "about looks, encoder and middle more about the layout. The LoRA works in all of them.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The patched copy, for a sampler.")],
            **aliases("uniportrait", "face id", "id router", "identity"),
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        uniportrait: Weights,
        face_id: People,
        id_scale: float,
        lora_scale: float,
        start_percent: float,
        end_percent: float,
        layers: str = "all",
    ) -> io.NodeOutput:
        _check(uniportrait, face_id, start_percent, end_percent)
        check_unet(model, uniportrait.faceid.layers)
        several = len(face_id) > 1
        patched = model.clone()
        if lora_scale:
            add_lora(patched, uniportrait.router.lora if several else uniportrait.faceid.lora, lora_scale)
        if id_scale and start_percent < end_percent:
            attention = _prepare(model, uniportrait, face_id, id_scale, layers)
            masks = [person.mask for person in face_id]
            add_tap(patched, IDTap(attention, masks, _sigmas(model, start_percent, end_percent)))
        return io.NodeOutput(patched)


def _prepare(
    model: ModelPatcher, weights: Weights, face_id: People, id_scale: float, preset: str
) -> dict[int, IDAttention]:
    """ID attention of a preset's layers, by their numbers."""
    unet = model.model.diffusion_model
    heads = [attention.heads for attention in cross_attentions(unet)]
    layers = weights.faceid.layers
    routers = weights.router.layers if len(face_id) > 1 else [None] * len(layers)
    return {i: prepare(layers[i], routers[i], face_id, id_scale, heads[i]) for i in preset_layers(unet, preset)}


def _check(weights: Weights, face_id: People, start: float, end: float) -> None:
    needed = weights.faceid.resampler.token_shape
    for number, person in enumerate(face_id, start=1):
        if person.cond.shape != needed or person.uncond.shape != needed:
            raise UniPortraitError(
                f"Person {number} of {len(face_id)} has tokens of shape {tuple(person.cond.shape)}, the loaded weights "
                f"need {needed}. Encode the photos again with the weights at Apply ID Router."
            )
    if len(face_id) > 1 and weights.router is None:
        raise UniPortraitError(
            f"face_id holds {len(face_id)} people, and no router is loaded to keep them apart. "
            "Choose uniportrait-router_sd15.bin at router on Load UniPortrait."
        )
    if start > end:
        raise UniPortraitError(
            f"start_percent {start} is after end_percent {end}. Set start_percent below end_percent on Apply ID Router."
        )


def _sigmas(model: ModelPatcher, start: float, end: float) -> tuple[float, float] | None:
    """Noise levels of a window, or None for the whole sampling, which then needs no look at the noise level."""
    if (start, end) == (0.0, 1.0):
        return None
    sampling = model.get_model_object("model_sampling")
    return sampling.percent_to_sigma(start), sampling.percent_to_sigma(end)
