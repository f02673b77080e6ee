"""UniPortraitApplyStyle: a diffusion model that draws in the look and layout of a style picture."""

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import io

from ..uniportrait_core.attention import prepare
from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.shared_attention import logit_shift
from .replay import KEY, Replay, add_replay
from .sharing import NODE, SharedAttention, add_sharing
from .sockets import CATEGORY, Style, aliases
from .style import Style as StylePicture
from .style import StyleTokens
from .tap import IDTap, add_tap
from .unet import check_sd15, check_unet, cross_attentions


class UniPortraitApplyStyle(io.ComfyNode):
    """Patch a copy of a Stable Diffusion 1.5 model with shared self-attention and a plain IP-Adapter."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitApplyStyle",
            display_name=NODE,
            category=CATEGORY,
            description="Makes a Stable Diffusion 1.5 model draw in the look and composition of a style picture; "
            "faces come from Apply ID Router, before or after.",
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 1.5 model; it stays as it is."),
                Style.Input("style", tooltip="From Style Reference, whose latent goes to the sampler."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How much the pictures look at the style picture, 0 to 4: a factor on its published weight "
                    "in self-attention, which is 1 (a logit shift of −0.5). 0 shares nothing.",
                ),
                io.Float.Input(
                    "ip_scale",
                    default=0.7,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="With an IP-Adapter at Style Reference: its strength, 0 to 2; 0.7 is the published value.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The patched copy, for a sampler.")],
            **aliases("uniportrait", "style transfer", "style aligned", "shared attention", "ip adapter"),
        )

    @classmethod
    def execute(cls, model: ModelPatcher, style: StylePicture, strength: float, ip_scale: float) -> io.NodeOutput:
        check_sd15(model, NODE)
        if model.get_wrappers(WrappersMP.PREDICT_NOISE, KEY):
            raise UniPortraitError(
                "The model at Apply Style has passed an Apply Style already, and there is room for one style picture. "
                "Connect the model from before it."
            )
        patched = model.clone()
        add_replay(patched, Replay(style))
        if strength:
            add_sharing(patched, SharedAttention(logit_shift(strength)))
        if style.tokens and ip_scale:
            add_ip_attention(patched, style.tokens, ip_scale)
        return io.NodeOutput(patched)


def add_ip_attention(model: ModelPatcher, style: StyleTokens, scale: float) -> None:
    """Let the cross-attention layers of `model`, which the caller has cloned, see a picture beside the text.

    Raises:
        UniPortraitError: the IP-Adapter is not for this model.
    """
    check_unet(model, style.layers, NODE)
    heads = [attention.heads for attention in cross_attentions(model.model.diffusion_model)]
    attention = {
        number: prepare(layer, None, (style.tokens,), scale, heads[number]) for number, layer in enumerate(style.layers)
    }
    add_tap(model, IDTap(attention, masks=[], node=NODE), key=f"{KEY}_tokens")
