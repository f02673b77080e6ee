"""Pictures from the network as it is: DDIM with guidance (paper section 4.1)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from uniportrait_core.routing.record import RoutingRecord
from uniportrait_core.routing.regions import grid_size

from ..config import Preview
from ..model.network import Network, Routing


@dataclass(frozen=True)
class Prompt:
    """What is drawn: of some pictures with people, and of nothing.

    Attributes:
        text: (pictures, 77, dim).
        added: SDXL's further conditions, as diffusers names them, or None.
        tokens: ID tokens, (pictures, people, tokens, dim).
        present: (pictures, people), bool.
    """

    text: Tensor
    added: dict[str, Tensor] | None
    tokens: Tensor
    present: Tensor


@torch.no_grad()
def sample(
    network: Network,
    scheduler: DDPMScheduler,
    start: Tensor,
    wanted: Prompt,
    nobody: Prompt,
    settings: Preview,
    choice: str,
    owners: Callable[[int], Tensor] | None = None,
) -> tuple[Tensor, RoutingRecord]:
    """Draw pictures.

    Args:
        network: on its device.
        scheduler: of the base model.
        start: noise, (pictures, channels, height, width), standard normal.
        wanted, nobody: conditional and unconditional half.
        settings: steps, guidance and strength.
        choice: of `config.Router`; without noise, "straight-through" is the winner.
        owners: whose spots are whose (`Routing`); nothing is routed then.

    Returns:
        Latents as the UNet sees them, and who had which spot at each step, empty where nothing is routed.
    """
    # As ComfyUI's `ddim` on `ddim_uniform`, whose last step ends without noise; the published app leaves some.
    ddim = DDIMScheduler.from_config(scheduler.config, clip_sample=False, set_alpha_to_one=True, steps_offset=1)
    ddim.set_timesteps(settings.steps, device=start.device)
    routing = Routing(choice if owners is None else "none", id_scale=settings.id_scale, owners=owners)
    latents, record, size = start, RoutingRecord(), tuple(start.shape[-2:])
    for timestep in ddim.timesteps:
        halves = []
        for prompt in (nobody, wanted):
            predicted, logits = network.predict(
                latents,
                timestep.expand(len(latents)),
                prompt.text,
                prompt.added,
                prompt.tokens,
                prompt.present,
                routing,
            )
            halves.append(predicted.float())
        for layer in logits:  # of the conditional half
            shares = F.one_hot(layer.argmax(dim=1), layer.shape[1]).permute(2, 0, 1)
            record.add(float(timestep), shares, grid_size(layer.shape[-1], *size), size)
        predicted = halves[0] + settings.guidance * (halves[1] - halves[0])
        latents = ddim.step(predicted, timestep, latents).prev_sample
    record.finish()
    return latents, record
