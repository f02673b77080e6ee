"""The small models of the known answers, in the host, and narrower ones of the same layout, for all other tests.

A UNet as wide as the known answers' spends nearly all of a test's time in products that the test is not about.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.sampler_helpers
import comfy.sd
import comfy.supported_models
import comfy.utils
import torch
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from comfy.supported_models import SD15
from torch import Tensor

import recipe
from graph import run_node

APPLY = {"id_scale": 0.7, "lora_scale": 1.0, "start_percent": 0.0, "end_percent": 1.0}
SAMPLER = {"seed": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
KNOWN_WIDTH, WIDTH = 320, 96  # of the UNet: the known answers', and that of other tests
FACEID, ROUTER, BACKBONE = "small-faceid.safetensors", "small-router.bin", "small-backbone.bin"
NARROW_FACEID, NARROW_ROUTER = "narrow-faceid.safetensors", "narrow-router.bin"
SDXL_FACEID, SDXL_ROUTER = "sdxl-faceid.safetensors", "sdxl-router.safetensors"


def write_weights(folder: Path) -> None:
    """Write the UniPortrait weights: one kind of file in safetensors, two as pickles, as users have them."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    encode = recipe.shapes("encode_small")
    for width, faceid, router in ((KNOWN_WIDTH, FACEID, ROUTER), (WIDTH, NARROW_FACEID, NARROW_ROUTER)):
        one, several = (
            as_wide(recipe.shapes(name)["faceid_adapter"], width) for name in ("faceid_small", "router_small")
        )
        parts = {
            "faceid_proj": recipe.weights("golden.faceid_proj_small", encode["faceid_proj"]),
            "faceid_adapter": recipe.weights("golden.faceid_adapter", one),
        }
        save_file({f"{part}.{k}": v for part, tensors in parts.items() for k, v in tensors.items()}, folder / faceid)
        torch.save({"faceid_adapter": recipe.weights("golden.router_adapter", several)}, folder / router)
    torch.save(recipe.weights("golden.face18", encode["face_backbone"]), folder / BACKBONE)


def as_wide(shapes: dict[str, list[int]], width: int) -> dict[str, list[int]]:
    """The shapes of something for the known answers' UNet, for one of another width."""
    sizes = {KNOWN_WIDTH * times: width * times for times in (1, 2, 4, 8)}
    return {key: [sizes.get(size, size) for size in shape] for key, shape in shapes.items()}


def load_uniportrait(faceid: str = NARROW_FACEID, router: str = NARROW_ROUTER) -> object:
    """Weights for the narrow UNet, or others, through the node."""
    return run_node("LoadUniPortrait", faceid=faceid, router=router, face_backbone=BACKBONE)


def people(
    core: Callable, count: int, shared_uncond: bool = True, tag: str = "", shape: tuple[int, int] = (16, 768)
) -> tuple:
    """People made of noise; in real use all who are encoded alike share their unconditional tokens."""
    tokens = recipe.noise(f"people{tag}", (count, 2, *shape))
    identity = core("embedding.identity").Identity
    return tuple(identity(cond, tokens[0][1] if shared_uncond else uncond) for cond, uncond in tokens)


def apply(model: ModelPatcher, uniportrait: object, face_id: tuple, **settings: float) -> ModelPatcher:
    """`model` with people, through the node."""
    inputs = {**APPLY, **settings}
    return run_node("IDRouterApply", model=model, uniportrait=uniportrait, face_id=face_id, **inputs)


def sample(
    model: ModelPatcher, cfg: float = 7.0, steps: int = 2, batch: int = 1, latent: tuple[int, int] = (16, 8)
) -> Tensor:
    """A latent from the host's KSampler, with prompts made of noise."""
    latent_image = {"samples": torch.zeros(batch, 4, *latent)}
    inputs = {"cfg": cfg, "steps": steps, "latent_image": latent_image, **SAMPLER, **prompts(context_of(model))}
    return run_node("KSampler", model=model, **inputs)["samples"]


