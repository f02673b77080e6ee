"""The vision encoder in CLIP's place."""

from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from uniportrait_core.embedding.face_features import CROP_SIZE

from ..config import Preset

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's


def new_vision_encoder(preset: Preset) -> CLIPVisionModelWithProjection:
    """16×16 patches of 14 pixels, as CLIP ViT-H/14 has."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=preset.vision,
            intermediate_size=3 * preset.vision,
            num_hidden_layers=preset.vision_layers,
            num_attention_heads=preset.vision_heads,
            image_size=CROP_SIZE,
            patch_size=14,
            projection_dim=preset.joint,
            hidden_act="gelu",
        )
    )


def new_processor() -> CLIPImageProcessor:
    size = {"height": CROP_SIZE, "width": CROP_SIZE}
    return CLIPImageProcessor(
        size={"shortest_edge": CROP_SIZE}, crop_size=size, image_mean=list(MEAN), image_std=list(STD)
    )
