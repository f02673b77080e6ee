"""A training from its settings to exported weights."""

import itertools
import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, set_seed
from tqdm import tqdm

from uniportrait_core.errors import UniPortraitError

from ..config import Config, read_config
from ..data.batch import Batch, collate
from ..data.order import Batches
from ..data.portraits import Portraits, View
from ..frozen.fingerprint import fingerprint, fingerprints
from ..model.build import build
from ..model.layout import kind_of, load_schedule
from ..prepare.detectors import make_detector
from ..prepare.run import is_prepared, prepared
from . import checkpoint
from .batches import read_batches
from .export import FILES, export
from .inputs import Frozen
from .log import Log
from .loop import Trainer
from .objective import Schedule
from .plan import describe
from .preview import Previews, draw
from .reading import learn_to_read

BEGINNING = 24  # pictures that routers begin with
STARTS = ("stage_one", "start_from")  # settings of weights that a training begins with


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
    _check_places(config)
    accelerator = Accelerator(mixed_precision=run.precision)
    _check_engine(accelerator)
    set_seed(run.seed)  # the same beginning for every process
    base = config.base
    seen_with = fingerprints(base.model, base.clip_vision, base.face_backbone)
    portraits = open_data(config, stage, seen_with, accelerator.num_processes)
    if run.cuda_graphs:
        _check_recording(accelerator, portraits.cached)
    frozen = Frozen(config, portraits.cached)
    example = collate([portraits[0, 0]])
    if config.loss.likeness and example.landmarks is None:
        raise UniPortraitError(
            f"loss.likeness is {config.loss.likeness:g}, and {', '.join(config.data.shards)} has faces without "
            "landmarks. Make the shards by `python -m training prepare`, or set it to 0."
        )
    network = build(config, stage, frozen.widths(example.faces), frozen.nobody.image.shape[-1])
    if config.reading.steps and checkpoint.latest(run.output) is None:
        learn_to_read(config, network.resampler, frozen, portraits, accelerator)
    scheduler = load_schedule(base.model)
    schedule = Schedule.of(scheduler, accelerator.device)
    networks = seen_with | _other_fingerprints(config)
    trainer = Trainer(config, stage, network, frozen, schedule, accelerator, networks)
    changed = trainer.resume()
    if stage == "multi" and config.router.choice != "none" and not run.start_from and not trainer.step:
        trainer.begin(_some(portraits, run.batch, run.seed))
    main, seconds = accelerator.is_main_process, _time_of_a_pass(trainer, portraits)
    if main:
        print(describe(config, stage, network, portraits, accelerator.num_processes, trainer.step, seconds), flush=True)
    if main and trainer.step:
        print(f"Going on from step {trainer.step}; {changed or 'all settings are as before'}.", flush=True)

    def previews() -> list[Previews]:
        detector = make_detector(config.data.detector) if config.data.detector else None
        numbers, choice = range(min(preview.count, len(portraits))), config.router.choice
        with trainer.exported(), frozen.drawing_on(accelerator.device), accelerator.autocast():
            batches = (collate([portraits[number, number]]).to(accelerator.device) for number in numbers)
            return [draw(network, frozen, scheduler, batch, preview, choice, detector) for batch in batches]

    bar = tqdm(total=run.steps, initial=trainer.step, desc=f"stage {stage}", unit="step", disable=not main)
    started = time.monotonic()
    with Log(run.output if main else None, trainer.step) as log, bar:
        for batches in steps_of(trainer, portraits):
            pictures = len(batches) * run.batch * accelerator.num_processes
            log.numbers(trainer.step + 1, trainer.take_step(batches), pictures)
            bar.update()
            last = trainer.step == run.steps or _is_over(accelerator, started, run.seconds)
            if last or trainer.step % run.checkpoint_every == 0:
                trainer.save()
            if main and preview.every and (last or trainer.step % preview.every == 0):
                log.pictures(trainer.step, previews())
            accelerator.wait_for_everyone()
            if last:
                break
    if main:
        export(trainer.weights(), config, stage, kind_of(network.unet), trainer.step, run.output)
    accelerator.wait_for_everyone()
    return run.output / FILES[stage]


def export_checkpoint(path: Path, folder: Path) -> Path:
    """Weights of a checkpoint, in its folder.

    Args:
        path: the TOML file of the training.
        folder: of the checkpoint.

    Raises:
        UniPortraitError: one of them cannot be read.
    """
    progress = checkpoint.read(folder)
    stage, kind = progress.deciding["stage"], progress.deciding["base"]
    return export(checkpoint.weights(folder), read_config(path, stage), stage, kind, progress.step, folder)


def _check_places(config: Config) -> None:
    """See that what is not trained is there. Raises UniPortraitError that names the key."""
    places = {f"base.{key}": path for key, path in config.base} | {
        f"run.{key}": getattr(config.run, key) for key in STARTS
    }
    for key, path in places.items():
        if path and not Path(path).exists():
            raise UniPortraitError(f"{path} was not found. Give another path at {key}; it counts from the TOML file.")


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


def _check_recording(accelerator: Accelerator, cached: bool) -> None:
    """Raises UniPortraitError where steps cannot be recorded."""
    kind, processes = accelerator.device.type, accelerator.num_processes
    if kind != "cuda" or processes > 1 or not cached:
        features = "cached" if cached else "no cached"
        raise UniPortraitError(
            f"run.cuda_graphs is on; found are {processes} processes on {kind} and {features} features, needed are one "
            "process on an NVIDIA GPU and cached features. Set it to false, or run `python -m training prepare "
            "--cache`."
        )


def open_data(config: Config, stage: str, seen_with: dict[str, str], processes: int) -> Portraits:
    """The pictures of a stage, prepared where they are not yet.

    Args:
        seen_with: fingerprints of the networks that cached features have to be of.
        processes: that train.

    Raises UniPortraitError where there are none.
    """
    data, several = config.data, stage == "multi"
    view = View(
        data.resolution,
        data.buckets,
        (data.min_people, data.max_people) if several else (1, 1),
        data.second_photo if not several or data.min_people == 1 else 0.0,
        data.extra_person if several else 0.0,
        data.cached,
    )
    if processes > 1 and (waiting := [source for source in data.shards if not is_prepared(source)]):
        raise UniPortraitError(
            f"{', '.join(waiting)} is not prepared, which is not done by {processes} processes at a time. Run `python "
            "-m training prepare` first, and give its output at data.shards."
        )
    folders = [prepared(source, data.detector or None, data.workers or 1) for source in data.shards]
    return Portraits(folders, view, seen_with)


def _other_fingerprints(config: Config) -> dict[str, str]:
    """Of what is not trained, beside the networks whose features can be cached."""
    base = config.base
    places = {"unet": base.model / "unet", "ip_adapter": base.ip_adapter} | {
        key: getattr(config.run, key) for key in STARTS
    }
    return {name: fingerprint(name, [Path(place)]) for name, place in places.items() if place}


def steps_of(trainer: Trainer, portraits: Portraits) -> Iterator[list[Batch]]:
    """The batches of each step that is left to take, on this process."""
    run, accelerator = trainer.config.run, trainer.accelerator
    order = Batches(
        portraits,
        run.batch,
        run.seed,
        run.steps,
        trainer.step,
        accelerator.process_index,
        accelerator.num_processes,
        run.accumulation,
    )
    batches = read_batches(portraits, order, trainer.config.data.workers, accelerator.device)
    while step := list(itertools.islice(batches, run.accumulation)):
        yield step


def _is_over(accelerator: Accelerator, started: float, seconds: float) -> bool:
    """Whether the time is up for any process: they end together."""
    if not seconds:
        return False
    mine = torch.tensor([float(time.monotonic() - started >= seconds)], device=accelerator.device)
    return bool(accelerator.reduce(mine, "sum"))


def _some(portraits: Portraits, batch: int, seed: int) -> Iterator[Batch]:
    """The first pictures, some two dozen."""
    for items in Batches(portraits, batch, seed, steps=ceil(BEGINNING / batch)):
        yield collate([portraits[item] for item in items])


def _time_of_a_pass(trainer: Trainer, portraits: Portraits) -> float:
    """Seconds that forward and backward take, the first time left out; gradients are as before."""
    run, device = trainer.config.run, trainer.accelerator.device
    batch = next(_some(portraits, run.batch, run.seed)).to(device)
    for _ in range(2):
        started = time.perf_counter()
        trainer.learn(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
        trainer.forget_gradients()
    return seconds
