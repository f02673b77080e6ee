"""The loop that all networks are trained by."""

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn

from training.run.recorded import record

from .job import Job

SAVE_EVERY = 30.0  # seconds
SAVING_SHARE = 0.04  # of the time, at most; measuring quality takes long on a CPU
SAY_EVERY = 10.0
WARM = 0.05  # share of the training in which the rate rises
SETTLING = 32  # batches
logger = logging.getLogger("miniworld")


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        model: the running average of its weights, in evaluation mode.
        before: of the trainings that this one went on from (`weights.history`).
    """

    model: nn.Module
    steps: int
    seconds: float
    before: Mapping[str, str]


class _Average:
    """A running average of a network's weights; buffers are the last ones (but see `_settle`)."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay
        self._pairs = list(zip(self.model.parameters(), model.parameters(), strict=True))
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        averaged, current = zip(*self._pairs, strict=True)
        torch._foreach_lerp_(list(averaged), list(current), max(1 - self._decay, 8 / (8 + step)))
        for mine, theirs in self._buffers:
            mine.copy_(theirs)


def fit(
    job: Job,
    model: nn.Module,
    loss: Callable[[float], Tensor],
    publish: Callable[[Fitted], None] | None = None,
    before: Mapping[str, str] = MappingProxyType({}),
    decay: float = 0.998,
    weight_decay: float = 0.01,
    recordable: Callable[[float], bool] | None = None,
) -> Fitted:
    """Train until the budget's steps or seconds are spent; goes on where an earlier call was cut off.

    Args:
        model: on the job's device; everything that is trained.
        loss: of a batch that it draws itself, given how much of the training is over, 0..1.
        publish: writes what there is, called now and then, so that a cut-off run leaves its best.
        before: metadata of what the model's weights were trained for before; other batches are drawn then.
        decay: of the running average.
        recordable: from when on, given how much of the training is over, every step does the same on the device and
            asks nothing of the CPU, so that it can be recorded as a CUDA graph; launching a step's thousands of small
            kernels takes twice as long as computing them.
    """
    budget, cuda = job.budget, job.device.type == "cuda"
    weights = [p for p in model.parameters() if p.requires_grad]
    decayed, others = [p for p in weights if p.ndim > 1], [p for p in weights if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    rate = torch.tensor(budget.rate, device=job.device) if cuda else budget.rate  # a tensor, as a graph reads it again
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=cuda, capturable=cuda)
    average = _Average(model, decay)
    step, spent, before = _resume(job, model, average.model, optimizer) or (0, 0.0, before)
    drawn = sum(int(training["steps"]) for training in json.loads(before.get("before", "[]")))
    started = said = saved = time.monotonic()
    pause = SAVE_EVERY
    spent_before, loss_sum, losses = spent, torch.zeros((), device=job.device), 0
    model.train()

    def one_loss(share: float) -> Tensor:
        with torch.autocast(job.device.type, torch.bfloat16, enabled=cuda):
            return loss(share)

    def one_step(share: float) -> Tensor:
        value = one_loss(share)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
        optimizer.step()
        return value.detach()

    recorded: Callable[[], Tensor] | None = None
    while step < budget.steps and spent < budget.seconds:
        share = max(step / budget.steps, spent / budget.seconds)
        rate = budget.rate * min(share / WARM + 0.02, 0.5 + 0.5 * math.cos(math.pi * share), 1.0)
        for group in optimizer.param_groups:
            if cuda:
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        torch.manual_seed(job.seed * 1_000_003 + drawn + step)
        if cuda and recorded is None and recordable and recordable(share):
            recorded = record(partial(one_step, share))
            logger.info("%-12s recorded at step %d, %.0f s", job.name, step, spent)
        value = recorded() if recorded else one_step(share)
        average.update(step)
        step += 1
        loss_sum, losses = loss_sum + value, losses + 1
        if cuda and step % 8 == 0:
            torch.cuda.synchronize()  # so that the clock is the device's
        now = time.monotonic()
        spent = spent_before + now - started
        if now - said > SAY_EVERY:
            _say(job, step, spent, spent - spent_before, float(loss_sum) / losses)
            loss_sum, losses, said = torch.zeros_like(loss_sum), 0, now
        if now - saved > pause:
            _save(job, model, average.model, optimizer, step, spent, before)
            if publish:
                publish(Fitted(average.model, step, spent, before))
            saved = time.monotonic()
            pause = max(SAVE_EVERY, (saved - now) / SAVING_SHARE)
    logger.info("%-12s %d steps of %d in %.0f s", job.name, step, budget.batch, spent)
    _settle(model, average.model, partial(one_loss, 1.0))
    return Fitted(average.model, step, spent, before)


@torch.no_grad()
def _settle(model: nn.Module, averaged: nn.Module, loss: Callable[[], Tensor]) -> None:
    """Measure batch norms' statistics anew, as averaged weights have others than the last ones (Izmailov et al. 2018).

    Args:
        model: what `loss` runs; it gets the averaged weights.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    model.load_state_dict(averaged.state_dict())
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    for _ in range(SETTLING):
        loss()
    averaged.load_state_dict(model.state_dict())


def _say(job: Job, step: int, spent: float, here: float, loss: float) -> None:
    budget = job.budget
    share = max(step / budget.steps, spent / budget.seconds)
    left = spent / share * (1 - share)
    speed = step * budget.batch / spent
    logger.info("%-12s step %d, loss %.4f, %.0f pictures/s, %.0f s left", job.name, step, loss, speed, left)


def _save(
    job: Job,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    spent: float,
    before: Mapping[str, str],
) -> None:
    file = job.files.state(job.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    unfinished = file.with_suffix(".tmp")
    torch.save({**state, "step": step, "spent": spent, "before": dict(before)}, unfinished)
    unfinished.replace(file)


def _resume(
    job: Job, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float, Mapping[str, str]] | None:
    """Steps, seconds and what was before, of a training that was cut off; None where none was."""
    file = job.files.state(job.name)
    if not file.is_file():
        return None
    state = torch.load(file, map_location=job.device, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    logger.info("%s goes on at step %d", job.name, state["step"])
    return state["step"], state["spent"], state["before"]
