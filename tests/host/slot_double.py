"""A double of packs that share a block's slot for attention: IPAdapter_plus, InstantID, PuLID."""

from collections.abc import Callable, Iterator
from functools import cache

import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from torch import Tensor

import recipe
import small


class Shared:
    """What IPAdapter_plus and its kin put into a block's slot: attention, to which others may add theirs."""

    def __init__(self, callback: Callable, **kwargs: object):
        self.added = [(callback, kwargs)]

    def add(self, callback: Callable, **kwargs: object) -> None:
        self.added.append((callback, kwargs))

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, extra_options: dict) -> Tensor:
        out = optimized_attention(q, k, v, extra_options["n_heads"])
        sigma = extra_options["sigmas"][0].item()
        for callback, kwargs in self.added:
            if kwargs["sigma_end"] <= sigma <= kwargs["sigma_start"]:
                out = out + callback(out, q, k, v, extra_options, **kwargs)
        return out


def picture_adapter(model: ModelPatcher, name: str, weight: float = 1.0) -> ModelPatcher:
    """The pack's node: a copy of the model in which every block's slot is taken or shared."""
    model = model.clone()
    cond, uncond = recipe.noise(name, (2, 1, 4, small.context_of(model)))
    for number, block in enumerate(_slots(model)):
        settings = {"module_key": f"{name}.{number}", "weight": weight, "sigma_start": 999999999.9, "sigma_end": 0.0}
        options = model.model_options["transformer_options"].copy()
        options["patches_replace"] = replaced = options.get("patches_replace", {}).copy()
        replaced["attn2"] = slots = replaced.get("attn2", {}).copy()
        if block in slots:
            slots[block].add(_picture_attention, cond=cond, uncond=uncond, **settings)
        else:
            slots[block] = Shared(_picture_attention, cond=cond, uncond=uncond, **settings)
            model.model_options["transformer_options"] = options
    return model


def _slots(model: ModelPatcher) -> Iterator[tuple]:
    """Names of the blocks; in models such as SDXL the number of the transformer in the block is part of them."""
    unet = model.model.diffusion_model
    # Like IPAdapter_plus it takes ("middle", 1), which the host never asks for.
    stages = {
        "input": enumerate(unet.input_blocks),
        "output": enumerate(unet.output_blocks),
        "middle": [(1, unet.middle_block)],
    }
    for name, blocks in stages.items():
        for number, block in blocks:
            for depth in (len(layer.transformer_blocks) for layer in block if hasattr(layer, "transformer_blocks")):
                yield from [(name, number)] if depth == 1 else ((name, number, index) for index in range(depth))


def _picture_attention(out, q, k, v, extra_options, module_key, cond, uncond, weight, **_) -> Tensor:
    """Cross-attention to a picture's tokens; the projections are made from the module's name."""
    kinds = extra_options["cond_or_uncond"]
    tokens = torch.cat([(cond, uncond)[kind].expand(len(q) // len(kinds), -1, -1) for kind in kinds])
    key, value = (tokens @ _projection(f"{module_key}.{half}", tokens.shape[-1], q.shape[-1]) for half in "kv")
    return weight * optimized_attention(q, key, value, extra_options["n_heads"])


@cache
def _projection(name: str, dim: int, channels: int) -> Tensor:
    return recipe.weight("picture", name, (dim, channels))
