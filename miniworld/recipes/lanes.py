"""All trainings, in an order that leaves neither processors nor device idle."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event

import torch

from ..config import PRESETS, Budget, Preset
from ..data.drawing import draw
from ..nets.tokens import save_tokenizer
from ..reports import set_up_logging
from .classifiers import train_classifiers
from .clip import train_clip
from .decoder import train_decoder
from .detector import train_detector
from .faces import train_backbone, train_measure
from .job import Job
from .sketch import train_sketch
from .stages import VARIANTS, draw_photos, encode_photos, train_stage
from .unet import train_unet
from .vae import train_vae

RECIPES = {
    "backbone": train_backbone,
    "detector": train_detector,
    "clip": train_clip,
    "classifiers": train_classifiers,
    "measure": train_measure,
    "vae": train_vae,
    "decoder": train_decoder,
    "unet": train_unet,
    "photos": draw_photos,
    "features": encode_photos,
    "sketch": train_sketch,
    **dict.fromkeys(VARIANTS, train_stage),
}
# Kinds of drawings (`data/shards.py`) that a recipe reads; all others read scenes.
READS = {
    "backbone": ("faces", "check_faces"),
    "measure": ("other_faces", "check_faces"),
    "clip": ("scenes", "checks", "faces"),
    **dict.fromkeys(("photos", "features", *VARIANTS), ()),
}
SCENES = ("scenes", "checks")
# What can be done side by side, phase by phase; in a lane one after the other. Small networks leave most of a device
# idle, and learn while drawing goes on. Autoencoder and UNet fill it, and have it to themselves: the UNet needs the
# autoencoder and CLIP's text encoder, the autoencoder likes to have the backbone. Stages launch so many small kernels
# that several of them go together.
PHASES = (
    (("backbone", "detector"), ("clip", "classifiers"), ("measure",)),
    (("vae", "decoder", "unet"), ("photos",)),
    (("features",),),
    (("single",), ("global-features",), ("no-shallow-features",), ("no-drop",), ("sketch",)),
    (("multi",), ("no-routing-loss",)),
)
logger = logging.getLogger("miniworld")


def train_all(job: Job, names: Sequence[str], lanes: bool) -> list[str]:
    """Draw the data and train networks, several at a time where the device is fast.

    Args:
        job: with the whole's settings; name and budget are filled in.
        names: of the networks.
        lanes: whether to train small networks side by side.

    Returns:
        Names of those that failed.
    """
    save_tokenizer(job.files.tokenizer)
    kinds = {kind for name in names for kind in READS.get(name, SCENES)}
    args = (job.preset, job.data, job.files.tokenizer, job.workers, kinds)
    drawing = get_context("spawn").Process(target=draw, args=args)
    drawing.start()
    try:
        _train_in_order(job, names, lanes)
    finally:
        drawing.terminate()
        drawing.join()
    return [name for name in names if not job.files.done(name).is_file()]


def _train_in_order(job: Job, names: Sequence[str], lanes: bool) -> None:
    if not lanes:
        _train(job, [name for phase in PHASES for lane in phase for name in lane if name in names])
        return
    coming = [_start(job, PHASES[0], names)]
    for following in (*PHASES[1:], ()):
        # Loading libraries and starting the device take ten seconds, which pass while others train.
        coming.append(_start(job, following, names))
        ready, processes = coming.pop(0)
        ready.set()
        for process in processes:
            process.join()


def _start(job: Job, phase: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[Event, list[BaseProcess]]:
    """The processes of a phase, and what they wait for."""
    context = get_context("spawn")
    ready = context.Event()
    orders = [[name for name in lane if name in names] for lane in phase]
    processes = [context.Process(target=_train, args=(job, order, ready)) for order in orders if order]
    for process in processes:
        process.start()
    return ready, processes


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
        mine = replace(job, name=name, budget=budget_of(job.preset, name))
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


def budget_of(preset: Preset, name: str) -> Budget:
    """Of a recipe; an ablation has its stage's, and what trains nothing has none."""
    key = VARIANTS[name].stage if name in VARIANTS else name
    return preset.budgets.get(key, Budget(0, 0, 0, 0))


def preset_of(name: str, scale: float, budgets: Mapping[str, Mapping[str, float]]) -> Preset:
    """A preset with other budgets.

    Args:
        scale: of all times.
        budgets: by a budget's attribute its value for single networks, by their names.
    """
    preset = PRESETS[name]

    def changed(network: str, budget: Budget) -> Budget:
        given = {
            key: type(getattr(budget, key))(values[network]) for key, values in budgets.items() if network in values
        }
        return replace(budget, **({"seconds": budget.seconds * scale} | given))

    return replace(preset, budgets={network: changed(network, budget) for network, budget in preset.budgets.items()})
