"""Shared self-attention in the UNet, without taking anybody's place.

The host asks one function of a call's options (`optimized_attention_override`) for every attention that it computes.
For the time of a UNet call that function is ours. It knows self-attention by its keys, as modules of ours stand in for
`to_k` of those layers, and leaves all others alone; a function that was there before computes what is left to compute.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from torch import Tensor, nn

from ...uniportrait_core.style.shared_attention import shared_attention
from ..unet.calls import PAST_THE_CALL, REFERENCE, pictures_with_reference
from ..unet.layers import check_layers, self_attentions
from ..unet.sites import StandIn, standing_in
from .ip_attention import APPLY
from .replay import KEY

OVERRIDE = "optimized_attention_override"

logger = logging.getLogger("uniportrait")


class SharedAttention:
    """An `APPLY_MODEL` wrapper that lets all pictures see the first one's keys and values."""

    def __init__(self, shift: float):
        """`shift` is added to the logits of the first picture's keys (`shared_attention.logit_shift`)."""
        self.shift = shift
        self.sharers: WeakKeyDictionary[nn.Module, _Sharer] = WeakKeyDictionary()
        self.worked: bool | None = None  # whether any layer was shared; None before the first step
        self.called = self.warned = False

    def __call__(
        self,
        executor: WrapperExecutor,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        options, unet = transformer_options or {}, executor.class_obj.diffusion_model
        self.called = True
        pictures = pictures_with_reference(options, len(x))
        if pictures is None:
            self._say_that_nothing_is_shared(options)
            return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)
        if unet not in self.sharers:
            check_layers(unet, APPLY)
            self.sharers[unet] = _Sharer(self_attentions(unet), self.shift)
        sharer = self.sharers[unet]
        with sharer.at_work(len(x) // pictures, pictures, options.get(OVERRIDE)):
            shared = {**options, OVERRIDE: sharer}
            result = executor(x, t, c_concat, c_crossattn, control, shared, **kwargs)
        self.worked = bool(self.worked) or sharer.worked
        return result

    def step(self, executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options=None, seed=None) -> Tensor:
        """A `PREDICT_NOISE` wrapper: in every step layers have to be shared."""
        denoised = executor(x, timestep, model_options, seed)
        self.worked = bool(self.worked)
        return denoised

    def release(self, _patcher: ModelPatcher | None = None) -> None:
        """Forget what belongs to one sampling; say so if no layer was ever shared."""
        if self.worked is False and not self.called:
            logger.warning("%s shares nothing: %s", APPLY, PAST_THE_CALL)
        elif self.worked is False and not self.warned:
            logger.warning(
                "%s shares nothing: no self-attention layer asked for ComfyUI's attention. A node replaces attention "
                "as a whole; take that node away, and restart ComfyUI if that does not help, as some nodes leave "
                "theirs in the model.",
                APPLY,
            )
        self.sharers.clear()
        self.worked, self.called, self.warned = None, False, False

    def _say_that_nothing_is_shared(self, options: dict[str, Any]) -> None:
        if REFERENCE in options and not self.warned:
            self.warned = True
            logger.warning(
                "%s shares nothing: the U-Net is not given all pictures at a time, so that they do not see the style "
                "picture. Take away the node that cuts the batch, such as Context Windows.",
                APPLY,
            )


class _Sharer:
    """The attention function of one UNet while it works."""

    def __init__(self, attentions: Sequence[nn.Module], shift: float):
        self.keys = [_Keys(attention, self) for attention in attentions]
        self.shift = shift
        self.parts = self.pictures = 1
        self.previous: Callable | None = None
        self.key: Tensor | None = None  # the last that a self-attention layer made
        self.worked = False

    @contextmanager
    def at_work(self, parts: int, pictures: int, previous: Callable | None) -> Iterator[None]:
        """Know the keys that the layers make, for the time of a UNet call."""
        self.parts, self.pictures, self.previous = parts, pictures, previous
        try:
            with standing_in(self.keys):
                yield
        finally:
            self.previous = self.key = None

    def __call__(
        self,
        function: Callable,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        heads: int,
        mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """As the host calls an `optimized_attention_override`."""
        attention = partial(self.previous, function) if self.previous else function
        own, self.key = key is self.key, None
        if not own or mask is not None:
            return attention(query, key, value, heads, mask=mask, **kwargs)
        self.worked = True

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return attention(query, key, value, heads, mask=mask, **kwargs)

        # HyperTile cuts queries into tiles and leaves the keys to the host, which reads them as rows of as many.
        key, value = (t.reshape(len(query), -1, t.shape[-1]) for t in (key, value))
        return shared_attention(attend, query, key, value, heads, self.parts, self.pictures, self.shift)


class _Keys(StandIn):
    """In place of `to_k` of a self-attention layer."""

    def __init__(self, attention: nn.Module, sharer: _Sharer):
        super().__init__(attention, "to_k")
        self.sharer = sharer

    def forward(self, context: Tensor) -> Tensor:
        key = self.taken(context)
        self.sharer.key = key
        return key


def add_sharing(model: ModelPatcher, sharing: SharedAttention) -> None:
    """Let `sharing` work in `model`, which the caller has cloned."""
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, sharing)
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, f"{KEY}_step", sharing.step)
    model.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, sharing.release)
