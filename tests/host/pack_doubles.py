"""Doubles of other packs, each keeping to its protocol with the host: which patch, in which order, of which shapes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from comfy.hooks import EnumHookScope, HookGroup, TransformerOptionsHook, set_hooks_for_conditioning
from comfy.model_patcher import ModelPatcher
from torch import Tensor

COUPLED = "couple_double"  # in a layer's options: the copies that were made


class Couple:
    """Attention Couple: a prompt for each region of the picture (PPM, cgem156, prompt-control).

    An `attn2_patch`, called before `to_q` with queries (rows, spots, channels), keys and values (rows, tokens, 768) and
    the layer's options, repeats what belongs to positive prompts once per region, and gives each copy the text of its
    region. `cond_or_uncond` of the options says which of the equal parts of the rows are positive, 0. The packs' order
    is "regions": for each part all its rows for the first region, then all for the second. An `attn2_output_patch`,
    called behind `to_out` with (copies, spots, channels) and the same options, joins them by masks, which the options'
    `activations_shape` brings to the layer's grid. PPM and prompt-control leave a note in the options for it; cgem156
    keeps one on the node, and insists on keys that equal values. Nothing else is patched.
    """

    def __init__(self, texts: Sequence[Tensor | None], masks: Tensor, order: str = "regions"):
        """
        Args:
            texts: of each region, (1, tokens, 768); None for the prompt's own.
            masks: of each region, (regions, height, width), in sum 1 everywhere.
            order: of the copies: "regions"; "rows", all copies of a row, then those of the next; "behind", the call's
                rows, and behind them all copies of the second region, then of the third.
        """
        self.texts, self.masks, self.order = texts, masks, order
        self.calls = 0

    def copies(self, rows: int, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """(row, region) of every copy; a region of −1 is a row of a negative prompt."""
        parts = torch.arange(rows).chunk(len(numbers))
        found = []
        for part, number in zip(parts, numbers, strict=True):
            regions = range(len(self.texts)) if number == 0 else [-1]
            found += [(int(row), region) for region in regions for row in part]
        if self.order == "rows":
            found.sort()
        if self.order == "behind":
            found.sort(key=lambda copy: (max(copy[1], 0), copy[0]))
        return found

    def repeat(self, query: Tensor, key: Tensor, value: Tensor, options: dict) -> tuple[Tensor, Tensor, Tensor]:
        self.calls += 1
        assert torch.equal(key, value), "k and v must be the same."
        copies = options[COUPLED] = self.copies(len(query), options["cond_or_uncond"])
        texts = [
            key[row : row + 1] if region < 0 or self.texts[region] is None else self.texts[region].to(key)
            for row, region in copies
        ]
        text = torch.cat(texts)
        return query[[row for row, _ in copies]], text, text

    def join(self, hidden: Tensor, options: dict) -> Tensor:
        size = tuple(options["activations_shape"][-2:])
        masks = F.interpolate(self.masks[None], size=size, mode="nearest")[0].flatten(1)[..., None].to(hidden)
        rows: dict[int, Tensor] = {}
        for copy, (row, region) in zip(hidden, options[COUPLED], strict=True):
            rows[row] = rows.get(row, 0) + (copy if region < 0 else copy * masks[region])
        return torch.stack([rows[row] for row in sorted(rows)])

    def on_model(self, model: ModelPatcher) -> ModelPatcher:
        """As PPM and cgem156: for all calls."""
        model = model.clone()
        model.set_model_attn2_patch(self.repeat)
        model.set_model_attn2_output_patch(self.join)
        return model

    def on_prompts(self, *prompts: list) -> list[list]:
        """As prompt-control: a hook of the positive prompt brings both patches along into calls for prompts with the
        same hooks; its node for batched negatives gives the negative prompt them too, so that both are in one call."""
        patches = {"attn2_patch": [self.repeat], "attn2_output_patch": [self.join]}
        hooks = HookGroup()
        hooks.add(TransformerOptionsHook({"patches": patches}, hook_scope=EnumHookScope.HookedOnly))
        return [set_hooks_for_conditioning(prompt, hooks=hooks, append_hooks=True) for prompt in prompts]


def regions(count: int, height: int = 16, width: int = 8) -> Tensor:
    """Masks of stripes from top to bottom, (count, height, width)."""
    stripe = torch.arange(height) * count // height
    return (stripe == torch.arange(count)[:, None]).float()[..., None].expand(-1, -1, width)


def in_tiles(model: ModelPatcher, boxes: Sequence[tuple[int, int, int, int]], batch: int, shift: int = 0):
    """A model drawn in tiles, as TiledDiffusion does it (MultiDiffusion, Mixture of Diffusers, SpotDiffusion).

    Its `model_function_wrapper` cuts the call's input (rows, channels, height, width) at boxes of top, left, height and
    width, batches some of them tile by tile, all rows of the first, then all of the second, and calls the function that
    it is given. Of the conditions (`c`) it cuts tensors of four dimensions likewise, at boxes in proportion to their
    size, but fails where they are of the latent's own. Rows of all others it repeats until there are enough; what is no
    tensor it hands on. Where tiles overlap it takes the average. SpotDiffusion shifts input and conditions around the
    edge before.
    """

    def cut(t: Tensor, tiles: Sequence[tuple[int, int, int, int]], scale: int = 1) -> Tensor:
        t, boxes = t.roll(scale * shift, dims=-2), [[scale * side for side in box] for box in tiles]
        return torch.cat([t[..., top : top + high, left : left + wide] for top, left, high, wide in boxes])

    def condition(value: object, tiles: Sequence[tuple[int, int, int, int]], rows: int, x: Tensor) -> object:
        if not isinstance(value, Tensor):
            return value
        if value.ndim == 4:
            assert value.shape[-2:] != x.shape[-2:], "the pack takes a box for a list of boxes here"
            value = cut(value, tiles, value.shape[-1] // x.shape[-1])
        return value.repeat(-(-rows // len(value)), *[1] * (value.ndim - 1))[:rows]

    def wrapper(apply_model, call: dict) -> Tensor:
        x, timestep = call["input"], call["timestep"]
        total, count = torch.zeros_like(x), torch.zeros_like(x)
        for start in range(0, len(boxes), batch):
            tiles = boxes[start : start + batch]
            tile = cut(x, tiles)
            conditions = {key: condition(value, tiles, len(tile), x) for key, value in call["c"].items()}
            drawn = apply_model(tile, condition(timestep, tiles, len(tile), x), **conditions).chunk(len(tiles))
            for part, (top, left, high, wide) in zip(drawn, tiles, strict=True):
                total[..., top : top + high, left : left + wide] += part
                count[..., top : top + high, left : left + wide] += 1
        return (total / count).roll(-shift, dims=-2)

    model = model.clone()
    model.set_model_unet_function_wrapper(wrapper)
    return model


def past_the_call(model: ModelPatcher) -> ModelPatcher:
    """A model whose blocks a pack runs by itself, as DeepCache does to leave some of them out.

    Its `model_function_wrapper` takes the text and the options out of the conditions, and never calls the function that
    it is given, so that wrappers of the host's call are not asked. The double leaves no block out.
    """

    def wrapper(_apply_model, call: dict) -> Tensor:
        x, sigma, conditions = call["input"], call["timestep"], call["c"]
        sampling = model.model.model_sampling
        drawn = model.model.diffusion_model(
            sampling.calculate_input(sigma, x),
            sampling.timestep(sigma).float(),
            context=conditions["c_crossattn"],
            transformer_options=conditions["transformer_options"],
        )
        return sampling.calculate_denoised(sigma, drawn, x)

    model = model.clone()
    model.set_model_unet_function_wrapper(wrapper)
    return model


@contextmanager
def attention_of_its_own(model: ModelPatcher) -> Iterator[None]:
    """A U-Net in which T-GATE has run: it puts a `forward` of its own into every attention layer (`attn1`, `attn2`),
    which calls the layer's projections and PyTorch's attention, and leaves it there. The double skips nothing."""

    def forward(layer: torch.nn.Module, x: Tensor, context: Tensor | None = None, *_args: object, **_kwargs: object):
        seen = x if context is None else context
        query, key, value = (
            part.unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for part in (layer.to_q(x), layer.to_k(seen), layer.to_v(seen))
        )
        return layer.to_out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))

    unet = model.model.diffusion_model
    layers = [layer for name, layer in unet.named_modules() if name.endswith((".attn1", ".attn2"))]
    for layer in layers:
        layer.forward = partial(forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def without_numbers(model: ModelPatcher) -> ModelPatcher:
    """A model called by a pack with options of its own, in which `cond_or_uncond` and uuids are missing or None."""

    def wrapper(apply_model, call: dict) -> Tensor:
        options = {**call["c"]["transformer_options"], "cond_or_uncond": None}
        del options["uuids"]
        return apply_model(call["input"], call["timestep"], **{**call["c"], "transformer_options": options})

    model = model.clone()
    model.set_model_unet_function_wrapper(wrapper)
    return model


def with_reference_pass(model: ModelPatcher, hint: Tensor) -> ModelPatcher:
    """A model with Advanced-ControlNet's reference: a `DIFFUSION_MODEL` wrapper runs the U-Net on a reference picture,
    in as many rows as the call has and with the same options, and then for the picture itself."""

    def wrapper(executor, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        executor(hint.expand_as(x).to(x), *args, **kwargs)
        return executor(x, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key("diffusion_model", "reference_double", wrapper)
    return model


def ic_light(model: ModelPatcher, further: Tensor) -> ModelPatcher:
    """A model with IC-Light: a weight patch `diff` with `pad_weight` widens the first layer, of shape (channels, 4, 3,
    3), to the difference's own (channels, 8, 3, 3), and a `model_function_wrapper` hands on the further channels."""

    def wrapper(apply_model, call: dict) -> Tensor:
        conditions = {**call["c"], "c_concat": further.expand(len(call["input"]), -1, -1, -1)}
        return apply_model(call["input"], call["timestep"], **conditions)

    model = model.clone()
    name = "diffusion_model.input_blocks.0.0.weight"
    old = model.model.state_dict()[name]
    model.add_patches({name: ("diff", [torch.full((len(old), 8, 3, 3), 0.01), {"pad_weight": True}])})
    model.set_model_unet_function_wrapper(wrapper)
    return model
