"""The mini world's models as the host's own kinds of objects.

The host tells a model by its sizes, and knows none as small as these. So they are put together here from the host's
parts, with sizes and weights of the folders that the mini world's training writes, in the layouts of diffusers and
transformers.
"""

import json
import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import torch
import torch.nn.functional as F
from comfy.model_patcher import ModelPatcher
from safetensors.torch import load_file
from torch import Tensor, nn

from ...uniportrait_core.errors import UniPortraitError, named, reason
from .folders import MINI_WORLD

REDUCTION = 8  # of the autoencoder
VOCABULARY = 49408  # rows of every CLIP text encoder in the host
WEIGHTS = "diffusion_pytorch_model.safetensors"
TEXT_WEIGHTS = "model.safetensors"
WORD = re.compile(r"[^\W\d_]+")
logger = logging.getLogger(__name__)

Models = tuple[ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE, comfy.clip_vision.ClipVisionModel]


def load_mini_world(folder: Path = MINI_WORLD) -> Models:
    """Diffusion model, text encoder, autoencoder and vision encoder of the mini world.

    Args:
        folder: with `base` and `clip_vision`.

    Raises:
        UniPortraitError: files are missing or cannot be read.
    """
    base = folder / "base"
    try:
        return (_unet(base / "unet"), _text(base), _vae(base / "vae"), _vision(folder / "clip_vision"))
    except Exception as error:  # damaged files make the readers raise nearly anything
        raise UniPortraitError(
            f"The mini world cannot be read from {named(folder)} ({reason(error)}); its files come with "
            "this pack. Install the pack again, or get the missing files with git checkout."
        ) from error


