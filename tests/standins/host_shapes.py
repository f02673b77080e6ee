"""Keys and shapes of ComfyUI's own models, read from its classes without allocating a weight."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

Table = dict[str, tuple[int, ...]]

UNET: dict[str, Any] = {
    "image_size": 32, "in_channels": 4, "model_channels": 320, "num_res_blocks": [2, 2, 2, 2],
    "use_spatial_transformer": True, "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "use_linear_in_transformer": False, "context_dim": 768, "num_heads": 8, "legacy": False,
}  # fmt: skip
UP_DEPTHS = [1] * 9 + [0] * 3
AUTOENCODER: dict[str, Any] = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip


def import_host(root: Path) -> None:
    """Make `comfy` importable, on the CPU: what is asked of it here needs no device.

    The host takes the command line when it is imported, so it is shown another one.
    """
    sys.path.insert(0, str(root))
    arguments, sys.argv = sys.argv, [sys.argv[0], "--cpu"]
    try:
        import comfy.options

        comfy.options.enable_args_parsing()
        import comfy.sd  # noqa: F401
    finally:
        sys.argv = arguments


def unet(multipliers: Sequence[int]) -> Table:
    """The UNet of Stable Diffusion 1.5 with the given channel multipliers."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    with torch.device("meta"):
        model = UNetModel(out_channels=4, transformer_depth_output=UP_DEPTHS[:], **_unet_config(multipliers))
    return _table(model)


def controlnet(multipliers: Sequence[int]) -> Table:
    """A ControlNet for that UNet, which is shown an RGB picture."""
    from comfy.cldm.cldm import ControlNet

    with torch.device("meta"):
        model = ControlNet(hint_channels=3, **_unet_config(multipliers))
    return _table(model)


def text_encoder() -> Table:
    """CLIP-L, under the keys of the host."""
    from comfy.sd1_clip import SD1ClipModel

    return _table(SD1ClipModel(device="meta", dtype=torch.float16))


def clip_vision(root: Path) -> Table:
    """CLIP ViT-H/14 with its projection."""
    import comfy.ops
    from comfy.clip_model import CLIPVisionModelProjection

    config = json.loads((root / "comfy" / "clip_vision_config_h.json").read_text())
    with torch.device("meta"):
        return _table(CLIPVisionModelProjection(config, torch.float16, "meta", comfy.ops.manual_cast))


def tiny_autoencoder() -> Table:
    """TAESD, which decodes a picture in a tenth of the time of the autoencoder that it stands for."""
    from comfy.taesd.taesd import TAESD

    with torch.device("meta"):
        return _table(TAESD(latent_channels=4))


def autoencoder() -> Table:
    """The autoencoder of Stable Diffusion 1.5."""
    from comfy.ldm.models.autoencoder import AutoencoderKL

    with torch.device("meta"):
        return _table(AutoencoderKL(ddconfig=AUTOENCODER, embed_dim=4))


def checkpoint_keys(unet_state: dict, text_state: dict, autoencoder_state: dict) -> dict:
    """Three state dicts under the keys that a Stable Diffusion 1.5 checkpoint has for them."""
    from comfy.supported_models import SD15

    model = SD15({})
    return {
        **model.process_unet_state_dict_for_saving(unet_state),
        **model.process_clip_state_dict_for_saving(text_state),
        **model.process_vae_state_dict_for_saving(autoencoder_state),
    }


def _unet_config(multipliers: Sequence[int]) -> dict[str, Any]:
    """Lists are copied, since the host's classes empty them."""
    config = {name: value[:] if isinstance(value, list) else value for name, value in UNET.items()}
    return config | {"channel_mult": list(multipliers), "dtype": torch.float16}


def _table(model: torch.nn.Module) -> Table:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
