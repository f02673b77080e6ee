"""The tap: ID attention inside the UNet without taking anybody's place.

For the time of one UNet call it takes the cross-attention layers (`sites.py`), and gives them back even after an error.
The wrapper is handed the UNet of the very device and the options of the very call, so nothing depends on what ran
before. It stands outside the UNet proper, where torch.compile has no part in it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import ceil
from typing import Any
from weakref import WeakKeyDictionary

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from torch import Tensor, nn

from ...uniportrait_core.attention.id_attention import IDAttention
from ...uniportrait_core.attention.word_attention import Spoken
from ...uniportrait_core.routing.regions import Window, grid_size, region_shares
from .calls import (
    PAST_THE_CALL,
    Part,
    Sigmas,
    add_notes,
    has_parts,
    parts_of,
    pictures_with_reference,
    placed,
    within,
)
from .layers import check_layers, cross_attentions
from .people_words import Words
from .rows import Rows, watched
from .sites import Addition, Site, adding
from .watch import recorder_of

KEY = "uniportrait"  # every key under which the pack adds something to a model begins so
APPLY = "Apply ID Router"  # title of the node, for messages
LEVELS = 4  # grids of the UNet's layers: the latent's, and each half as large as the one before

logger = logging.getLogger("uniportrait")


class IDTap:
    """An `APPLY_MODEL` wrapper that adds ID attention to cross-attention layers.

    Copies of the layers and of the regions on the sampling device live from the first step of a sampling to its end.
    """

    def __init__(
        self,
        layers: Mapping[int, IDAttention],
        masks: Sequence[Tensor | None],
        sigmas: Sigmas | None = None,
        node: str = APPLY,
        words: Words | None = None,
    ):
        """
        Args:
            layers: ID attention by number of the cross-attention layer, in the order of the published weights.
            masks: region mask per person, (height, width), or None where the router decides; empty where the layers
                add what is nobody's.
            sigmas: noise levels between which the tap works; None for always.
            node: title of the node whose tap it is, for messages.
            words: what is said of each person alone, if anything is.
        """
        self.layers, self.words = layers, words
        self.masks = None if all(mask is None for mask in masks) else masks
        self.people = len(masks)
        self.alone = self.people == 1 and self.masks is None  # the whole picture is one person's, without being routed
        self.sigmas = sigmas
        self.node = node
        self.sites: WeakKeyDictionary[nn.Module, list[Site]] = WeakKeyDictionary()
        self.resident: dict[tuple[torch.device, torch.dtype], dict[int, IDAttention]] = {}
        self.shares: dict[tuple[Window, tuple[int, int], torch.device, torch.dtype], Tensor] = {}
        self.worked: bool | None = None  # whether any layer was run; None before the first step
        self.called = self.tiled = False
        self.rows = Rows(node)

    def __call__(
        self,
        executor: WrapperExecutor,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        options, conditions = placed(transformer_options or {}, kwargs, x)
        plainly = partial(executor, x, t, c_concat, c_crossattn, control)
        if not self._active(options.get("sigmas")):
            return plainly(options, **conditions)
        self.called = True
        if not has_parts(options, len(x)):
            self.rows.say_that_some_are_nobodys()
            return plainly(options, **conditions)
        base = executor.class_obj
        dtype = base.manual_cast_dtype or base.get_dtype()
        self._copy(x.device, dtype)  # torch.compile finds the copies there
        sites = self._sites(base.diffusion_model)
        options, rows = watched(options, self.rows)
        words = None
        if self.words is not None:
            words = self.words.now(base, sites, options.get("sigmas"), x.device, dtype)
        with adding(sites, self._addition(options, x, dtype, rows, words)):
            result = plainly(options, **conditions)
        self.worked = bool(self.worked) or any(site.worked for site in sites)
        return result

    def step(self, executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
        """A `PREDICT_NOISE` wrapper: in some step the layers have to be run."""
        denoised = executor(x, timestep, model_options, seed)
        if self.worked is None and self._active(timestep):
            self.worked = False
        return denoised

    def release(self, _patcher: ModelPatcher | None = None) -> None:
        """Forget all that belongs to one sampling; say so if no layer was ever run."""
        if self.worked is False and not self.called:
            logger.warning("%s had no effect: %s", self.node, PAST_THE_CALL)
        elif self.worked is False and not self.rows.warned:
            logger.warning(
                "%s had no effect: the U-Net's cross-attention layers were never run. A node after it replaces the "
                "U-Net or its attention as a whole; take that node away.",
                self.node,
            )
        self.worked, self.called, self.tiled = None, False, False
        for kept in (self.sites, self.resident, self.shares, self.rows, self.words):
            if kept is not None:
                kept.clear()

    def _active(self, sigma: Tensor | None) -> bool:
        return within(self.sigmas, sigma)

    def _sites(self, unet: nn.Module) -> list[Site]:
        if unet not in self.sites:
            check_layers(unet, self.node)
            attentions = cross_attentions(unet)
            self.sites[unet] = [Site(attentions[index], index) for index in self.layers]
        return self.sites[unet]

    def _addition(
        self,
        options: Mapping[str, Any],
        x: Tensor,
        dtype: torch.dtype,
        rows: Rows,
        words: Mapping[int, Sequence[Spoken | None]] | None,
    ) -> Addition:
        parts = parts_of(options)
        shares = None if self.masks is None else self._shares(parts, x, dtype)
        recorder = None
        if self.people:
            recorder = recorder_of(options, parts, x, self)
        pictures = pictures_with_reference(options, len(x))
        return Addition(self._on, len(x), rows, [part.kind for part in parts], shares, recorder, pictures, words)

    def _on(self, device: torch.device, dtype: torch.dtype) -> dict[int, IDAttention]:
        return self.resident.get((device, dtype)) or self._copy(device, dtype)

    @torch.compiler.disable
    def _copy(self, device: torch.device, dtype: torch.dtype) -> dict[int, IDAttention]:
        if (device, dtype) not in self.resident:
            self.resident[device, dtype] = {index: layer.to(device, dtype) for index, layer in self.layers.items()}
        return self.resident[device, dtype]

    def _shares(self, parts: Sequence[Part], x: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """What gives the regions' shares for some queries, (people, rows or 1, spots)."""
        latent = tuple(x.shape[-2:])
        if any(part.size not in (None, latent) for part in parts) and not self.tiled:
            self.tiled = True
            logger.warning(
                "The sampler draws the picture in tiles and does not say where they are: region masks are fitted into "
                "each tile. Use a sampler without tiles, or people without masks."
            )
        on_grid = partial(self._on_grid, parts, len(x), x.device, dtype)
        known, size = {}, latent
        for _ in range(LEVELS):  # made here, torch.compile has no part in it
            known[size[0] * size[1]] = on_grid(size)
            size = tuple(ceil(side / 2) for side in size)
        return partial(_look_up, known, latent, on_grid)

    def _on_grid(
        self, parts: Sequence[Part], rows: int, device: torch.device, dtype: torch.dtype, size: tuple[int, int]
    ) -> Tensor:
        shares = [self._region(part.window, size, device, dtype)[:, None] for part in parts]
        if len({part.window for part in parts}) == 1:
            return shares[0]
        return torch.cat(shares, dim=1).repeat_interleave(rows // len(parts), dim=1)

    def _region(self, window: Window, size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
        key = (window, size, device, dtype)
        if key not in self.shares:
            self.shares[key] = region_shares(self.masks, size, window).to(device, dtype)
        return self.shares[key]


def _look_up(
    known: Mapping[int, Tensor], latent: tuple[int, int], on_grid: Callable[[tuple[int, int]], Tensor], query: Tensor
) -> Tensor:
    """The shares for as many spots as there are queries; made now where a node has changed the layers' grids."""
    spots = query.shape[1]
    shares = known[spots] if spots in known else on_grid(grid_size(spots, *latent))
    return shares.to(query)


def taps_of(model: ModelPatcher) -> list[IDTap]:
    """The taps that draw people in `model`."""
    return model.get_wrappers(WrappersMP.APPLY_MODEL, KEY)


def add_tap(model: ModelPatcher, tap: IDTap, key: str = KEY) -> None:
    """Let `tap` work in `model`, which the caller has cloned."""
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, key, tap)
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, key, tap.step)
    add_notes(model)
    model.add_callback_with_key(CallbacksMP.ON_CLEANUP, key, tap.release)
