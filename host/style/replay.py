"""The reference in a sampling: whatever the sampler does, the first picture is the style picture at every noise level.

The sampler's own state of the first picture is never shown to the model, which sees the trajectory instead; and the
sampler is told that the model has found the style picture's own latent, so that every sampler, with noise added on the
way or not, ends there.
"""

from collections.abc import Callable
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrapperExecutor, WrappersMP
from torch import Tensor

from ...uniportrait_core.errors import UniPortraitError
from ...uniportrait_core.style.trajectory import Trajectory
from ..unet.calls import REFERENCE, noted
from .picture import Style

KEY = "uniportrait_style"
SAME = 0.05  # relative difference up to which a latent is the style picture's, saved in half precision for example


class Replay:
    """Wrappers around a sampling and around each of its steps. On the device it has copies for one sampling."""

    def __init__(self, style: Style):
        self.style = style
        self.resident: dict[torch.device, Trajectory] = {}

    def sample(
        self,
        executor: WrapperExecutor,
        noise: Tensor,
        latent_image: Tensor,
        sampler: object,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Callable | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """An `OUTER_SAMPLE` wrapper."""
        self._check(noise, latent_image)
        previews = _Previews(callback)
        samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, callback and previews, *args, **kwargs)
        previews.mend(self.style.trajectory.clean)
        # Some samplers stop a little before the end, or are stopped.
        return torch.cat((self.style.latent.to(samples), samples[1:]))

    def predict(
        self, executor: WrapperExecutor, x: Tensor, timestep: Tensor, model_options: dict | None = None, seed=None
    ) -> Tensor:
        """A `PREDICT_NOISE` wrapper."""
        if x.device not in self.resident:
            self.resident[x.device] = self.style.trajectory.to(x.device)
        trajectory = self.resident[x.device]
        if x.shape[1:] != trajectory.latents.shape[1:]:
            raise UniPortraitError(
                f"The sampler changes the latent's size on its way, from {tuple(trajectory.latents.shape[1:])} to "
                f"{tuple(x.shape[1:])}; Apply Style needs one size. Use another sampler, or a second pass with another "
                "Style Reference."
            )
        options = noted(model_options, REFERENCE, len(x))
        x = torch.cat((trajectory.at(timestep[:1]).to(x), x[1:]))
        denoised = executor(x, timestep, options, seed)
        return torch.cat((trajectory.clean.to(denoised), denoised[1:]))

    def release(self, _patcher: ModelPatcher | None = None) -> None:
        """Forget what belongs to one sampling."""
        self.resident.clear()

    def _check(self, noise: Tensor, latent: Tensor) -> None:
        wanted = self.style.latent
        fits = len(latent) >= 2 and latent.shape[1:] == wanted.shape[1:]
        # A sampler that goes on from another one's noise adds none: then the first picture may be in any state.
        if not fits or (noise.any() and not (latent[:1].to(wanted) - wanted).norm() <= SAME * wanted.norm()):
            raise UniPortraitError(
                f"The latent at the sampler, of shape {tuple(latent.shape)}, does not begin with the style picture of "
                f"Apply Style, {tuple(wanted.shape)}, with pictures to draw behind it. Connect the output latent of "
                "Style Reference to the sampler; for a second pass in another size use another Style Reference."
            )


class _Previews:
    """The sampler's callback: previews show the first picture, so it is given the first that is drawn in its place."""

    def __init__(self, callback: Callable | None):
        self.callback = callback
        self.last: Tensor | None = None

    def __call__(self, step: int, denoised: Tensor, x: Tensor, total: int) -> None:
        self.last = torch.cat((denoised[1:2], denoised[1:]))
        self.callback(step, self.last, x, total)

    def mend(self, clean: Tensor) -> None:
        """What a node has kept of the last step, as its denoised output, is to have the reference in its place."""
        if self.last is not None:
            self.last[:1] = clean.to(self.last)


def add_replay(model: ModelPatcher, replay: Replay) -> None:
    """Let `replay` work in `model`, which the caller has cloned. Raises UniPortraitError where another does already."""
    if model.get_wrappers(WrappersMP.PREDICT_NOISE, KEY):
        raise UniPortraitError(
            "The model at Apply Style has passed an Apply Style already, and there is room for one style picture. "
            "Connect the model from before it."
        )
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, replay.sample)
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, KEY, replay.predict)
    model.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, replay.release)
