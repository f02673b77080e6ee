"""The style picture among the pictures to draw: put in first place, and taken out again."""

import logging

import comfy.sample
import comfy.utils
import torch
from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from comfy_api.latest import io
from torch import Tensor

from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.ip_adapter import IPAdapter as IPAdapterWeights
from ..uniportrait_core.trajectory import Trajectory, noised
from .inverting import invert_picture
from .sockets import CATEGORY, IPAdapter, Style, aliases
from .style import MARK, encode_picture, fit_latent, fit_picture, picture_tokens
from .style import Style as StylePicture
from .unet import check_sd15, check_unet

NODE = "Style Reference"
INVERSION, FIXED_NOISE = "inversion", "fixed noise"

logger = logging.getLogger("uniportrait")


class UniPortraitStyleReference(io.ComfyNode):
    """Find the noise that a style picture comes from, and put the picture before the pictures to draw."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitStyleReference",
            display_name=NODE,
            category=CATEGORY,
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
                IPAdapter.Input(
                    "ip_adapter",
                    optional=True,
                    tooltip="From Load IP-Adapter: pictures also see the style picture beside the prompt; published.",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="For the IP-Adapter: CLIP ViT-H/14, as for Encode Face ID."
                ),
            ],
            outputs=[
                Style.Output(display_name="style", tooltip="For Apply Style."),
                io.Latent.Output(
                    display_name="latent", tooltip="For the sampler: the style picture, then the pictures to draw."
                ),
                io.Image.Output(
                    display_name="image", tooltip="The style picture in the size of latent, for a ControlNet's edges."
                ),
            ],
            **aliases("uniportrait", "ddim inversion", "style transfer", "reference image"),
        )

    @classmethod
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
        ip_adapter: IPAdapterWeights | None = None,
        clip_vision: ClipVisionModel | None = None,
    ) -> io.NodeOutput:
        check_sd15(model, NODE)
        if ip_adapter:
            check_unet(model, ip_adapter.layers, NODE)
        latent = fit_latent(latent, model)
        picture = fit_picture(image, latent["samples"])
        tokens = picture_tokens(ip_adapter, clip_vision, picture) if ip_adapter else None
        found = encode_picture(vae, picture, latent["samples"])
        if method == FIXED_NOISE:
            noise = comfy.sample.prepare_noise(found, fixed_noise)
            trajectory = noised(model.model.process_latent_in(found), noise)
        else:
            trajectory = _invert(model, found, positive, negative, steps, guidance)
        return io.NodeOutput(StylePicture(found, trajectory, tokens), with_reference(latent, found), picture)


class UniPortraitDropReference(io.ComfyNode):
    """Take the style picture out of a latent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniPortraitDropReference",
            display_name="Drop Reference",
            category=CATEGORY,
            description="Takes the style picture, which is the first, out of a sampled latent.",
            inputs=[io.Latent.Input("latent", tooltip="From the sampler, its latent from Style Reference.")],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The pictures that were drawn.")],
            **aliases("uniportrait", "style transfer", "remove first"),
        )

    @classmethod
    def execute(cls, latent: dict) -> io.NodeOutput:
        return io.NodeOutput(without_reference(latent))


def _invert(
    model: ModelPatcher, latent: Tensor, positive: list | None, negative: list | None, steps: int, guidance: float
) -> Trajectory:
    if positive is None:
        raise UniPortraitError(
            "Style Reference has no positive, which an inversion needs. Connect an empty prompt (CLIP Text Encode) to "
            "positive and negative, or set method to fixed noise."
        )
    guided = negative is not None and negative is not positive
    return invert_picture(model, latent, positive, negative if guided else positive, steps, guidance if guided else 1.0)


def with_reference(latent: dict, reference: Tensor) -> dict:
    """A LATENT with a picture before its own.

    The others keep their noise: a seed makes of them what it makes without the reference.

    Args:
        latent: samples (pictures, channels, height, width).
        reference: (1, channels, height, width).
    """
    samples = latent["samples"]
    numbers = list(latent.get("batch_index", range(len(samples))))
    pictures = torch.cat((reference.to(samples), samples))
    changed = {"samples": pictures, "batch_index": [numbers[0], *numbers], MARK: True}
    if "noise_mask" in latent:
        mask = latent["noise_mask"]
        masks = comfy.utils.repeat_to_batch_size(mask.reshape(-1, 1, *mask.shape[-2:]), len(samples))
        changed["noise_mask"] = torch.cat((torch.ones_like(masks[:1]), masks))
    return {**latent, **changed}


def without_reference(latent: dict) -> dict:
    """A LATENT without its first picture. Raises UniPortraitError where nothing would be left."""
    samples = latent["samples"]
    if len(samples) < 2:
        raise UniPortraitError(
            f"The latent at Drop Reference holds {len(samples)} picture, needed are the style picture and others. "
            "Connect the sampler that draws the latent of Style Reference, and only one Drop Reference."
        )
    if not latent.get(MARK):
        logger.warning(
            "Drop Reference: nothing says that the first picture of this latent is a style picture; it is taken out "
            "all the same. Connect a sampler that draws the latent of Style Reference."
        )
    changed = {"samples": samples[1:]}
    for key in ("batch_index", "noise_mask"):
        if len(latent.get(key, ())) == len(samples):
            changed[key] = latent[key][1:]
    changed[MARK] = False
    return {**latent, **changed}
