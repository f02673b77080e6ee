"""Faces cut out of pictures by landmarks, with gradients."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from uniportrait_core.faces.alignment import ARCFACE_TEMPLATE, TEMPLATE_SIZE


def sample_faces(pictures: Tensor, landmarks: Tensor, size: int) -> Tensor:
    """Aligned faces, as `uniportrait_core.faces.alignment.align` cuts them, but with gradients.

    Args:
        pictures: (batch, 3, side, side), −1..1.
        landmarks: x and y in shares of the picture, (batch, 5, 2).

    Returns:
        (batch, 3, size, size).
    """
    target = torch.view_as_complex(_template(landmarks.device))
    source = torch.view_as_complex((landmarks * 2 - 1).contiguous())
    dz, dw = target - target.mean(), source - source.mean(dim=1, keepdim=True)
    # As in the core, least squares in the crop, then turned round; in the picture they would have another outcome.
    turn = (dw.conj() * dw).sum(dim=1).real / (dw.conj() * dz).sum(dim=1)
    shift = source.mean(dim=1) - turn * target.mean()
    rows = (torch.stack((turn.real, -turn.imag, shift.real), 1), torch.stack((turn.imag, turn.real, shift.imag), 1))
    return warp(pictures, torch.stack(rows, 1), size)


@cache
def _template(device: torch.device) -> Tensor:
    """The template as places −1..1, (5, 2), brought to the device once."""
    # OpenCV counts from the middle of the first pixel, shares from its corner.
    return torch.tensor((ARCFACE_TEMPLATE + 0.5) / TEMPLATE_SIZE * 2 - 1, dtype=torch.float32, device=device)


def warp(pictures: Tensor, theta: Tensor, size: int) -> Tensor:
    """Pictures moved, (batch, 3, size, size); what lies outside them is black.

    Args:
        pictures: (batch, 3, height, width), −1..1.
        theta: as `torch.nn.functional.affine_grid` takes it, (batch, 2, 3).
    """
    with torch.autocast(pictures.device.type, enabled=False):  # places are too fine for half precision
        grid = F.affine_grid(theta, [len(theta), 3, size, size], align_corners=False)
        # What lies outside is 0 to grid_sample; black is −1 here.
        return F.grid_sample(pictures.float() + 1, grid, mode="bilinear", align_corners=False) - 1
