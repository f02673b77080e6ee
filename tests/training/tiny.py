"""Narrow models with random weights, in the layouts that training reads: a base model, CLIP vision, a face backbone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from uniportrait_core.embedding.backbone import FaceBackbone, UnitShape

CONTEXT = 64  # width of the text
TOKENS = 77
BYTES = 256
START, END = "<|startoftext|>", "<|endoftext|>"
TIME_DIM = 8  # of each of SDXL's six sizes

SD15: dict[str, Any] = {
    "block_out_channels": (32, 64, 64, 64),
    "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
    "attention_head_dim": 8,
}
SD2 = SD15 | {"attention_head_dim": (2, 4, 4, 4), "use_linear_projection": True}
SDXL: dict[str, Any] = {
    "block_out_channels": (32, 64, 128),
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 2),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"),
    "attention_head_dim": (2, 4, 8),
    "transformer_layers_per_block": (1, 2, 10),  # the first block has none
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_DIM,
}
UNETS = {"sd15": SD15, "sd2": SD2, "sdxl": SDXL}


def base_folder(path: Path, kind: str = "sd15", context: int = CONTEXT, seed: int = 0, **unet: Any) -> Path:
    """A base model in the layout of diffusers.

    Args:
        path: the folder to write.
        kind: one of `UNETS`.
        context: width of the text; SDXL's encoders have 3 and 5 eighths of it.
        seed: of the weights.
        unet: what differs from the kind's configuration of the UNet.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        if kind == "sdxl":
            first, second = context * 3 // 8, context * 5 // 8
            _write_text(path, "", CLIPTextModel, first)
            _write_text(path, "_2", CLIPTextModelWithProjection, second)
            unet = {"projection_class_embeddings_input_dim": second + 6 * TIME_DIM} | unet
        else:
            _write_text(path, "", CLIPTextModel, context)
        config = UNETS[kind] | {"cross_attention_dim": context} | unet
        UNet2DConditionModel(sample_size=8, **config).save_pretrained(path / "unet")
        _vae().save_pretrained(path / "vae")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(path / "scheduler")
    return path


def clip_folder(path: Path, dim: int = 32, projection: int = 24, seed: int = 0) -> Path:
    """CLIP vision in the layout of transformers: pictures of 224 pixels, 256 spots."""
    config = CLIPVisionConfig(
        hidden_size=dim,
        intermediate_size=2 * dim,
        projection_dim=projection,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=224,
        patch_size=14,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        CLIPVisionModelWithProjection(config).save_pretrained(path)
    CLIPImageProcessor().save_pretrained(path)
    return path


def backbone_file(path: Path, stages: Sequence[int] = (8, 12, 16, 24), embedding: int = 20, seed: int = 0) -> Path:
    """A face backbone of one unit per stage, with this many channels."""
    inputs = (stages[0], *stages[:-1])
    units = [UnitShape(inp, out, out, 2, False) for inp, out in zip(inputs, stages, strict=True)]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        backbone = FaceBackbone(units, list(range(len(units))), embedding)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(backbone.state_dict(), path)
    return path


def _vae() -> AutoencoderKL:
    """It divides sides by 8, into four channels."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )


def _write_text(base: Path, name: str, kind: type, dim: int) -> None:
    """A text encoder, and a tokenizer that knows bytes and merges nothing."""
    letters = list(_letters())
    words = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    folder = base / f"tokenizer{name}"
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TOKENS,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": "!" if name else END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    kind(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=dim,
            projection_dim=dim,
            intermediate_size=2 * dim,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=len(words) - 2,
            eos_token_id=len(words) - 1,
            pad_token_id=0 if name else len(words) - 1,
        )
    ).save_pretrained(base / f"text_encoder{name}")


def _letters() -> list[str]:
    """A printable letter for each byte, in CLIP's order, which begins with "!"."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(BYTES) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(BYTES + number) for number in range(len(others))]
