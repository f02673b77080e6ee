"""All trainings in an order that leaves no processor and no device idle."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ..config import PRESETS, Preset
from ..data.drawing import draw
from ..data.shards import SHARD
from ..files import Files
from ..nets.tokens import save_tokenizer
from ..reports import set_up_logging
from .classifiers import train_classifiers
from .clip import train_clip
from .detector import train_detector
from .faces import train_backbone, train_measure
from .job import Job
from .unet import train_unet
from .vae import train_vae

RECIPES = {
    "backbone": train_backbone,
    "vae": train_vae,
    "unet": train_unet,
    "clip": train_clip,
    "measure": train_measure,
    "detector": train_detector,
    "classifiers": train_classifiers,
}
# The UNet needs the autoencoder, which likes to have the backbone; the others have time meanwhile, CLIP first, as the
# UNet's text encoder starts from it.
LANES = (("backbone", "vae", "unet"), ("clip", "measure", "detector", "classifiers"))
logger = logging.getLogger("miniworld")


def train_all(job: Job, names: Sequence[str], workers: int, lanes: bool) -> list[str]:
    """Draw the data and train networks, two at a time where the device is fast.

    Args:
        job: with the whole's settings; name and budget are filled in.
        names: of the networks.
        workers: processes that draw.
        lanes: whether to train in two processes.

    Returns:
        Names of those that failed.
    """
    save_tokenizer(job.files.tokenizer)
    drawing = get_context("spawn").Process(target=draw, args=(job.preset, job.data, job.files.tokenizer, workers))
    drawing.start()
    try:
        _train_in_order(job, names, lanes)
    finally:
        drawing.terminate()
        drawing.join()
    return [name for name in names if not job.files.done(name).is_file()]


def _train_in_order(job: Job, names: Sequence[str], lanes: bool) -> None:
    context = get_context("spawn")
    orders = [[name for name in lane if name in names] for lane in LANES]
    if lanes:
        processes = [context.Process(target=_train, args=(job, order)) for order in orders if order]
        if job.compiled:
            processes.append(context.Process(target=_compile_ahead, args=(job,)))
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    else:
        # One after the other: CLIP before the UNet, for which it trains the text encoder.
        _train(job, [name for name in ("backbone", "vae", "clip", "unet", *LANES[1][1:]) if name in names])


def _compile_ahead(job: Job) -> None:
    """A few steps of what is compiled, in a folder that is thrown away, so that it is in PyTorch's cache afterwards."""
    with TemporaryDirectory() as folder:
        budgets = {name: replace(budget, steps=3) for name, budget in job.preset.budgets.items()}
        trial = replace(job, preset=replace(job.preset, scenes=SHARD, budgets=budgets), files=Files(Path(folder)))
        save_tokenizer(trial.files.tokenizer)
        _train(trial, ("vae", "unet"))


def _train(job: Job, names: Sequence[str]) -> None:
    set_up_logging()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    for name in names:
        if job.files.done(name).is_file():
            logger.info("%-12s is there already", name)
            continue
        mine = replace(job, name=name, budget=job.preset.budgets[name])
        try:
            RECIPES[name](mine)
        except Exception:  # what the others have trained is kept
            logger.exception("%s failed", name)
            if not job.compiled:
                continue
            _train(replace(job, compiled=False), [name])
            continue
        job.files.done(name).parent.mkdir(parents=True, exist_ok=True)
        job.files.done(name).touch()
        job.files.state(name).unlink(missing_ok=True)


def preset_of(name: str, seconds: dict[str, float], scale: float) -> Preset:
    """A preset with other times: `scale` of all, and `seconds` of single networks."""
    preset = PRESETS[name]
    budgets = {
        key: replace(budget, seconds=seconds.get(key, budget.seconds * scale)) for key, budget in preset.budgets.items()
    }
    return replace(preset, budgets=budgets)
