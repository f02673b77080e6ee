"""The tap: ID attention inside the UNet without taking anybody's place.

While one UNet call lasts, every cross-attention module has two hooks: one on `to_q` keeps the layer's input and
queries, one before `to_out` adds ID attention to the attention output. The host calls both modules whether or not
another pack replaced the attention between them, so the tap composes with any pack in any order. The wrapper is handed
the UNet of the very device and the options of the very call, and takes its hooks away even after an error.
"""

from collections.abc import Sequence

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..uniportrait_core.attention import COND, UNCOND, IDAttention
from ..uniportrait_core.regions import grid_size, region_shares
from .unet import cross_attentions

KEY = "uniportrait"


class IDTap:
    """A `DIFFUSION_MODEL` wrapper that adds ID attention to every cross-attention layer.

    Copies of the layers and of the regions on the sampling device live from the first step of a sampling to its end.
    """

    def __init__(
        self, layers: Sequence[IDAttention], masks: Sequence[Tensor | None], sigmas: tuple[float, float] | None
    ):
        """
        Args:
            layers: ID attention per cross-attention layer, in the order of the published weights.
            masks: region mask per person, (height, width), or None where the router decides.
            sigmas: noise levels (highest, lowest) between which the tap works; None for always.
        """
        self.layers = layers
        self.masks = None if all(mask is None for mask in masks) else masks
        self.sigmas = sigmas
        self.resident: dict[tuple[torch.device, torch.dtype], list[IDAttention]] = {}
        self.shares: dict[tuple[torch.Size, int, torch.device, torch.dtype], Tensor] = {}

    def __call__(
        self, executor: WrapperExecutor, x, timesteps, context, y=None, control=None, transformer_options=None, **kwargs
    ) -> Tensor:
        options = transformer_options or {}
        hooks: list[RemovableHandle] = []
        try:
            if self._active(options.get("sigmas")):
                # Some guiders number further halves; only the first is the positive prompt.
                kinds = [COND if kind == 0 else UNCOND for kind in options.get("cond_or_uncond", [COND])]
                for index, attention in enumerate(cross_attentions(executor.class_obj)):
                    self._hook(hooks, index, attention, kinds, x.shape[-2:])
            return executor(x, timesteps, context, y, control, transformer_options, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()

    def release(self, _patcher: ModelPatcher | None = None) -> None:
        """Free the copies on the sampling device."""
        self.resident.clear()
        self.shares.clear()

    def _active(self, sigma: Tensor | None) -> bool:
        if self.sigmas is None or sigma is None:
            return True
        highest, lowest = self.sigmas
        return lowest <= float(sigma.max()) <= highest

    def _hook(
        self, hooks: list[RemovableHandle], index: int, attention: nn.Module, kinds: list[int], latent: torch.Size
    ) -> None:
        seen: dict[str, Tensor] = {}

        def keep(_module: nn.Module, inputs: tuple[Tensor, ...], query: Tensor) -> None:
            seen["x"], seen["query"] = inputs[0], query

        def add(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x, query = seen.pop("x"), seen.pop("query")
            layer = self._on(query.device, query.dtype)[index]
            shares = None if self.masks is None else self._shares(latent, query)
            return layer(inputs[0], x, query, attention.heads, kinds, shares), *inputs[1:]

        hooks.append(attention.to_q.register_forward_hook(keep))
        hooks.append(attention.to_out.register_forward_pre_hook(add))

    def _on(self, device: torch.device, dtype: torch.dtype) -> list[IDAttention]:
        if (device, dtype) not in self.resident:
            self.resident[device, dtype] = [layer.to(device, dtype) for layer in self.layers]
        return self.resident[device, dtype]

    def _shares(self, latent: torch.Size, query: Tensor) -> Tensor:
        spots = query.shape[1]
        key = (latent, spots, query.device, query.dtype)
        if key not in self.shares:
            self.shares[key] = region_shares(self.masks, grid_size(spots, *latent)).to(query)
        return self.shares[key]


def add_tap(model: ModelPatcher, tap: IDTap) -> None:
    """Let `tap` work in `model`, which the caller has cloned."""
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, tap)
    model.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, tap.release)