def prompts(context: int = 768) -> dict[str, list]:
    """Conditioning made of noise, for a UNet with a context of this width; only SDXL reads the pooled output."""
    text, pooled = recipe.noise("sample.text", (2, 1, 77, context)), recipe.noise("sample.pooled", (2, 1, 1280))
    positive, negative = ([[text[i], {"pooled_output": pooled[i]}]] for i in (0, 1))
    return {"positive": positive, "negative": negative}


def context_of(model: ModelPatcher) -> int:
    """Width of the text that a UNet reads."""
    return model.model.model_config.unet_config["context_dim"]


def clip_vision(config: dict, load: bool = True) -> comfy.clip_vision.ClipVisionModel:
    """The small CLIP vision model in float32, the host's own class around it; `load` gives it its weights."""
    import json
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({**config, "model_type": "clip_vision_model", "layer_norm_eps": 1e-5, "num_channels": 3}, file)
        file.flush()
        clip = comfy.clip_vision.ClipVisionModel(file.name)
    clip.model.float()  # the host would hold it in half precision, which moves tokens by 2e-4
    if load:
        missing, _ = clip.load_sd(recipe.weights("golden.clip_vision", recipe.shapes("encode_small")["clip_vision"]))
        assert not missing
    return clip


def unet(width: int = WIDTH) -> ModelPatcher:
    """The UNet in float32, through the host's loader."""
    diffusers = recipe.weights("golden.unet", as_wide(recipe.shapes("unet_small"), width))
    config = {
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 1, 1, 1],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "transformer_depth_middle": 1,
    }
    names = comfy.utils.unet_to_diffusers(config)
    return load_unet({names[key]: value for key, value in diffusers.items()})


def load_unet(tensors: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> ModelPatcher:
    """A UNet of either width, through the host's loader."""
    with narrow_models_known():
        return comfy.sd.load_diffusion_model_state_dict(dict(tensors), model_options={"dtype": dtype})


@contextmanager
def narrow_models_known() -> Iterator[None]:
    """While it lasts, the host takes a narrow UNet for Stable Diffusion 1.5's too, which it knows by its width."""

    class Narrow(SD15):
        unet_config = {**SD15.unet_config, "model_channels": WIDTH}

    comfy.supported_models.models.append(Narrow)
    try:
        yield
    finally:
        comfy.supported_models.models.remove(Narrow)


def call_unet(
    model: ModelPatcher,
    x: Tensor,
    timestep: float,
    text: Tensor,
    kinds: list[int],
    y: Tensor | None = None,
    **further: object,
) -> Tensor:
    """One UNet call as the host's samplers make it, with everything that is patched into `model`.

    `further` goes to the call's transformer_options; `y` are SDXL's further conditions, zeros where they are None.
    """
    comfy.model_management.load_models_gpu([model])
    options = comfy.model_patcher.create_model_options_clone(model.model_options)
    comfy.sampler_helpers.prepare_model_patcher(model, {}, options)
    sigma = model.get_model_object("model_sampling").sigma(torch.tensor([timestep])).expand(len(x))
    settings = {**options["transformer_options"], "cond_or_uncond": kinds, "sigmas": sigma, **further}
    try:
        with torch.inference_mode():
            return call_base(model.model, x, torch.full((len(x),), timestep), text, settings, y)
    finally:
        model.cleanup()


def call_base(
    base: BaseModel, x: Tensor, timesteps: Tensor, text: Tensor, options: dict, y: Tensor | None = None
) -> Tensor:
    """What `BaseModel.apply_model` does, wrappers included, but for the scaling of input and output to noise levels.

    The published answers are the bare UNet's.
    """

    def bare(x, _t, _concat, context, _control, transformer_options):
        width = base.model_config.unet_config.get("adm_in_channels")
        extra = {"y": x.new_zeros(len(x), width) if y is None else y} if width else {}
        return base.diffusion_model(x, timesteps, context=context, transformer_options=transformer_options, **extra)

    wrappers = get_all_wrappers(WrappersMP.APPLY_MODEL, options)
    executor = WrapperExecutor.new_class_executor(bare, base, wrappers)
    return executor.execute(x, options.get("sigmas"), None, text, None, options)
