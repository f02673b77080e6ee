"""Doubles of other packs, each keeping to its protocol with the host: which patch, in which order, of which shapes."""

from collections.abc import Sequence

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
