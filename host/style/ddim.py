"""DDIM inversion in the host: with its loading, its guidance, its progress bar, and its button to interrupt."""

import comfy.sample
import comfy.samplers
import latent_preview
import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.style.trajectory import Trajectory, invert, noised
from ..unet.patching import without_people

PUBLISHED_SCHEDULE = "ddim_uniform"  # leading spacing, offset 1


def invert_picture(
    model: ModelPatcher, latent: Tensor, positive: list | None, negative: list | None, steps: int, guidance: float
) -> Trajectory:
    """The trajectory of a picture, on the CPU, in the units in which the model computes.

    Args:
        model: the diffusion model; people that have been applied to it have no part in this.
        latent: of the picture, as the VAE gives it, (1, channels, height, width).
        positive: conditioning; UniPortraitError is raised without.
        negative: of the guidance; where there is none, or it is the positive one, nothing is guided.
        steps: of the inversion; the levels are those of DDIM with as many.
        guidance: scale; 1 leaves out the negative prompt.
    """
    if positive is None:
        raise UniPortraitError(
            "Style Reference has no positive, which an inversion needs. Connect an empty prompt (CLIP Text Encode) to "
            "positive and negative, or set method to fixed noise."
        )
    if negative is None or negative is positive:
        negative, guidance = positive, 1.0
    for name, prompt in (("positive", positive), ("negative", negative)):
        _check_text(model, prompt, name)
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


def _check_text(model: ModelPatcher, prompt: list, name: str) -> None:
    """See that a prompt comes from the text encoder of such a model. Raises UniPortraitError for any other."""
    needed = model.model.model_config.unet_config.get("context_dim")
    found = next((text.shape[-1] for text, _ in prompt if text.shape[-1] != needed), needed)
    if found != needed:
        raise UniPortraitError(
            f"{name} at Style Reference is text of {found} numbers a word, the model needs {needed}. Connect CLIP Text "
            "Encode with the CLIP that goes with the model."
        )


def noise_picture(model: ModelPatcher, latent: Tensor, seed: int) -> Trajectory:
    """The trajectory of a picture under one and the same noise; otherwise as `invert_picture`."""
    return noised(model.model.process_latent_in(latent), comfy.sample.prepare_noise(latent, seed))
