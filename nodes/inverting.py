"""DDIM inversion in the host: with its loading, its guidance, its progress bar, and its button to interrupt."""

from uuid import uuid4

import comfy.sample
import comfy.samplers
import latent_preview
import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..uniportrait_core.inversion import invert
from ..uniportrait_core.trajectory import Trajectory
from .lora import PREFIX as LORA_PREFIX
from .tap import KEY as TAP

PUBLISHED_SCHEDULE = "ddim_uniform"  # leading spacing, offset 1


def invert_picture(
    model: ModelPatcher, latent: Tensor, positive: list, negative: list, steps: int, guidance: float
) -> Trajectory:
    """The trajectory of a picture, on the CPU, in the units in which the model computes.

    Args:
        model: the diffusion model; people that have been applied to it have no part in this.
        latent: of the picture, as the VAE gives it, (1, channels, height, width).
        positive, negative: conditioning of the guidance.
        steps: of the inversion; the levels are those of DDIM with as many.
        guidance: scale; 1 leaves out the negative prompt.
    """
    model = without_people(model)
    sampling = model.get_model_object("model_sampling")
    falling = comfy.samplers.calculate_sigmas(sampling, PUBLISHED_SCHEDULE, steps)
    levels = torch.cat((sampling.sigmas[:1].cpu(), falling[:-1].flip(0)))
    found: list[Trajectory] = []

    def sample(denoise, x, sigmas, extra_args, callback, disable) -> Tensor:
        step = 0

        def predict(z: Tensor, sigma: Tensor) -> Tensor:
            nonlocal step
            throw_exception_if_processing_interrupted()
            x = z * (1 + sigma**2).sqrt()
            denoised = denoise(x, sigma, **extra_args)
            callback({"x": x, "i": step, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
            step += 1
            return (x - denoised) / sigma

        found.append(invert(predict, x, sigmas).to(torch.device("cpu")))
        return x

    comfy.sample.sample_custom(
        model,
        torch.zeros_like(latent),
        guidance,
        comfy.samplers.KSAMPLER(sample),
        levels,
        positive,
        negative,
        latent,
        callback=latent_preview.prepare_callback(model, len(levels) - 1),
    )
    return found[0]


def without_people(model: ModelPatcher) -> ModelPatcher:
    """`model` without what the pack's nodes have added: a copy, or itself where they have added nothing."""
    ours = any(_is_ours(patch[1]) for patches in model.patches.values() for patch in patches)
    wrapped = [(kind, key) for kind, keys in model.wrappers.items() for key in keys if key and key.startswith(TAP)]
    if not ours and not wrapped:
        return model
    bare = model.clone()
    for kind, key in wrapped:
        bare.remove_wrappers_with_key(kind, key)
    if ours:
        kept = {key: [patch for patch in patches if not _is_ours(patch[1])] for key, patches in bare.patches.items()}
        bare.patches = {key: patches for key, patches in kept.items() if patches}
        bare.patches_uuid = uuid4()
    return bare


def _is_ours(patch: object) -> bool:
    return any(name.startswith(LORA_PREFIX) for name in getattr(patch, "loaded_keys", ()))
