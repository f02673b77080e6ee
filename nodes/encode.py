"""FaceIDEncode: photos of one person become a face_id."""

import comfy.model_management
import comfy.utils
import numpy as np
import torch
from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import io
from torch import Tensor

from ..uniportrait_core.embedding import CROP_SIZE, face_features, identity_tokens, to_crop_size
from ..uniportrait_core.errors import UniPortraitError
from ..uniportrait_core.faces import Detector as FindFaces
from ..uniportrait_core.faces import crop_largest
from ..uniportrait_core.identity import Identity
from .clip import check_clip, clip_features
from .sockets import CATEGORY, Detector, FaceID, UniPortrait, aliases
from .weights import Weights

MIN_SIDE = 32


class FaceIDEncode(io.ComfyNode):
    """Encode one person from one photo or several."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FaceIDEncode",
            display_name="Encode Face ID",
            category=CATEGORY,
            description="Turns photos of one person into a face_id. Several photos make the likeness steadier.",
            inputs=[
                UniPortrait.Input("uniportrait", tooltip="From Load UniPortrait."),
                io.ClipVision.Input(
                    "clip_vision", tooltip="CLIP ViT-H/14 (CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors); no other fits."
                ),
                io.Image.Input("image", tooltip="Photos of one person; a batch is several photos of the same person."),
                io.Float.Input(
                    "structure_scale",
                    default=0.1,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the face's shape, pose and lighting to keep besides who it is, 0 to 1. "
                    "Published: 0.1 for one person, 0.3 for several. Use the same value for people who go together.",
                ),
                Detector.Input(
                    "detector",
                    optional=True,
                    tooltip="From Face Detector: finds and aligns the largest face of each photo. Without it the "
                    "images are taken as aligned face crops of 224×224 pixels.",
                ),
            ],
            outputs=[
                FaceID.Output(display_name="face_id", tooltip="The person, for Apply ID Router."),
                io.Image.Output(display_name="crops", tooltip="What the model saw: aligned faces, 224×224 pixels."),
            ],
            **aliases("uniportrait", "face embedding", "identity"),
        )

    @classmethod
    def execute(
        cls,
        uniportrait: Weights,
        clip_vision: ClipVisionModel,
        image: Tensor,
        structure_scale: float,
        detector: FindFaces | None = None,
    ) -> io.NodeOutput:
        check_clip(clip_vision, uniportrait.clip_dim)
        _check_image(image)
        crops = _face_crops(detector, image) if detector else to_crop_size(image)
        person = _encode(uniportrait, clip_vision, crops, structure_scale)
        return io.NodeOutput((person,), crops)


def _check_image(image: Tensor) -> None:
    photos, height, width, channels = image.shape
    if channels != 3 or photos == 0 or min(height, width) < MIN_SIDE:
        raise UniPortraitError(
            f"image is {photos} pictures of {width}×{height} pixels with {channels} channels; needed are RGB pictures "
            f"(3 channels) of {MIN_SIDE} pixels or more. Connect Load Image, or remove the alpha channel."
        )


def _face_crops(detector: FindFaces, image: Tensor) -> Tensor:
    """Aligned crops of the largest face of every photo, (photos, 224, 224, 3), values 0..1."""
    crops = []
    for number, photo in enumerate(image, start=1):
        pixels = (photo.cpu().numpy() * 255).round().clip(0, 255).astype(np.uint8)
        crop = crop_largest(detector, pixels, CROP_SIZE)
        if crop is None:
            height, width = pixels.shape[:2]
            raise UniPortraitError(
                f"No face found in photo {number} of {len(image)} ({width}×{height}). Use a photo in which the face "
                "is larger and seen from the front at image on Encode Face ID."
            )
        crops.append(torch.from_numpy(crop))
    return torch.stack(crops).float() / 255


def _encode(weights: Weights, clip: ClipVisionModel, crops: Tensor, structure_scale: float) -> Identity:
    comfy.model_management.load_models_gpu([clip.patcher, weights.backbone, weights.resampler])
    device = weights.backbone.load_device
    known = weights.unconditional.setdefault(clip, {})
    progress = comfy.utils.ProgressBar(len(crops) + (structure_scale not in known))
    features, stages = [], []
    for crop in crops.split(1):
        features.append(clip_features(clip, crop).to(device))
        stages.append(face_features(weights.backbone.model, crop.to(device)))
        progress.update(1)
    stages = [torch.cat(maps) for maps in zip(*stages, strict=True)]
    resampler = weights.resampler.model
    if structure_scale not in known:
        zeros, mean_colour = [torch.zeros_like(stage[:1]) for stage in stages], clip_features(clip, None).to(device)
        known[structure_scale] = identity_tokens(resampler, zeros, mean_colour, structure_scale).cpu()
        progress.update(1)
    cond = identity_tokens(resampler, stages, torch.cat(features), structure_scale).cpu()
    return Identity(cond, known[structure_scale])
