"""All trainings, in an order that leaves neither processors nor device idle."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from multiprocessing import get_context
from multiprocessing.synchronize import Event
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
from .decoder import train_decoder
from .detector import train_detector
from .faces import train_backbone, train_measure
from .job import Job
from .sketch import train_sketch
from .unet import train_unet
from .vae import train_vae

RECIPES = {
    "backbone": train_backbone,
    "vae": train_vae,
    "decoder": train_decoder,
    "unet": train_unet,
    "sketch": train_sketch,
    "clip": train_clip,
    "measure": train_measure,
    "detector": train_detector,
    "classifiers": train_classifiers,
}
# Small networks together, while drawing goes on and they leave most of the device idle; each in its lane one after the
# other. Autoencoder, its decoder and UNet fill it alone, and have it to themselves: the UNet needs the autoencoder and
# CLIP's text encoder, the autoencoder likes to have the backbone.
LANES = (("backbone", "detector"), ("clip", "classifiers"), ("measure",))
ALONE = ("vae", "decoder", "unet", "sketch")
logger = logging.getLogger("miniworld")


def train_all(job: Job, names: Sequence[str], workers: int, lanes: bool) -> list[str]:
    """Draw the data and train networks, several at a time where the device is fast.

    Args:
        job: with the whole's settings; name and budget are filled in.
        names: of the networks.
        workers: processes that draw.
        lanes: whether to train small networks side by side.

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
    if not lanes:
        _train(job, [name for name in (*chain(*LANES), *ALONE) if name in names])
        return
    context = get_context("spawn")
    ready = context.Event()  # loading libraries and starting the device take ten seconds, which pass meanwhile
    last = context.Process(target=_train, args=(job, [name for name in ALONE if name in names], ready))
    orders = [[name for name in lane if name in names] for lane in LANES]
    small = [context.Process(target=_train, args=(job, order)) for order in orders if order]
    if job.compiled:
        small.append(context.Process(target=_compile_ahead, args=(job,)))
    for process in (*small, last):
        process.start()
    for process in small:
        process.join()
    ready.set()
    last.join()


def _compile_ahead(job: Job) -> None:
    """A few steps of what is compiled, in a folder that is thrown away, so that it is in PyTorch's cache afterwards."""
    with TemporaryDirectory() as folder:
        budgets = {name: replace(budget, steps=3) for name, budget in job.preset.budgets.items()}
        trial = replace(job, preset=replace(job.preset, scenes=SHARD, budgets=budgets), files=Files(Path(folder)))
        save_tokenizer(trial.files.tokenizer)
        _train(trial, ALONE)


def _train(job: Job, names: Sequence[str], ready: Event | None = None) -> None:
    """One after the other, once `ready` is set."""
    set_up_logging()
    if ready is not None:
        torch.zeros(1, device=job.device)
        ready.wait()
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
