"""What the frozen networks see in aligned faces: the face backbone of the core, and CLIP vision."""

from math import isqrt
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from uniportrait_core.embedding.face_features import CROP_SIZE, local_features, look_at_faces, nobody
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.checkpoint import load_backbone

from ..data.sample import Faces
from .folders import load_part


class FaceEncoder(nn.Module):
    """Backbone and CLIP vision, which turn crops into the features that the resampler reads."""

    def __init__(self, backbone: Path, clip_vision: Path):
        """
        Args:
            backbone: weight file of an IR backbone.
            clip_vision: folder of a CLIP vision model in the layout of transformers, on pictures of 224 pixels.

        Raises UniPortraitError where one of them is something else.
        """
        super().__init__()
        self.backbone = load_backbone(backbone)
        self.clip = load_part(CLIPVisionModelWithProjection, clip_vision, "")
        processor = load_part(CLIPImageProcessor, clip_vision, "")
        found = self.clip.config.image_size
        if found != CROP_SIZE:
            raise UniPortraitError(
                f"{clip_vision} takes pictures of {found} pixels, needed are {CROP_SIZE}. Give CLIP ViT-H/14 at "
                "base.clip_vision."
            )
        for name in ("mean", "std"):
            values = torch.tensor(getattr(processor, f"image_{name}"))[:, None, None]
            self.register_buffer(name, values, persistent=False)

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Faces:
        """Features of crops, (faces, 224, 224, 3), uint8 or 0..1, float32 on the crops' device."""
        if not crops.is_floating_point():
            crops = crops.float() / 255
        seen = self._see((crops.movedim(-1, 1) - self.mean) / self.std)
        clip = seen.hidden_states[-2][:, 1:]
        embedding, stages = look_at_faces(self.backbone, crops)
        intrinsic, shallow = local_features(stages, isqrt(clip.shape[1]))
        return Faces(None, embedding, intrinsic, shallow, clip, seen.image_embeds)

    @torch.no_grad()
    def nobody(self) -> Faces:
        """Features of no face, for the unconditional tokens: maps of zeros, and CLIP's view of the mean colour."""
        seen = self._see(torch.zeros(1, 3, CROP_SIZE, CROP_SIZE, device=self.mean.device))
        clip = seen.hidden_states[-2][:, 1:]
        embedding, stages = nobody(self.backbone, clip.device)
        intrinsic, shallow = local_features(stages, isqrt(clip.shape[1]))
        return Faces(None, embedding, intrinsic, shallow, clip, torch.zeros_like(seen.image_embeds))

    def _see(self, pixels: Tensor):  # noqa: ANN202 - transformers names the type differently in its versions
        return self.clip(pixel_values=pixels, output_hidden_states=True)
