"""Stable Diffusion 1.5 in small: autoencoder, UNet, text encoder and schedule, in the layouts of diffusers."""

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ..config import Preset
from .tokens import LENGTH

SCALING_FACTOR = 0.18215  # the host's for SD1.5; the autoencoder is brought to it when its training ends
REDUCTION = 8
NORM_GROUPS = 8
"""Of all group norms. SD1.5 has 32 groups, for 128 channels and more; of 32 channels each would be one of its own, and
what lies in a channel's mean, how light a picture is and of which colours, would be normed away."""


def new_vae(preset: Preset) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=preset.vae,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=NORM_GROUPS,
        latent_channels=preset.latents,
        sample_size=preset.size,
        scaling_factor=SCALING_FACTOR,
    )


def new_unet(preset: Preset) -> UNet2DConditionModel:
    """SD1.5's blocks, narrower, on a shorter context."""
    return UNet2DConditionModel(
        sample_size=preset.size // REDUCTION,
        in_channels=preset.latents,
        out_channels=preset.latents,
        block_out_channels=preset.unet,
        layers_per_block=2,
        down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        norm_num_groups=NORM_GROUPS,
        cross_attention_dim=preset.text,
        attention_head_dim=preset.heads,  # the number of heads, as diffusers reads it for SD1.5
    )


def new_text_encoder(preset: Preset, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(text_config(preset, tokenizer))


def text_config(preset: Preset, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=preset.text,
        intermediate_size=4 * preset.text,
        num_hidden_layers=preset.text_layers,
        num_attention_heads=preset.text_heads,
        max_position_embeddings=LENGTH,
        projection_dim=preset.joint,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def new_schedule() -> DDIMScheduler:
    """SD1.5's."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )
