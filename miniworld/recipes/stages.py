"""Stages I and II by `training/`, and with parts left out, to see what these are good for."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.data.index import FILE, load_index
from training.prepare.features import cache_record
from training.prepare.settings import Caching
from training.run.course import run_stage
from training.run.export import FILES

from ..config import Preset
from ..data.photos import Album, save_album
from ..files import ABLATIONS, ALBUMS
from .job import Job

Settings = dict[str, dict[str, Any]]
"""Tables of a TOML file, as `training.config` reads it."""

PHOTOS = 3  # of each person, on average
READING = {"steps": 1_200, "batch": 48, "learning_rate": 2e-3}  # five minutes of a CPU
LIKENESS = {"likeness": 0.004, "likeness_window": 8}
READERS = 12  # processes of a stage, as a GPU learns from more pictures than one reads
ENCODERS = 10  # processes that share a GPU, which waits for each of them most of the time


@dataclass(frozen=True)
class Variant:
    """A stage, perhaps with other settings.

    Attributes:
        stage: of `training`.
        changes: to its settings.
    """

    stage: str
    changes: Settings = field(default_factory=dict)


STAGES = {"single": Variant("single"), "multi": Variant("multi")}
WITHOUT = {
    "no-routing-loss": Variant("multi", {"router": {"loss_weight": 0.0, "teacher": False}}),
    "global-features": Variant("single", {"features": {"intrinsic": "global"}}),
    "no-shallow-features": Variant("single", {"features": {"structure": ["clip"]}}),
    "no-drop": Variant("single", {"features": {"drop_path": 0.0, "drop_token": 0.0}}),
}
"""Ablations (Tables 3 and 4 of the paper)."""
VARIANTS = STAGES | WITHOUT


def albums(preset: Preset) -> dict[str, Album]:
    """The photos that each stage is trained on."""
    return {
        "single": Album(preset.portraits, (1, 1), PHOTOS, preset.size),
        "multi": Album(preset.groups, (2, 4), PHOTOS, preset.size),
    }


def draw_photos(job: Job) -> None:
    """The photos of both stages."""
    for stage, album in albums(job.preset).items():
        if not (job.files.root / ALBUMS[stage] / FILE).is_file():
            save_album(album, job.files.root / ALBUMS[stage], job.workers)


def encode_photos(job: Job) -> None:
    """What the frozen networks see in the photos, written beside them."""
    files, device = job.files, str(job.device)
    devices = [device] * (ENCODERS if job.device.type == "cuda" else job.workers)
    caching = Caching(files.base, files.clip_vision, files.backbone, job.preset.size, device=",".join(devices))
    for stage, album in albums(job.preset).items():
        folder = files.root / ALBUMS[stage]
        if not (folder / FILE).is_file() or load_index(folder).cache != cache_record(caching):
            save_album(album, folder, job.workers, caching)


def train_stage(job: Job) -> None:
    """Train the variant that the job is named after; its settings lie beside its output."""
    variant = VARIANTS[job.name]
    path = job.files.root / f"{job.name}.toml"
    path.write_text(as_toml(settings_of(job, variant)), "utf-8")
    run_stage(path, variant.stage)


def settings_of(job: Job, variant: Variant) -> Settings:
    """Of a run; paths count from the folder of all weights."""
    root, files, budget = job.files.root, job.files, job.budget
    output = job.name if job.name in STAGES else f"{ABLATIONS}/{job.name}"
    settings: Settings = {
        "base": {
            "model": _below(files.base, root),
            "clip_vision": _below(files.clip_vision, root),
            "face_backbone": _below(files.backbone, root),
        },
        "data": {
            "shards": [ALBUMS[variant.stage]],
            "resolution": job.preset.size,
            "workers": READERS if job.device.type == "cuda" else 1,
        },
        # Who is in a small picture is decided at high noise, which an even loss gives next to no weight.
        "loss": {"min_snr": 0.01, "noisy_share": 0.4, "face_weight": 8.0},
        "optimizer": {"learning_rate": budget.rate, "warmup": min(100, budget.steps // 10)},
        "run": {
            "output": output,
            "steps": budget.steps,
            "seconds": budget.seconds,
            "batch": budget.batch,
            "ema": 0.998,
            "checkpoint_every": 500,
            "cuda_graphs": job.device.type == "cuda",
        },
        "preview": {"every": 0},
    }
    before = {"single": files.faceid, "multi": files.router}.get(job.name)  # an ablation begins anew
    goes_on = before is not None and before.is_file()
    if goes_on:
        settings["run"]["start_from"] = _below(before, root)
    if variant.stage == "single":
        if not goes_on:
            settings["resampler"] = {"tokens": 8, "dim": 128, "depth": 2}
            settings["reading"] = READING | {"steps": min(READING["steps"], budget.steps)}
            settings["run"]["lora_rank"] = 16
    else:
        # Most of the diffusion loss is nothing that a router could change, and a routing loss as strong as this bends a
        # LoRA until people are easy to tell apart, and pictures are none any more. So a teacher gives the spots, and
        # identity learns further, from portraits too and from faces as small as they are in groups.
        settings["data"] |= {"shards": [ALBUMS["multi"], ALBUMS["single"]], "min_people": 1, "extra_person": 0.0}
        settings["router"] = {"loss_weight": 2.0, "teacher": True} | ({} if goes_on else {"hidden": 128})
        settings["optimizer"] |= {"lora_factor": 0.4, "identity_factor": 0.4}
        settings["loss"]["noisy_share"] = 0.3  # who is who can be made out at low noise only
        first = root / "single" / FILES["single"]
        settings["run"]["stage_one"] = _below(first if first.is_file() or not goes_on else files.faceid, root)
    settings["loss"] |= LIKENESS
    # Looks and clothes are to come from the prompt: half of the time a portrait's face is that of another photo.
    settings["data"]["second_photo"] = 0.5
    for table, values in variant.changes.items():
        settings[table] = settings.get(table, {}) | values
    return settings


def as_toml(settings: Settings) -> str:
    """Numbers, strings and lists are in TOML what they are in JSON."""
    return "\n".join(
        "\n".join((f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""))
        for table, values in settings.items()
    )


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
