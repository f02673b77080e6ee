"""What is done to pictures on the device that trains: cutting, roughening."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.face_cuts import warp


def to_unit(pixels: Tensor) -> Tensor:
    """(batch, height, width, 3), uint8, as (batch, 3, height, width), −1..1."""
    return pixels.movedim(-1, 1).float() / 127.5 - 1


def sample_boxes(pictures: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut boxes out, resized; what lies outside a picture is black.

    Args:
        pictures: (batch, 3, height, width).
        boxes: left, top, right, bottom in shares of the picture, (batch, 4).

    Returns:
        (batch, 3, size, size).
    """
    corner, other = boxes[:, :2] * 2 - 1, boxes[:, 2:] * 2 - 1
    theta = torch.zeros(len(boxes), 2, 3, device=boxes.device)
    theta[:, 0, 0], theta[:, 1, 1] = ((other - corner) / 2).unbind(1)
    theta[:, :, 2] = (corner + other) / 2
    return warp(pictures, theta, size)


def roughen(pictures: Tensor, coarsest: float = 0.25) -> Tensor:
    """Make pictures worse, as generated and small ones are: less resolution, noise, other light, a little moved.

    Args:
        pictures: (batch, 3, side, side), −1..1; half of them keep their resolution, the others get one.
        coarsest: the lowest resolution, as a share.
    """
    count, _, side, _ = pictures.shape
    device = pictures.device
    share = coarsest ** float(torch.rand(()))
    if share < 0.9:
        coarse = F.interpolate(pictures, size=(max(round(side * share), 8),) * 2, mode="bilinear", antialias=True)
        again = F.interpolate(coarse, size=(side, side), mode="bilinear")
        # Not all: batch norms, which have one statistic for all batches, are to see sharp ones in every batch.
        pictures = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.5, again, pictures)
    dice = torch.rand(count, 5, 1, 1, 1, device=device) * 2 - 1
    pictures = pictures * (1 + 0.12 * dice[:, 0]) + 0.08 * dice[:, 1]
    pictures = pictures + 0.06 * dice[:, 2].abs() * torch.randn_like(pictures)
    theta = torch.eye(2, 3, device=device).repeat(count, 1, 1)
    angle, scale = 0.06 * dice[:, 3].flatten(), 1 + 0.05 * dice[:, 4].flatten()
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, 0, 1], theta[:, 1, 0] = -angle, angle
    theta[:, :, 2] = (torch.rand(count, 2, device=device) - 0.5) * 0.06
    return warp(pictures, theta, side).clamp(-1, 1)


def face_weights(boxes: Tensor, side: int, extra: float, grow: float = 0.15) -> Tensor:
    """More weight for faces in a loss: 1 elsewhere, `1 + extra` inside boxes, then brought to a mean of 1.

    Args:
        boxes: in shares of the picture, (batch, people, 4); zeros for nobody.
        side: of the map.
        grow: how much further a box reaches on every side, in shares of it.

    Returns:
        (batch, 1, side, side).
    """
    place = (torch.arange(side, device=boxes.device) + 0.5) / side
    margin = grow * (boxes[..., 2:] - boxes[..., :2])
    low, high = boxes[..., :2] - margin, boxes[..., 2:] + margin
    inside = (place >= low[..., None]) & (place < high[..., None])  # (batch, people, 2, side)
    faces = (inside[:, :, 1, :, None] & inside[:, :, 0, None, :]).any(dim=1)
    weights = 1 + extra * faces[:, None].float()
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)
