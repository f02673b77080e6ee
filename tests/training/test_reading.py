"""What a linear layer reads off ID tokens before stage I."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import trainers
from training.run import reading
from training.run.course import run_stage
from training.run.export import FILES
from training.run.reading import FILE, GRID, around_faces, errors
from uniportrait_core.errors import UniPortraitError

STEPS = 150


def run(output, steps=STEPS, taken=1):
    """A training whose stage I takes hardly a step; what it exports."""
    settings = trainers.write_settings(
        output, "single", reading={"steps": steps, "batch": 8}, run={"steps": taken, "ema": 0}
    )
    return load_file(run_stage(settings, "single"))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    output = tmp_path_factory.mktemp("read")
    return output, run(output)


def test_tokens_learn_who_somebody_is(one):
    output, _ = one
    log = EventAccumulator(str(output / "run" / "reading" / "log"))
    log.Reload()
    for what, most in (("embedding", 0.05), ("latents", 0.6)):  # to begin with 1; the places of faces cannot be known
        found = [event.value for event in log.Scalars(f"reading/{what}")]
        assert len(found) == STEPS and found[0] > 0.9
        assert sum(found[-10:]) / 10 < most, what


def test_stage_one_goes_on_from_there(one):
    output, exported = one
    read = load_file(output / "run" / FILE)
    assert {f"faceid_proj.{name}" for name in read} == {key for key in exported if key.startswith("faceid_proj.")}
    for name, value in read.items():  # one step at a rate of 1e-3
        assert (exported[f"faceid_proj.{name}"] - value).abs().max() < 3e-3, name


def test_what_was_read_is_not_read_again(one, tmp_path, monkeypatch):
    output, exported = one
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FILE).write_bytes((output / "run" / FILE).read_bytes())
    monkeypatch.setattr(reading, "_train", lambda *_: pytest.fail("trained again"))
    again = run(tmp_path)
    assert all(torch.equal(value, again[key]) for key, value in exported.items())
    (tmp_path / "run" / FILE).unlink()  # a checkpoint has all that is needed
    run(tmp_path, taken=2)
    assert not (tmp_path / "run" / FILE).exists() and (tmp_path / "run" / FILES["single"]).exists()


def test_a_resampler_of_other_sizes_is_named(one, tmp_path):
    output, _ = one
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FILE).write_bytes((output / "run" / FILE).read_bytes())
    settings = trainers.write_settings(
        tmp_path, "single", reading={"steps": 2, "batch": 8}, resampler={"tokens": 3, "dim": 64, "depth": 2}
    )
    with pytest.raises(UniPortraitError, match="reading.safetensors is no resampler of these sizes .*latents"):
        run_stage(settings, "single")


def test_two_processes_read_as_one(tmp_path):
    """Of half the batch each."""
    changes = {"run": {"ema": 0, "steps": 1}}
    once = trainers.write_settings(tmp_path / "once", "single", reading={"steps": 6, "batch": 8}, **changes)
    twice = trainers.write_settings(tmp_path / "twice", "single", reading={"steps": 6, "batch": 4}, **changes)
    run_stage(once, "single")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "training"]
    places = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, "single", str(twice)], cwd=trainers.ROOT, capture_output=True, text=True, env={**os.environ, **places}
    )
    assert done.returncode == 0, done.stderr
    wanted, found = (load_file(tmp_path / name / "run" / FILE) for name in ("once", "twice"))
    for name, value in wanted.items():  # a process divides by the variance of its own share: 3 % in what began at zero
        assert (value - found[name]).norm() <= 0.06 * value.norm(), name


def test_latents_around_a_face():
    """A face in the middle of the left half of a wide picture, against pixels picked by hand."""
    latents = torch.arange(2 * 14 * 28).view(1, 2, 14, 28).float()
    side = GRID / reading.AROUND  # so that every spot is one of the latents
    middle = torch.tensor((10.5, 7.5))
    box = torch.cat((middle - side / 2, middle + side / 2)) / torch.tensor((28, 14, 28, 14))
    found = around_faces(latents, box[None])
    assert torch.allclose(found, latents[:, :, 4:11, 7:14], atol=1e-3)
    beyond = around_faces(latents, torch.tensor([[0.0, 0.0, 0.0, 0.5]]) + torch.tensor([0.0, 0.0, 0.1, 0.0]))
    assert torch.allclose(beyond[..., 0, 0], latents[..., 0, 0], atol=1e-3)


def test_errors_of_nothing_and_of_the_truth():
    embedding, around = torch.randn(4, 8), torch.randn(4, 3, GRID, GRID)
    nothing = errors((torch.zeros(4, 8), torch.zeros(4, 3 * GRID**2)), embedding, around)
    assert nothing.embedding.item() == pytest.approx(1) and nothing.latents.item() == pytest.approx(1, abs=0.1)
    truth = errors((F.normalize(embedding, dim=1), around.flatten(1)), embedding, around)
    assert truth.embedding < 1e-10 and truth.latents < 1e-10
