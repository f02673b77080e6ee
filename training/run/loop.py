"""The steps of both stages. `accelerate` deals with devices, processes and precision."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from uniportrait_core.errors import UniPortraitError

from ..config import Config
from ..data.batch import Batch
from ..model.build import kept_parameters
from ..model.layout import kind_of
from ..model.network import Network, Routing
from . import checkpoint
from .beginning import begin_routers
from .dice import Throws, throw
from .inputs import Frozen
from .likeness import likeness
from .objective import (
    RoutingScore,
    Schedule,
    cleaned,
    diffusion_loss,
    nearest_owners,
    noised,
    score_routing,
    weight_faces,
)
from .optimizer import make_optimizer, set_learning_rates
from .recorded import Recorded

MOST_SKIPPED = 50  # steps that half precision may leave out one after the other
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Pass:
    """What came of one batch, (pictures,) each.

    Attributes:
        diffusion: the diffusion loss.
        routing: how the routers did; None where there are none.
        unlikeness: `1 − cos` of a predicted face and its photo; NaN for pictures where that does not count, None where
            it is not asked for.
    """

    diffusion: Tensor
    routing: RoutingScore | None
    unlikeness: Tensor | None = None

    def loss(self, config: Config) -> Tensor:
        """What is minimised: `diffusion + λ · routing`, and whatever else is asked for."""
        loss = self.diffusion.mean()
        if self.routing is not None:
            loss = loss + config.router.loss_weight * self.routing.loss.mean()
        if self.unlikeness is not None:
            loss = loss + config.loss.likeness * self.unlikeness.nan_to_num().mean()
        return loss

    def detached(self) -> "Pass":
        """The same without what gradients need."""
        routing = self.routing and replace(self.routing, loss=self.routing.loss.detach())
        unlikeness = None if self.unlikeness is None else self.unlikeness.detach()
        return Pass(self.diffusion.detach(), routing, unlikeness)


class Trainer:
    """A stage, on one process of possibly many.

    Attributes:
        learn: adds to the gradients what a batch on the device says, and gives its losses.
    """

    def __init__(
        self,
        config: Config,
        stage: str,
        network: Network,
        frozen: Frozen,
        schedule: Schedule,
        accelerator: Accelerator,
        networks: Mapping[str, str],
    ):
        """
        Args:
            network: with what is trained of it requiring gradients.
            frozen: the networks that see pictures, faces and text.
            networks: fingerprints of all that is not trained.
        """
        self.config, self.stage, self.schedule, self.accelerator = config, stage, schedule, accelerator
        self.bare, self.frozen, self.networks = network, frozen, networks
        frozen.work_on(accelerator.device)
        self.trained = kept_parameters(network, config, stage)
        if accelerator.mixed_precision in HALVES:  # what is not trained need not be precise
            network.unet.to(HALVES[accelerator.mixed_precision])
        self.network: nn.Module = accelerator.prepare_model(network)
        self.optimizer = accelerator.prepare_optimizer(make_optimizer(config.optimizer, stage, self.trained))
        decay = config.run.ema
        self.ema = EMAModel(self.trained.values(), decay=decay, foreach=True) if decay else None
        self.step = self.skipped = 0
        self.learn: Callable[[Batch], Pass] = self._pass
        if config.run.cuda_graphs:
            for value in self.trained.values():  # what is recorded adds to gradients where they are
                value.grad = torch.zeros_like(value) if value.requires_grad else None
            self.learn = Recorded(self._pass, self.forget_gradients)

    @property
    def average(self) -> dict[str, Tensor]:
        """The moving average of what is trained, by name; empty where there is none."""
        return dict(zip(self.trained, self.ema.shadow_params, strict=True)) if self.ema else {}

    def begin(self, batches: Iterable[Batch]) -> None:
        """What comes before the first step: routers begin where what they read in some batches is."""
        looks = (partial(self.look, batch.to(self.accelerator.device)) for batch in batches)
        begin_routers(self.bare, looks)
        for value in self.trained.values():  # computed alike by all processes, and the same to the bit from here on
            value.data.copy_(broadcast(value.data))
        for average, value in zip(self.ema.shadow_params if self.ema else (), self.trained.values(), strict=False):
            average.copy_(value)

    def look(self, batch: Batch) -> Pass:
        """The losses of a batch on the device."""
        config, frozen = self.config, self.frozen
        batch = replace(batch, faces=frozen.features(batch.faces))
        people, levels = batch.present.shape[1], len(self.schedule.kept)
        size = frozen.latent_size(batch)
        drops = config.features, config.guidance, config.loss
        throws = throw(batch.seeds, size, levels, people, frozen.structure_features, *drops)
        clean = frozen.latents(batch, throws.posterior)
        noisy, target = noised(self.schedule, clean, throws, config.loss)
        conditions = frozen.conditions(batch, throws)
        router = config.router
        owners = nearest_owners(batch.boxes, batch.in_picture, size[1:]) if router.teacher else None
        choice = Routing(router.choice, router.temperature, throws.uniform, owners=owners)
        with self.accelerator.autocast():
            predicted, logits = self.network(
                noisy, throws.timesteps, conditions.text, conditions.added, conditions.faces, choice
            )
        weights = weight_faces(batch.boxes, batch.in_picture, size[1:], config.loss.face_weight)
        diffusion = diffusion_loss(predicted, target, self.schedule, throws.timesteps, config.loss.min_snr, weights)
        unlikeness = self._unlikeness(batch, throws, noisy, predicted.float()) if config.loss.likeness else None
        if not logits:
            return Pass(diffusion, None, unlikeness)
        logits = [layer.float() for layer in logits]
        routing = score_routing(logits, batch.boxes, batch.in_picture, batch.present, throws.no_faces, size[1:])
        return Pass(diffusion, routing, unlikeness)

    def _unlikeness(self, batch: Batch, throws: Throws, noisy: Tensor, predicted: Tensor) -> Tensor:
        """Of `Pass`; batch with features. People come in random order, so that the first is any of them."""
        loss, levels = self.config.loss, len(self.schedule.kept)
        low, high = (levels * share for share in loss.likeness_levels)
        counts = (low <= throws.timesteps) & (throws.timesteps < high) & ~throws.no_faces & batch.in_picture[:, 0]
        pictures = torch.arange(len(counts), device=counts.device)
        if not self.config.run.cuda_graphs:  # whose work is always of one size; here nothing is decoded in vain
            pictures = pictures[counts]
        unlike = torch.full((len(counts),), torch.nan, device=counts.device)
        if not len(pictures):
            return unlike
        seen = likeness(
            self.frozen.vae,
            self.frozen.backbone,
            cleaned(self.schedule, noisy[pictures], predicted[pictures], throws.timesteps[pictures]),
            batch.landmarks[pictures, 0],
            batch.faces.embedding[pictures, 0],
            loss.likeness_window,
        )
        return torch.where(counts, unlike.index_put((pictures,), 1 - seen), torch.nan)

    def _pass(self, batch: Batch) -> Pass:
        """What `learn` does, recorded or not."""
        found = self.look(batch)
        self.accelerator.backward(found.loss(self.config) / self.config.run.accumulation)
        return found.detached()

    def forget_gradients(self) -> None:
        """As if nothing had been learned since the last step."""
        self.optimizer.zero_grad(set_to_none=not self.config.run.cuda_graphs)

    def take_step(self, batches: Sequence[Batch]) -> dict[str, float]:
        """One step of the optimizer on as many batches as are accumulated; this process's share of them.

        Returns:
            What goes into the log, averaged over all processes.

        Raises:
            UniPortraitError: the loss, or the gradient, is no number. The weights are those of the step before.
        """
        settings, accelerator = self.config.optimizer, self.accelerator
        rates = set_learning_rates(self.optimizer, settings, self.step)
        passes: list[Pass] = []
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            with nullcontext() if last else accelerator.no_sync(self.network):
                passes.append(self.learn(batch.to(accelerator.device)))
            self._stop_unless_finite(passes[-1].loss(self.config), batches, "loss")
        accelerator.unscale_gradients(self.optimizer)
        norm = nn.utils.clip_grad_norm_(list(self.trained.values()), settings.max_norm or math.inf)
        if accelerator.scaler is None:  # which leaves out a step by itself
            self._stop_unless_finite(norm, batches, "gradient")
        self.optimizer.step()
        self.forget_gradients()
        self.step += 1
        if self.optimizer.step_was_skipped:
            self._stop_if_skipped_too_often()
        else:
            self.skipped = 0
            if self.ema:
                self.ema.step(self.trained.values())
        return {**rates, "gradient_norm": float(norm), **self._averaged(passes)}

    def save(self) -> None:
        """Write a checkpoint, on the main process. Raises UniPortraitError where that fails."""
        if self.accelerator.is_main_process:
            run = self.config.run
            progress = checkpoint.Progress(self.step, self._deciding(), self._free(), self._scaler())
            checkpoint.save(run.output, progress, self.trained, self.average, self.optimizer, run.keep)
        self.accelerator.wait_for_everyone()

    def resume(self) -> str:
        """Go on from the last whole checkpoint, if there is one.

        Returns:
            Settings that are others than before, and may be, in words.

        Raises:
            UniPortraitError: it was made with settings that decide what is trained on what; or only some processes
                have it.
        """
        folder, changed = self.config.run.output, ""
        if self.accelerator.is_main_process:
            checkpoint.remove_partial(folder)
        found = checkpoint.latest(folder)
        if found is not None:
            progress = checkpoint.read(found)
            checkpoint.check_deciding(found, progress.deciding, self._deciding())
            changed = checkpoint.differences(progress.free, self._free())
            checkpoint.load(found, self.trained, self.average, self.optimizer)
            if self.ema:
                self.ema.optimization_step = progress.step
            if self.accelerator.scaler is not None and progress.scaler:
                self.accelerator.scaler.load_state_dict(progress.scaler)
            self.step = progress.step
        self._stop_unless_together()
        return changed

    @contextmanager
    def exported(self) -> Iterator[None]:
        """While it lasts, the network has the weights that are exported."""
        if self.ema:
            self.ema.store(self.trained.values())
            self.ema.copy_to(self.trained.values())
        try:
            yield
        finally:
            if self.ema:
                self.ema.restore(self.trained.values())

    def weights(self) -> dict[str, Tensor]:
        """What is exported: the moving average where there is one."""
        return self.average or {name: value.detach() for name, value in self.trained.items()}

    def _averaged(self, passes: Sequence[Pass]) -> dict[str, float]:
        columns = {"loss/diffusion": [found.diffusion for found in passes]}
        if passes[0].routing is not None:
            columns["loss/routing"] = [found.routing.loss for found in passes]
            columns["routed_right"] = [found.routing.right for found in passes]
        if passes[0].unlikeness is not None:
            columns["loss/unlikeness"] = [found.unlikeness for found in passes]
        stacked = torch.stack([torch.cat(column).detach().float() for column in columns.values()])
        everybody = self.accelerator.gather(stacked.mT)
        return dict(zip(columns, everybody.nanmean(dim=0).tolist(), strict=True))

    def _stop_unless_finite(self, value: Tensor, batches: Sequence[Batch], what: str) -> None:
        bad = self.accelerator.reduce((~value.isfinite()).float().reshape(1), "sum")
        if not bad.item():
            return
        if value.isfinite():
            raise UniPortraitError(f"The {what} of another process is no number at step {self.step + 1}; it says more.")
        keys = ", ".join(key for batch in batches for key in batch.keys)
        raise UniPortraitError(
            f"The {what} is no number at step {self.step + 1}; the pictures were {keys}. The last checkpoint, if there "
            "is one, holds good weights: look at these pictures, lower optimizer.learning_rate, or set run.precision "
            "to bf16 or no, and start again."
        )

    def _stop_if_skipped_too_often(self) -> None:
        self.skipped += 1
        if self.skipped == MOST_SKIPPED:
            raise UniPortraitError(
                f"The gradients were no numbers in the last {MOST_SKIPPED} steps, up to step {self.step}. Set "
                "run.precision to bf16 or no, or lower optimizer.learning_rate, and start again from a checkpoint "
                "before."
            )

    def _stop_unless_together(self) -> None:
        steps = self.accelerator.gather(torch.tensor([self.step], device=self.accelerator.device)).tolist()
        if len(set(steps)) > 1:
            raise UniPortraitError(
                f"The processes are at steps {steps}: not all of them see the checkpoints in {self.config.run.output}. "
                "Give a folder that all machines share at run.output, or copy the last checkpoint to each."
            )

    def _deciding(self) -> dict:
        """What has to be the same for a training to go on: what is trained, on what, in which order."""
        config, run = self.config, self.config.run
        pictures = self.accelerator.num_processes * run.batch * run.accumulation
        return {
            "stage": self.stage,
            "base": kind_of(self.bare.unet),
            "pictures per step": pictures,  # who computes which part of a step makes no difference
            "networks": dict(self.networks),
            "features": config.features.model_dump(mode="json", include={"intrinsic", "structure"}),
            "resampler": config.resampler.model_dump(),
            "router": config.router.model_dump(include={"choice", "hidden"}),
            "data": config.data.model_dump(include={"resolution", "buckets", "max_people"}),
            "run": {"seed": run.seed, "lora_rank": run.lora_rank, "ema": bool(run.ema)},
        }

    def _free(self) -> dict:
        """All else that makes a difference."""
        apart = {"data": {"shards", "workers", "detector"}, "base": True, "preview": True, "resampler": True}
        places = {
            "output",
            "stage_one",
            "start_from",
            "steps",
            "seconds",
            "keep",
            "checkpoint_every",
            "batch",
            "accumulation",
        }
        return self.config.model_dump(mode="json", exclude=apart | {"run": places})

    def _scaler(self) -> dict:
        scaler = self.accelerator.scaler
        return {} if scaler is None else scaler.state_dict()