def _read(folder: Path, weights: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A network's configuration, and its weights in float32."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return config, {key: value.float() for key, value in load_file(folder / weights).items()}


def _unet(folder: Path) -> ModelPatcher:
    config, tensors = _read(folder, WEIGHTS)
    width, *_ = widths = config["block_out_channels"]
    crossed = [int(kind.startswith("Cross")) for kind in config["down_block_types"]]
    layers = config["layers_per_block"]
    sizes = {
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "model_channels": width,
        "channel_mult": [channels // width for channels in widths],
        "num_res_blocks": [layers] * len(widths),
        "transformer_depth": [depth for depth in crossed for _ in range(layers)],
        "transformer_depth_output": [depth for depth in crossed for _ in range(layers + 1)],
        "transformer_depth_middle": 1,
        "num_heads": config["attention_head_dim"],  # as diffusers calls them for SD1.5
        "num_head_channels": -1,
        "context_dim": config["cross_attention_dim"],
        "image_size": 32,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "legacy": False,
    }
    kind = MiniWorld(sizes, config["sample_size"])
    kind.latent_format = _latent_format(config["in_channels"])
    kind.set_inference_dtype(torch.float32, None)
    management = comfy.model_management
    model = kind.get_model(tensors, device=management.unet_offload_device())
    names = comfy.utils.unet_to_diffusers(sizes)
    model.diffusion_model.load_state_dict({names[key]: value for key, value in tensors.items()})
    _regroup(model.diffusion_model, config)
    return ModelPatcher(model, management.get_torch_device(), management.unet_offload_device())


class MiniWorld(comfy.supported_models.SD15):
    """Stable Diffusion 1.5 to the host, of other sizes."""

    unet_extra_config: dict[str, Any] = {}

    def __init__(self, sizes: dict[str, Any], side: int):
        super().__init__(sizes)
        self.side = side

    def get_model(
        self, state_dict: dict[str, Tensor], prefix: str = "", device: torch.device | None = None
    ) -> "MiniWorldModel":
        return MiniWorldModel(self, device=device)

    def inpaint_model(self) -> bool:
        """Its latents have more channels than SD1.5's, which the host takes for a mask's."""
        return False


class MiniWorldModel(comfy.model_base.BaseModel):
    """Refuses sizes of which nothing could come out, such as those of models of photos."""

    def apply_model(self, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        """See the host's."""
        side, height, width = (REDUCTION * length for length in (self.model_config.side, *x.shape[-2:]))
        if not all(side / 2 <= length <= 2 * side for length in (height, width)):
            raise UniPortraitError(
                f"The latent is for a picture of {width}×{height} pixels; the mini world was trained for {side}×{side} "
                f"and draws sides of {side // 2} to {2 * side}. Set Empty Latent Image to {side} × {side}; for larger "
                "pictures connect Upscale Image By after VAE Decode."
            )
        return super().apply_model(x, *arguments, **options)


def _latent_format(channels: int) -> comfy.latent_formats.LatentFormat:
    found = comfy.latent_formats.SD15()
    found.latent_channels = channels
    found.latent_rgb_factors = found.taesd_decoder_name = None  # previews of steps, which are for SD1.5's latents
    return found


def _vae(folder: Path) -> comfy.sd.VAE:
    config, tensors = _read(folder, WEIGHTS)
    width, *_ = widths = config["block_out_channels"]
    sizes = {
        "ch": width,
        "ch_mult": [channels // width for channels in widths],
        "num_res_blocks": config["layers_per_block"],
        "attn_resolutions": [],
        "z_channels": config["latent_channels"],
        "double_z": True,
        "in_channels": 3,
        "out_ch": 3,
        "resolution": config["sample_size"],
        "dropout": 0.0,
    }
    vae = comfy.sd.VAE(
        sd=tensors, config={"params": {"ddconfig": sizes, "embed_dim": sizes["z_channels"]}}, dtype=torch.float32
    )
    vae.latent_channels = sizes["z_channels"]
    _regroup(vae.first_stage_model, config)
    return vae


def _regroup(model: nn.Module, config: dict[str, Any]) -> None:
    """Group norms are made with SD1.5's 32 groups; small models have fewer."""
    for module in model.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = config["norm_num_groups"]


def _text(base: Path) -> comfy.sd.CLIP:
    config, tensors = _read(base / "text_encoder", TEXT_WEIGHTS)
    special = {"start": config["bos_token_id"], "end": config["eos_token_id"], "pad": config["pad_token_id"]}
    encoder = partial(
        comfy.sd1_clip.SDClipModel, textmodel_json_config=config, special_tokens=special, return_projected_pooled=False
    )
    target = comfy.supported_models_base.ClipTarget(
        partial(comfy.sd1_clip.SD1Tokenizer, tokenizer=partial(_Tokenizer, base / "tokenizer", config["hidden_size"])),
        partial(comfy.sd1_clip.SD1ClipModel, clip_model=encoder),
    )
    clip = comfy.sd.CLIP(target, model_options={"dtype": torch.float32})
    embedding = "text_model.embeddings.token_embedding.weight"
    rows = F.pad(tensors[embedding], (0, 0, 0, VOCABULARY - len(tensors[embedding])))
    missing, _ = clip.load_sd({**tensors, embedding: rows})
    lacking = [key for key in missing if "logit_scale" not in key and "text_projection" not in key]
    if lacking:
        raise ValueError(f"{base / 'text_encoder' / TEXT_WEIGHTS} lacks {lacking[0]}")
    return clip


class _Tokenizer(comfy.sd1_clip.SDTokenizer):
    """CLIP's, on the world's few words; a prompt's other words are left out, and named in the log."""

    def __init__(self, folder: Path, width: int, **options: Any):
        super().__init__(tokenizer_path=str(folder), embedding_size=width, **options)
        self._known = (folder / "words.txt").read_text("utf-8").strip()
        self._words = set(WORD.findall(self._known))

    def tokenize_with_weights(self, text: str, *arguments: Any, **options: Any) -> list:
        """See the host's."""
        unknown = sorted({word for word in WORD.findall(text.lower()) if word not in self._words})
        if unknown:
            logger.warning(
                "The mini world does not know %s; the prompt goes on without. It knows: %s.",
                ", ".join(unknown),
                self._known,
            )
            text = WORD.sub(lambda found: found[0] if found[0].lower() in self._words else "", text)
        return super().tokenize_with_weights(text, *arguments, **options)


def _vision(folder: Path) -> comfy.clip_vision.ClipVisionModel:
    _, tensors = _read(folder, TEXT_WEIGHTS)
    clip = comfy.clip_vision.ClipVisionModel(str(folder / "config.json"))
    missing, _ = clip.load_sd(tensors)
    if missing:
        raise ValueError(f"{folder / TEXT_WEIGHTS} lacks {missing[0]}")
    return clip
