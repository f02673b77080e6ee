"""Diffusion models that are not Stable Diffusion 1.5, small, of the host's own classes, and weights for them."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import comfy.supported_models
import torch
from comfy.ldm.flux.model import FluxParams
from comfy.model_patcher import ModelPatcher
from safetensors.torch import save_file

import recipe
from oracle import attentions

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
    "num_head_channels": 64,
}
SD2 = {
    **{key: SDXL[key] for key in ("in_channels", "out_channels", "image_size", "use_spatial_transformer", "legacy")},
    "model_channels": 64,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "context_dim": 1024,
    "adm_in_channels": None,
    "use_linear_in_transformer": True,
    "num_head_channels": 64,
}
# As the host knows KOALA-700M: no middle block at all.
WITHOUT_MIDDLE = {**SDXL, "num_res_blocks": [1, 1, 1], "transformer_depth": [0, 1, 1], "transformer_depth_middle": -2}
WITHOUT_MIDDLE["transformer_depth_output"] = [0, 0, 1, 1, 1, 1]
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


BRANCH = 0.3
STRUCTURE_DIMS = {"shallow": 448, "clip": 48}  # of the small backbone and the small CLIP
RANK, HIDDEN = 4, 32  # of the LoRAs; inside φ, where 2 · dim is published


def sdxl() -> ModelPatcher:
    return _model(comfy.supported_models.SDXL(SDXL))


def sd2() -> ModelPatcher:
    return _model(comfy.supported_models.SD20(SD2))


def sdxl_without_middle() -> ModelPatcher:
    return _model(comfy.supported_models.SDXL(WITHOUT_MIDDLE))


def flux() -> ModelPatcher:
    return _model(comfy.supported_models.Flux(FLUX))


def drawn(model: ModelPatcher) -> ModelPatcher:
    """The model, its U-Net's weights made from their names.

    What transformer blocks add to their input is small, as in trained ones: else rounding grows with their number.
    """
    unet = model.model.diffusion_model
    weights = recipe.weights("other.unet", {key: tuple(value.shape) for key, value in unet.state_dict().items()})
    small = {key: BRANCH for key in weights if key.endswith(("to_out.0.weight", "ff.net.2.weight"))}
    unet.load_state_dict({key: weight * small.get(key, 1) for key, weight in weights.items()})
    return model


def write_faceid(
    path: Path,
    model: ModelPatcher,
    count: int = 16,
    intrinsic_dim: int = 512,
    structure: Sequence[str] = STRUCTURE_DIMS,
    **said: object,
) -> None:
    """Face-ID weights for a model, with what they say of themselves.

    Args:
        count: of a person's tokens.
        structure: parts of the structure features that their sizes are for.
    """
    attn2 = [cross for _, cross in attentions(model)]
    dim, structure_dim = attn2[0].to_k.in_features, sum(STRUCTURE_DIMS[part] for part in structure)
    proj = dict(recipe.shapes("encode_small")["faceid_proj"])
    proj |= {"latents": (1, count, 768), "proj_out.weight": (dim, 768)}
    proj |= {key: (dim,) for key in ("proj_out.bias", "norm_out.weight", "norm_out.bias")}
    proj["proj_id.0.weight"], proj["proj_id.0.bias"] = (2 * intrinsic_dim, intrinsic_dim), (2 * intrinsic_dim,)
    proj["proj_id.2.weight"] = (768, 2 * intrinsic_dim)
    proj["proj_clip.0.weight"], proj["proj_clip.0.bias"] = (2 * structure_dim, structure_dim), (2 * structure_dim,)
    proj["proj_clip.2.weight"] = (768, 2 * structure_dim)
    adapter = dict(_lora(model))
    for index, attention in enumerate(attn2):
        adapter |= {f"{2 * index + 1}.to_{name}_faceid.weight": (attention.to_q.out_features, dim) for name in "kv"}
    weights = recipe.weights("golden.faceid_proj_small", proj)
    _write(path, {"proj": weights, "adapter": recipe.weights("other.faceid", adapter)}, said)


def write_router(path: Path, model: ModelPatcher, count: int = 16, **said: object) -> None:
    """Router weights for a model, likewise."""
    adapter = dict(_lora(model))
    for index, (_, attention) in enumerate(attentions(model)):
        channels, dim, prefix = attention.to_q.out_features, attention.to_k.in_features, f"{2 * index + 1}."
        for name, source, inner in (("q", channels, 2 * channels), ("k", dim, HIDDEN)):
            adapter[f"{prefix}to_{name}_router.0.weight"] = (inner, source)
            adapter[f"{prefix}to_{name}_router.0.bias"] = (inner,)
            adapter[f"{prefix}to_{name}_router.2.weight"] = (channels, inner)
        adapter |= {f"{prefix}aggr_router.weight": (1, count), f"{prefix}aggr_router.bias": (1,)}
    _write(path, {"adapter": recipe.weights("other.router", adapter)}, said)


def _lora(model: ModelPatcher) -> Iterator[tuple[str, tuple[int, int]]]:
    for number, attention in enumerate(attention for pair in attentions(model) for attention in pair):
        for name in ("q", "k", "v", "out"):
            layer = attention.to_out[0] if name == "out" else getattr(attention, f"to_{name}")
            yield f"{number}.to_{name}_lora.down.weight", (RANK, layer.in_features)
            yield f"{number}.to_{name}_lora.up.weight", (layer.out_features, RANK)


def _write(path: Path, parts: dict[str, dict], said: dict[str, object]) -> None:
    """A file with metadata as training writes it; what is no string goes there as JSON."""
    strings = {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}
    metadata = {f"uniportrait.{key}": value for key, value in {"format": "1", **strings}.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"faceid_{part}.{k}": v for part, tensors in parts.items() for k, v in tensors.items()}, path, metadata)


def _model(config: object) -> ModelPatcher:
    device = torch.device("cpu")
    return ModelPatcher(config.get_model({}, device=device), device, device)
