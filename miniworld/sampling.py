"""Pictures of the world's base model, from prompts: to look at, and to measure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from training.frozen.folders import load_part
from training.frozen.latents import load_vae, to_pixels
from training.frozen.text import TextEncoder

STEPS, GUIDANCE = 20, 5.0


@torch.no_grad()
def sample(
    base: Path, prompts: Sequence[str], seed: int, device: torch.device, guidance: float = GUIDANCE
) -> np.ndarray:
    """DDIM with classifier-free guidance.

    Args:
        base: folder of the base model.

    Returns:
        RGB, (prompts, height, width, 3), uint8.
    """
    unet = load_part(UNet2DConditionModel, base, "unet").to(device)
    vae, text = load_vae(base).to(device), TextEncoder(base).to(device)
    schedule = DDIMScheduler.from_pretrained(base / "scheduler")
    schedule.set_timesteps(STEPS)
    context = text([*prompts, *[""] * len(prompts)])[0]
    side = unet.config.sample_size
    dice = torch.Generator().manual_seed(seed)
    latents = torch.randn(len(prompts), unet.config.in_channels, side, side, generator=dice).to(device)
    for time in schedule.timesteps:
        guess, without = unet(torch.cat((latents, latents)), time, context).sample.chunk(2)
        latents = schedule.step(without + guidance * (guess - without), time, latents).prev_sample
    return (to_pixels(vae, latents) * 255).round().byte().cpu().numpy()
