"""A training from its settings to exported weights."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, set_seed
from torch.utils.data import DataLoader
from tqdm import tqdm

from uniportrait_core.errors import UniPortraitError

from ..config import Config, read_config
from ..data.batch import Batch, collate
from ..data.order import Batches
from ..data.portraits import Portraits, View
from ..frozen.fingerprint import fingerprints
from ..model.build import build
from ..model.layout import load_schedule
from ..prepare.detectors import make_detector
from ..prepare.run import prepared
from .export import FILES, export
from .inputs import Frozen
from .log import Log
from .loop import Trainer
from .objective import Schedule
from .plan import describe
from .preview import Previews, draw


def run_stage(path: Path, stage: str) -> Path:
    """Train a stage, or go on with it, and export its weights.

    Args:
        path: the TOML file of its settings.
        stage: "single" or "multi".

    Returns:
        The exported file.

    Raises:
        UniPortraitError: settings, data or weights are not what is needed, or the training has to stop.
    """
    config = read_config(path, stage)
    run, preview = config.run, config.preview
    accelerator = Accelerator(mixed_precision=run.precision)
    _check_engine(accelerator)
    set_seed(run.seed)  # the same beginning for every process
    with accelerator.main_process_first():  # who prepares, where that is not done
        portraits = open_data(config, stage)
    frozen = Frozen(config, portraits.cached)
    built = build(config, stage, frozen.widths(collate([portraits[0, 0]]).faces))
    schedule = load_schedule(config.base.model)
    trainer = Trainer(config, stage, built.network, frozen, Schedule.of(schedule), accelerator)
    trainer.resume()
    main, seconds = accelerator.is_main_process, _time_of_a_pass(trainer, portraits)
    if main:
        print(describe(config, stage, built, len(portraits), accelerator.num_processes, seconds), flush=True)

    def previews() -> Previews:
        samples = collate([portraits[number, number] for number in range(min(preview.count, len(portraits)))])
        detector = make_detector(config.data.detector) if config.data.detector else None
        with accelerator.autocast():
            return draw(
                built.network, frozen, schedule, samples.to(accelerator.device), preview, config.router.choice, detector
            )

    begun = trainer.step
    bar = tqdm(total=run.steps, initial=begun, desc=f"stage {stage}", unit="step", disable=not main)
    with Log(run.output if main else None) as log, bar:
        for batches in steps_of(trainer, portraits):
            log.numbers(trainer.step + 1, trainer.take_step(batches), len(batches) * run.batch)
            bar.update()
            last = trainer.step == run.steps
            if last or trainer.step % run.checkpoint_every == 0:
                trainer.save()
            if main and preview.every and (last or trainer.step % preview.every == 0):
                log.pictures(trainer.step, previews())
            accelerator.wait_for_everyone()
    if main:
        export(trainer.weights(), config, stage, built.kind, trainer.step, run.output)
    accelerator.wait_for_everyone()
    return run.output / FILES[stage]


def _check_engine(accelerator: Accelerator) -> None:
    """See that every process holds all that is trained: it is small, and checkpoints are written by one.

    Raises UniPortraitError for engines that share weights out.
    """
    kind = accelerator.distributed_type
    if kind in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise UniPortraitError(
            f"accelerate is set to {kind.value}, which shares weights out among processes; needed is one process, or "
            "several that each hold them all (DDP). Run `accelerate config` again, or launch with --multi_gpu."
        )


def open_data(config: Config, stage: str) -> Portraits:
    """The pictures of a stage, prepared where they are not yet. Raises UniPortraitError where there are none."""
    base, data, several = config.base, config.data, stage == "multi"
    view = View(
        data.resolution,
        data.buckets,
        (2, data.max_people) if several else (1, 1),
        0.0 if several else data.second_photo,
        data.extra_person if several else 0.0,
    )
    folders = [prepared(str(folder), data.detector or None, data.workers or 1) for folder in data.shards]
    return Portraits(folders, view, fingerprints(base.model, base.clip_vision, base.face_backbone))


def steps_of(trainer: Trainer, portraits: Portraits) -> Iterator[list[Batch]]:
    """The batches of each step that is left to take, on this process."""
    run, accelerator = trainer.config.run, trainer.accelerator
    order = Batches(
        portraits,
        run.batch,
        run.seed,
        run.steps * run.accumulation,
        trainer.step * run.accumulation,
        accelerator.process_index,
        accelerator.num_processes,
    )
    workers = trainer.config.data.workers
    batches = iter(
        DataLoader(
            portraits,
            batch_sampler=order,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=accelerator.device.type == "cuda",
            multiprocessing_context="spawn" if workers else None,
        )
    )
    while step := list(itertools.islice(batches, run.accumulation)):
        yield step


def _time_of_a_pass(trainer: Trainer, portraits: Portraits) -> float:
    """Seconds that forward and backward take, the first time left out; gradients are as before."""
    run, device = trainer.config.run, trainer.accelerator.device
    batch = collate([portraits[number % len(portraits), number] for number in range(run.batch)])
    for _ in range(2):
        started = time.perf_counter()
        trainer.look(batch).loss(trainer.config.router.loss_weight).backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
        for value in trainer.trained.values():
            value.grad = None
    return seconds
