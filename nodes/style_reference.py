"""A style picture: put before the pictures to draw, looked at by them, and taken out again."""

from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from comfy_api.latest import io
from torch import Tensor

from ..host.inputs import checked
from ..host.style.ddim import invert_picture, noise_picture
from ..host.style.ip_attention import APPLY, add_ip_attention, check_ip_adapter, style_tokens
from ..host.style.override import SharedAttention, add_sharing
from ..host.style.picture import Style, encode_picture, fit_picture
from ..host.style.reference_latent import fit_latent, with_reference, without_reference
from ..host.style.replay import Replay, add_replay
from ..host.unet.layers import check_sd15
from ..uniportrait_core.style.ip_adapter import IPAdapter
from ..uniportrait_core.style.shared_attention import logit_shift
from . import sockets

PREPARE = "Style Reference"
INVERSION, FIXED_NOISE = "inversion", "fixed noise"


class UniPortraitStyleReference(io.ComfyNode):
    """Find the noise that a style picture comes from, and put the picture before the pictures to draw."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitStyleReference",
            display_name=PREPARE,
            category=sockets.CATEGORY,
            description="Prepares a style picture: style goes to Apply Style, latent to the sampler. The style picture "
            "is the first picture of latent; Drop Reference takes it out after sampling.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A Stable Diffusion 1.5 model, best from before Apply ID Router: other people then need no "
                    "new inversion. They have no part in it either way.",
                ),
                io.Vae.Input("vae", tooltip="The VAE that goes with the model."),
                io.Image.Input(
                    "image",
                    tooltip="The style picture. Brought to the size of latent, cut at the edges where the proportions "
                    "are others. Of a batch the first.",
                ),
                io.Latent.Input(
                    "latent",
                    tooltip="The pictures to draw: their size, and how many. From Empty Latent Image, or VAE Encode.",
                ),
                io.Combo.Input(
                    "method",
                    options=[INVERSION, FIXED_NOISE],
                    default=INVERSION,
                    tooltip="inversion: published; finds the very noise that the style picture comes from, in as many "
                    "steps as below. fixed noise: no steps at all, rougher.",
                ),
                io.Int.Input(
                    "steps",
                    default=25,
                    min=1,
                    max=1000,
                    tooltip="Of the inversion; 25 is published. Need not be those of the sampler. Not for fixed noise.",
                ),
                io.Float.Input(
                    "guidance",
                    default=2.0,
                    min=1.0,
                    max=20.0,
                    step=0.1,
                    tooltip="Guidance (CFG) of the inversion; 2 is published. Without negative, or where it comes "
                    "from the same node as positive, there is nothing to guide, which halves the time.",
                ),
                io.Int.Input(
                    "fixed_noise",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Seed of the fixed noise; without a meaning for inversion.",
                ),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="Needed for inversion: an empty prompt (published), or one that describes the picture.",
                ),
                io.Conditioning.Input("negative", optional=True, tooltip="For the inversion: an empty prompt."),
                sockets.IPAdapter.Input(
                    "ip_adapter",
                    optional=True,
                    tooltip="From Load IP-Adapter: pictures also see the style picture beside the prompt; published.",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="For the IP-Adapter: CLIP ViT-H/14, as for Encode Face ID."
                ),
            ],
            outputs=[
                sockets.Style.Output(display_name="style", tooltip="For Apply Style."),
                io.Latent.Output(
                    display_name="latent", tooltip="For the sampler: the style picture, then the pictures to draw."
                ),
                io.Image.Output(
                    display_name="image", tooltip="The style picture in the size of latent, for a ControlNet's edges."
                ),
            ],
            **sockets.aliases("uniportrait", "ddim inversion", "style transfer", "reference image"),
        )

    @classmethod
    @checked()
    def execute(
        cls,
        model: ModelPatcher,
        vae: VAE,
        image: Tensor,
        latent: dict,
        method: str,
        steps: int,
        guidance: float,
        fixed_noise: int,
        positive: list | None = None,
        negative: list | None = None,
        ip_adapter: IPAdapter | None = None,
        clip_vision: ClipVisionModel | None = None,
    ) -> io.NodeOutput:
        check_sd15(model, PREPARE)
        if ip_adapter:
            check_ip_adapter(model, ip_adapter.layers, PREPARE)
        latent = fit_latent(latent, model)
        picture = fit_picture(image, latent["samples"])
        tokens = style_tokens(ip_adapter, clip_vision, picture) if ip_adapter else None
        found = encode_picture(vae, picture, latent["samples"])
        if method == FIXED_NOISE:
            trajectory = noise_picture(model, found, fixed_noise)
        else:
            trajectory = invert_picture(model, found, positive, negative, steps, guidance)
        return io.NodeOutput(Style(found, trajectory, tokens), with_reference(latent, found), picture)


class UniPortraitApplyStyle(io.ComfyNode):
    """Patch a copy of a Stable Diffusion 1.5 model with shared self-attention and a plain IP-Adapter."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitApplyStyle",
            display_name=APPLY,
            category=sockets.CATEGORY,
            description="Makes a Stable Diffusion 1.5 model draw in the look and composition of a style picture; "
            "faces come from Apply ID Router, before or after.",
            inputs=[
                io.Model.Input("model", tooltip="A Stable Diffusion 1.5 model; it stays as it is."),
                sockets.Style.Input("style", tooltip="From Style Reference, whose latent goes to the sampler."),
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
            **sockets.aliases("uniportrait", "style transfer", "style aligned", "shared attention", "ip adapter"),
        )

    @classmethod
    @checked()
    def execute(cls, model: ModelPatcher, style: Style, strength: float, ip_scale: float) -> io.NodeOutput:
        check_sd15(model, APPLY)
        patched = model.clone()
        add_replay(patched, Replay(style))
        if strength:
            add_sharing(patched, SharedAttention(logit_shift(strength)))
        if style.tokens and ip_scale:
            add_ip_attention(patched, style.tokens, ip_scale)
        return io.NodeOutput(patched)


class UniPortraitDropReference(io.ComfyNode):
    """Take the style picture out of a latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitDropReference",
            display_name="Drop Reference",
            category=sockets.CATEGORY,
            description="Takes the style picture, which is the first, out of a sampled latent.",
            inputs=[io.Latent.Input("latent", tooltip="From the sampler, its latent from Style Reference.")],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The pictures that were drawn.")],
            **sockets.aliases("uniportrait", "style transfer", "remove first"),
        )

    @classmethod
    @checked()
    def execute(cls, latent: dict) -> io.NodeOutput:
        return io.NodeOutput(without_reference(latent))
