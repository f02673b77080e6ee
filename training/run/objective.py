"""The loss of a step (paper section 3.2 and equation 4)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from uniportrait_core.routing.regions import grid_size
from uniportrait_core.routing.soft_router import (
    face_masks,
    mask_of_layer,
    nearest_faces,
    routed_right,
    routing_loss,
)

from ..config import Loss
from .dice import Throws


@dataclass(frozen=True)
class Schedule:
    """Noise levels of the base model, and what it was trained to predict.

    Attributes:
        kept: ᾱ, the share of the picture's variance at each level, (levels,), on the device of what is trained.
        velocity: whether v is predicted, and not the noise.
    """

    kept: Tensor
    velocity: bool

    @classmethod
    def of(cls, scheduler: DDPMScheduler, device: torch.device | str = "cpu") -> "Schedule":
        return cls(scheduler.alphas_cumprod.float().to(device), scheduler.config.prediction_type == "v_prediction")


def noised(schedule: Schedule, clean: Tensor, throws: Throws, loss: Loss) -> tuple[Tensor, Tensor]:
    """Latents with noise, and what is to be predicted of them, both of the latents' shape.

    Args:
        clean: latents as the UNet sees them.
        throws: of the same pictures.
        loss: whether noise has an offset.
    """
    noise = throws.noise + loss.offset_noise * throws.offset
    share = schedule.kept[throws.timesteps].view(-1, 1, 1, 1)
    noisy = share.sqrt() * clean + (1 - share).sqrt() * noise
    velocity = share.sqrt() * noise - (1 - share).sqrt() * clean
    return noisy, velocity if schedule.velocity else noise


def cleaned(schedule: Schedule, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
    """The latents that a prediction amounts to; `noised` the other way round.

    Args:
        noisy, predicted: (pictures, channels, height, width).
        timesteps: (pictures,).
    """
    share = schedule.kept[timesteps].view(-1, 1, 1, 1)
    if schedule.velocity:
        return share.sqrt() * noisy - (1 - share).sqrt() * predicted
    return (noisy - (1 - share).sqrt() * predicted) / share.sqrt()


def weight_faces(boxes: Tensor, in_picture: Tensor, latent: tuple[int, int], more: float) -> Tensor | None:
    """Weights of spots: `1 + more` in faces and 1 elsewhere, then brought to a mean of 1 in each picture.

    Args:
        boxes: of faces, as shares of the picture, (pictures, people, 4).
        in_picture: whose box counts, (pictures, people), bool.
        latent: height and width of the latent.
        more: 0 for weights that are all alike.

    Returns:
        (pictures, 1, height, width), or None where all are alike.
    """
    if not more:
        return None
    covered = mask_of_layer(face_masks(boxes, in_picture, latent), latent).sum(dim=1).unflatten(1, latent)
    weights = 1 + more * covered[:, None]
    return weights / weights.mean(dim=(2, 3), keepdim=True)


def nearest_owners(boxes: Tensor, in_picture: Tensor, latent: tuple[int, int]) -> Callable[[int], Tensor]:
    """Whose face is nearest, for `Routing.owners`; arguments as for `weight_faces`."""
    nearest = nearest_faces(boxes, in_picture, latent)
    return lambda spots: mask_of_layer(nearest, grid_size(spots, *latent))


def diffusion_loss(
    predicted: Tensor,
    target: Tensor,
    schedule: Schedule,
    timesteps: Tensor,
    min_snr: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Squared error of each picture, (pictures,), weighted by Min-SNR where `min_snr` is above 0.

    Args:
        weights: of spots (`weight_faces`); None for all alike.
    """
    error = (predicted.float() - target.float()).square()
    error = (error if weights is None else error * weights).flatten(1).mean(dim=1)
    if not min_snr:
        return error
    share = schedule.kept[timesteps]
    ratio = share / (1 - share)
    return error * ratio.clamp(max=min_snr) / (ratio + 1 if schedule.velocity else ratio)


@dataclass(frozen=True)
class RoutingScore:
    """Of each picture, averaged over layers, (pictures,).

    Attributes:
        loss: equation 4; 0 where the faces are dropped or nobody has a face.
        right: share of face spots that go to their owner, 0..1; NaN likewise.
    """

    loss: Tensor
    right: Tensor


def score_routing(
    logits: list[Tensor], boxes: Tensor, in_picture: Tensor, present: Tensor, no_faces: Tensor, latent: tuple[int, int]
) -> RoutingScore:
    """How the routers of all layers did.

    Args:
        logits: of each layer, (pictures, people, spots); further candidates behind the people are in no picture.
        boxes: of faces, as shares of the picture, (pictures, people, 4).
        in_picture: whose box counts, (pictures, people), bool.
        present: the candidates, (pictures, people), bool.
        no_faces: pictures whose people are dropped: all look alike, and there is nothing to route, (pictures,), bool.
        latent: height and width of the latent.
    """
    people = boxes.shape[1]
    masks = face_masks(boxes, in_picture & ~no_faces[:, None], latent)
    masks = F.pad(masks, (0, 0, 0, 0, 0, logits[0].shape[1] - people))
    sizes = [grid_size(layer.shape[-1], *latent) for layer in logits]
    at_size = {size: mask_of_layer(masks, size) for size in set(sizes)}
    pairs = [(layer, at_size[size]) for layer, size in zip(logits, sizes, strict=True)]
    losses = torch.stack([routing_loss(layer, mask, present) for layer, mask in pairs])
    with torch.no_grad():
        right = torch.stack([routed_right(layer[:, :people], mask[:, :people]) for layer, mask in pairs])
    return RoutingScore(losses.mean(dim=0), right.nanmean(dim=0))
