"""How much the people of a predicted picture look like their photos: the identity loss of PortraitBooth and PuLID.

A step's prediction, brought back to latents without noise, is decoded around each face, and the face backbone looks at
it. The diffusion loss is mostly about pose, clothes and background, which nobody can know; this is about who is there
alone. It is no part of the paper.
"""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from uniportrait_core.embedding.backbone import FaceBackbone
from uniportrait_core.embedding.face_features import look_at_faces

from ..data.face_cuts import sample_faces
from ..frozen.latents import decode


def likeness(
    vae: AutoencoderKL, backbone: FaceBackbone, latents: Tensor, landmarks: Tensor, embedding: Tensor, window: int
) -> Tensor:
    """Cosine of the face embeddings of predicted pictures and of photos, with gradients, (faces,).

    Args:
        latents: as the UNet sees them, one picture for each face, (faces, channels, height, width).
        landmarks: of the faces, as shares of the pictures, (faces, 5, 2).
        embedding: of the photos, not normalised, (faces, dim).
        window: side of what is decoded, in spots; at most the shorter side of the latents.
    """
    around, inside = window_around(latents, landmarks, min(window, *latents.shape[2:]))
    with torch.autocast(latents.device.type, enabled=False):
        faces = sample_faces(decode(vae, around), inside, backbone.IMAGE_SIZE)
        seen, _ = look_at_faces(backbone, faces.clamp(-1, 1).add(1).div(2).movedim(1, -1))
    return F.cosine_similarity(seen, embedding, dim=1)


def window_around(latents: Tensor, landmarks: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """A square around each face, inside the latents.

    Returns:
        Its latents, (faces, channels, side, side), and the landmarks as shares of it.
    """
    x, y = (landmarks * length for landmarks, length in zip(landmarks.unbind(-1), latents.shape[:1:-1], strict=True))
    left, top = (_start(*pair, side) for pair in zip((x, y), latents.shape[:1:-1], strict=True))
    along = torch.arange(side, device=latents.device)
    rows, columns = top.long()[:, None, None] + along[:, None], left.long()[:, None, None] + along
    faces = torch.arange(len(latents), device=latents.device)[:, None, None]
    cut = latents.movedim(1, -1)[faces, rows, columns].movedim(-1, 1)
    return cut, torch.stack((x - left[:, None], y - top[:, None]), dim=-1) / side


def _start(places: Tensor, length: int, side: int) -> Tensor:
    """Where a window around places, (faces, places), begins along an axis."""
    middle = (places.amin(dim=1) + places.amax(dim=1)) / 2
    return (middle - side / 2).round().clamp(0, length - side)
