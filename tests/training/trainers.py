"""Trainers of the toy world, in this process or from the command line."""

import atexit
import json
import shutil
import sys
import tarfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import save, save_file

import tiny
from toy import CONTEXT, SIDE, Toy
from training.config import Config, read_config
from training.data.batch import Batch, collate
from training.data.index import FILE, index_content
from training.data.order import Batches
from training.frozen.fingerprint import fingerprints
from training.model.build import build
from training.model.layout import attention_layers, load_schedule, load_unet
from training.prepare.piece import SHARD, add_sample
from training.run.export import export
from training.run.inputs import Frozen
from training.run.loop import Trainer
from training.run.objective import Schedule

ROOT = Path(__file__).parents[2]
PIXELS = 8 * SIDE
COUNTS = {"single": (1, 1), "multi": (2, 3)}
Table = dict[str, object]


@cache
def networks() -> Path:
    """A base model, CLIP vision and a face backbone, once for a process."""
    folder = Path(mkdtemp(prefix="toy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tiny.base_folder(folder / "base", norm_num_groups=4)  # of 32 a group would be two numbers, and rounding much
    tiny.clip_folder(folder / "clip")
    tiny.backbone_file(folder / "backbone.safetensors")
    return folder


def tables(output: Path, **changes: Table) -> dict[str, Table]:
    """Settings of a training in the toy world; changes are added table by table."""
    base = networks()
    settings: dict[str, Table] = {
        "base": {
            "model": str(base / "base"),
            "clip_vision": str(base / "clip"),
            "face_backbone": str(base / "backbone.safetensors"),
        },
        "data": {"shards": [str(output / "shards")], "resolution": PIXELS, "workers": 0},
        "resampler": {"tokens": 4, "dim": 64, "depth": 2},
        "optimizer": {"learning_rate": 1e-3, "warmup": 1},
        "run": {"output": str(output / "run"), "steps": 3, "batch": 4, "lora_rank": 4},
        "preview": {"every": 0, "steps": 2, "count": 2},
    }
    return {name: {**settings.get(name, {}), **changes.get(name, {})} for name in settings | changes}


def trainer(stage: str, output: Path, **changes: Table) -> Trainer:
    """A trainer in this process."""
    if stage == "multi" and not changes.get("base", {}).get("ip_adapter"):
        changes["run"] = {"stage_one": str(stage_one(output)), **changes.get("run", {})}
    config = Config.model_validate(tables(output, **changes))
    AcceleratorState._reset_state(True)  # which otherwise keeps the precision of the first in a process
    torch.manual_seed(config.run.seed)
    frozen = Frozen(config, cached=True)
    example = collate([Toy(COUNTS[stage])[0, 0]])
    network = build(config, stage, frozen.widths(example.faces))
    accelerator = Accelerator(mixed_precision=config.run.precision)
    schedule = Schedule.of(load_schedule(config.base.model), accelerator.device)
    return Trainer(config, stage, network, frozen, schedule, accelerator, networks={})


def stage_one(output: Path) -> Path:
    """Weights of a stage I that was hardly trained."""
    made = trainer("single", output, run={"ema": 0})
    move(made)
    output.mkdir(parents=True, exist_ok=True)
    return export(made.weights(), made.config, "single", "toy", 0, output)


def ip_adapter(output: Path) -> Path:
    """A plain IP-Adapter of three tokens for the toy world's base model."""
    unet = load_unet(networks() / "base")
    made = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=made) / shape[-1] ** 0.5

    tensors = {"image_proj.proj.weight": noise(3 * CONTEXT, 24), "image_proj.proj.bias": noise(3 * CONTEXT)}
    tensors |= {"image_proj.norm.weight": torch.ones(CONTEXT), "image_proj.norm.bias": torch.zeros(CONTEXT)}
    for number, layer in enumerate(attention_layers(unet)):
        if layer.cross:
            tensors |= {f"ip_adapter.{number}.to_{name}_ip.weight": noise(layer.inner, CONTEXT) for name in "kv"}
    output.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output / "ip-adapter.safetensors")
    return output / "ip-adapter.safetensors"


def move(made: Trainer) -> None:
    """Move what is trained away from where it begins, where a LoRA's gradients are zero, or next to it."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in made.trained.values():
            value.add_(0.02 * torch.randn(value.shape, generator=generator).to(value.device))


def batches(made: Trainer) -> list[list[Batch]]:
    """All that a trainer is given in its steps."""
    run, data = made.config.run, Toy(COUNTS[made.stage])
    order = iter(Batches(data, run.batch, run.seed, run.steps, passes=run.accumulation))
    passes = [collate([data[item] for item in items]) for items in order]
    return [passes[i : i + run.accumulation] for i in range(0, len(passes), run.accumulation)]


# From the command line


def write_shards(folder: Path, stage: str, count: int = 12) -> None:
    """The toy world as shards with cached features."""
    folder.mkdir(parents=True)
    data, pictures = Toy(COUNTS[stage]), []
    path = folder / SHARD.format(0)
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            sample = data[number, 0]
            boxes = (sample.boxes * PIXELS).tolist()
            facts = {
                "caption": "a picture",
                "size": [PIXELS, PIXELS],
                "original_size": [PIXELS, PIXELS],
                "faces": [
                    {"box": box, "landmarks": (points * PIXELS - 0.5).tolist()}
                    for box, points in zip(boxes, sample.landmarks, strict=True)
                ],
            }
            features = {name: value for name, value in asdict(sample.faces).items() if value is not None}
            features |= {"moments": sample.moments, "text": sample.text}
            members = {"json": json.dumps(facts).encode(), "safetensors": save(features)}
            place = add_sample(tar, sample.key, members)
            around = [0, 0, PIXELS, PIXELS]
            pictures.append(
                {"place": place, "size": (PIXELS, PIXELS), "around": around, "identity": [None] * len(boxes)}
            )
    base = networks()
    made_with = fingerprints(base / "base", base / "clip", base / "backbone.safetensors")
    cache = {"resolution": PIXELS, "buckets": False, "networks": made_with}
    index = index_content([(path.name, path.stat().st_size, pictures)], cache)
    (folder / FILE).write_text(json.dumps(index))


def write_settings(output: Path, stage: str, name: str = "config", **changes: Table) -> Path:
    """Shards and a TOML file for the command line."""
    output.mkdir(parents=True, exist_ok=True)
    if not (output / "shards").exists():
        write_shards(output / "shards", stage)
    settings = tables(output, **changes)
    if stage == "multi":  # which has these from stage I
        del settings["resampler"], settings["run"]["lora_rank"]
    path = output / f"{name}.toml"
    path.write_text(
        "\n".join(
            f"[{table}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
            for table, values in settings.items()
        )
    )
    read_config(path, stage)  # a fault in a test is said where it is
    return path


def command(stage: str, settings: Path, processes: int = 1) -> list[str]:
    """What starts a training, in as many processes."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines=1", "--dynamo_backend=no"]
    launch += [f"--num_processes={processes}", "--mixed_precision=no"]
    return [*launch, "-m", "training", stage, str(settings)]
