"""Diffusion models that are not Stable Diffusion 1.5, as small as can be, of the host's own classes."""

import dataclasses

import comfy.supported_models
import torch
from comfy.ldm.flux.model import FluxParams
from comfy.model_patcher import ModelPatcher

SDXL = {
    "model_channels": 32,
    "in_channels": 4,
    "out_channels": 4,
    "image_size": 32,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "transformer_depth_middle": 10,
    "context_dim": 2048,
    "adm_in_channels": 2816,
    "num_classes": "sequential",
    "use_linear_in_transformer": True,
    "use_spatial_transformer": True,
    "legacy": False,
    "num_head_channels": 32,
}
FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "vec_in_dim": 32,
    "context_in_dim": 32,
    "hidden_size": 48,
    "mlp_ratio": 4.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [4, 10, 10],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": True,
    "out_channels": 16,
}
if "txt_ids_dims" in {field.name for field in dataclasses.fields(FluxParams)}:
    FLUX["txt_ids_dims"] = []  # new hosts want it


def sdxl() -> ModelPatcher:
    return _model(comfy.supported_models.SDXL(SDXL))


def flux() -> ModelPatcher:
    return _model(comfy.supported_models.Flux(FLUX))


def _model(config: object) -> ModelPatcher:
    device = torch.device("cpu")
    return ModelPatcher(config.get_model({}, device=device), device, device)
