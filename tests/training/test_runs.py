"""Whole runs: several processes, kills, resumes, and what lies in the output folder."""

import json
import os
import random
import subprocess
import sys
import time
from multiprocessing import get_context

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainers import ROOT, command, stage_one, write_settings
from training.run import checkpoint
from training.run.course import export_checkpoint, run_stage
from training.run.export import FILES
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.checkpoint import load_faceid, load_router

KILLS = 10


def run(stage, output, **changes):
    """A whole run in this process; its exported weights."""
    return load_file(run_stage(write_settings(output, stage, **changes), stage))


def launch(words, **environment):
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A run of stage I, by the command that users have."""
    output = tmp_path_factory.mktemp("one")
    changes = {"run": {"ema": 0.5, "checkpoint_every": 1, "keep": 2}, "preview": {"every": 2}}
    said = launch(command("single", write_settings(output, "single", **changes)))
    return output / "run", said


def test_the_plan_is_said_before_the_first_step(one):
    _, said = one
    for part in ("Stage I, one person", "resampler", "ID keys and values", "LoRA", "12 pictures at 64×64", "3 steps"):
        assert part in said
    assert "routers" not in said


def test_what_is_exported(one):
    output, _ = one
    path = output / FILES["single"]
    weights = load_faceid(path)
    assert len(weights.layers) == 16 and len(weights.lora) == 32
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["uniportrait.stage"] == "single" and metadata["uniportrait.tokens"] == "face"
    assert json.loads(metadata["uniportrait.features"]) == {"intrinsic": "local", "structure": ["shallow", "clip"]}
    assert json.loads(metadata["uniportrait.training"])["step"] == 3
    average = load_file(checkpoint.latest(output) / checkpoint.TENSORS)
    exported = load_file(path)["faceid_proj.latents"]
    assert torch.equal(exported, average["average.resampler.latents"])
    assert not torch.equal(exported, average["weight.resampler.latents"])


def test_old_checkpoints_go(one):
    output, _ = one
    assert [path.name for path in checkpoint.checkpoints(output)] == ["checkpoint-00000002", "checkpoint-00000003"]


def test_tensorboard_shows_numbers_and_pictures(one):
    output, _ = one
    log = EventAccumulator(str(output / "log"))
    log.Reload()
    scalars = log.Tags()["scalars"]
    assert {"loss/diffusion", "learning_rate/lora", "pictures_per_second", "gradient_norm"} <= set(scalars)
    assert [event.step for event in log.Scalars("loss/diffusion")] == [1, 2, 3]
    assert [event.step for event in log.Images("pictures/0")] == [2, 3]


def test_stage_two_starts_from_stage_one(one, tmp_path):
    output, _ = one
    changes = {"run": {"stage_one": str(output / FILES["single"]), "ema": 0, "steps": 2}, "preview": {"every": 2}}
    found = run("multi", tmp_path, **changes)
    assert all("lora." in key or "_router." in key for key in found)
    router = load_router(tmp_path / "run" / FILES["multi"])
    assert len(router.layers) == 16 and router.layers[0].aggregate[0].shape == (1, 4)
    log = EventAccumulator(str(tmp_path / "run" / "log"))
    log.Reload()
    assert {"loss/routing", "routed_right"} <= set(log.Tags()["scalars"])
    assert "routing/0" in log.Tags()["images"]


def test_a_start_ends_in_time_and_the_next_goes_on(tmp_path):
    steps = []
    for _ in range(2):
        run("single", tmp_path, run={"steps": 10_000, "seconds": 1.0})
        with safe_open(tmp_path / "run" / FILES["single"], "pt") as file:
            steps.append(json.loads(file.metadata()["uniportrait.training"])["step"])
    assert 0 < steps[0] < steps[1] < 10_000 and steps[1] == steps_of(tmp_path)


def test_two_processes_are_one(tmp_path):
    """Two processes with batches of two against one of four, after three steps of stage II."""
    changes = {"optimizer": {"learning_rate": 1e-4}, "run": {"ema": 0, "stage_one": str(stage_one(tmp_path))}}
    once = run("multi", tmp_path / "once", **changes)
    changes["run"]["batch"] = 2
    settings = write_settings(tmp_path / "twice", "multi", **changes)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "training"]
    launch([*words, "multi", str(settings)], ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1")
    twice = load_file(tmp_path / "twice" / "run" / FILES["multi"])
    assert once.keys() == twice.keys()
    for name, value in once.items():
        assert (value - twice[name]).norm() <= 1e-5 * value.norm(), name


def steps_of(output) -> int:
    """How far a run's last checkpoint is."""
    found = checkpoint.latest(output / "run")
    return checkpoint.read(found).step if found else 0


def test_killed_at_any_moment_and_resumed_to_the_bit(tmp_path):
    changes = {"run": {"steps": 60, "batch": 1, "accumulation": 2, "checkpoint_every": 2, "ema": 0.9}}
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["training.run.course"])

    def start(output):
        settings = write_settings(output, "single", **changes) if not output.exists() else output / "config.toml"
        process = processes.Process(target=run_stage, args=(settings, "single"))
        process.start()
        return process

    undisturbed = start(tmp_path / "undisturbed")
    undisturbed.join()
    assert undisturbed.exitcode == 0
    dice, reached = random.Random(0), []
    for number in range(KILLS):
        process, before = start(tmp_path / "killed"), steps_of(tmp_path / "killed")
        # Every other one is killed a moment after it has got on, in the middle of whatever it does then.
        while number % 2 and process.is_alive() and steps_of(tmp_path / "killed") == before:
            time.sleep(0.02)
        process.join(dice.uniform(0, 0.5 if number % 2 else 2))
        process.kill()
        process.join()
        reached.append(steps_of(tmp_path / "killed"))
    assert reached[-1] < 60 and len(set(reached)) > 4
    last = start(tmp_path / "killed")
    last.join()
    assert last.exitcode == 0
    for name in ("run/uniportrait-faceid.safetensors", "run/checkpoint-00000060/training.safetensors"):
        found, wanted = (load_file(tmp_path / folder / name) for folder in ("killed", "undisturbed"))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_what_may_change_between_two_starts(tmp_path):
    run("single", tmp_path, run={"steps": 1})
    longer = {"run": {"steps": 2, "batch": 2, "accumulation": 2}, "optimizer": {"learning_rate": 1e-4}}
    assert run_stage(write_settings(tmp_path, "single", **longer), "single").is_file()
    assert checkpoint.latest(tmp_path / "run").name == "checkpoint-00000002"
    with pytest.raises(UniPortraitError, match="pictures per step was 4 and is 2"):
        run_stage(write_settings(tmp_path, "single", run={"steps": 3, "batch": 2}), "single")


def test_a_checkpoint_is_exported(one):
    output, _ = one
    path = export_checkpoint(output.parent / "config.toml", checkpoint.latest(output))
    found, last = load_file(path), load_file(output / FILES["single"])
    assert found.keys() == last.keys() and all(torch.equal(found[key], last[key]) for key in last)


def test_an_error_in_one_line(tmp_path):
    settings = write_settings(tmp_path, "single", base={"model": str(tmp_path / "nowhere")})
    done = subprocess.run(
        [sys.executable, "-m", "training", "single", settings], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "nowhere" in done.stderr and "base.model" in done.stderr and "Traceback" not in done.stderr
