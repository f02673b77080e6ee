"""Checkpoints: whole or absent, also where there is no room."""

import resource
import signal

import pytest
import torch

from trainers import batches, trainer
from training.run import checkpoint
from training.run.export import export
from uniportrait_core.errors import UniPortraitError


@pytest.fixture
def made(tmp_path):
    found = trainer("single", tmp_path, run={"ema": 0.5, "keep": 2})
    found.take_step(batches(found)[0])
    return found


@pytest.fixture
def small_files(monkeypatch):
    """Files end after so many bytes, as on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_everything_comes_back(made, tmp_path):
    made.save()
    wanted = {name: value.detach().clone() for name, value in made.trained.items()}
    average = {name: value.clone() for name, value in made.average.items()}
    again = trainer("single", tmp_path, run={"ema": 0.5, "keep": 2, "seed": 0})
    again.resume()
    assert again.step == 1
    for name, value in again.trained.items():
        assert torch.equal(value, wanted[name]) and torch.equal(again.average[name], average[name])
        for key, kept in made.optimizer.state[made.trained[name]].items():
            assert torch.equal(again.optimizer.state[value][key], kept), (name, key)
    # Both go on alike, to the bit.
    following = batches(made)[1]
    for one in (made, again):
        one.take_step(following)
    assert all(torch.equal(value, made.trained[name]) for name, value in again.trained.items())


def test_without_a_checkpoint_a_training_begins(made, tmp_path):
    fresh = trainer("single", tmp_path / "elsewhere")
    fresh.resume()
    assert fresh.step == 0


def test_on_a_full_disk_the_last_whole_one_stays(made, request):
    made.save()
    output = made.config.run.output
    before = {path.name: path.read_bytes() for path in checkpoint.latest(output).iterdir()}
    made.step = 2
    request.getfixturevalue("small_files")
    with pytest.raises(UniPortraitError, match=r"step 2 cannot be written .*checkpoint-00000001 is the last whole one"):
        made.save()
    assert [path.name for path in output.iterdir()] == ["checkpoint-00000001"]
    assert {path.name: path.read_bytes() for path in checkpoint.latest(output).iterdir()} == before


def test_on_a_full_disk_weights_are_not_half_exported(made, tmp_path, request):
    folder = tmp_path / "weights"
    folder.mkdir()
    request.getfixturevalue("small_files")
    with pytest.raises(UniPortraitError, match="cannot be written"):
        export(made.weights(), made.config, "single", "toy", 1, folder)
    assert not list(folder.iterdir())


def test_what_a_kill_left_behind_is_not_taken(made):
    made.save()
    output = made.config.run.output
    (output / "checkpoint-00000009.part").mkdir()
    (output / "checkpoint-00000009.part" / checkpoint.STATE).write_text("{}")
    (output / "checkpoint-00000008").mkdir()
    assert checkpoint.latest(output).name == "checkpoint-00000001"
    made.resume()
    assert not list(output.glob("*.part"))


def test_a_damaged_checkpoint(made):
    made.save()
    found = checkpoint.latest(made.config.run.output)
    (found / checkpoint.STATE).write_text("{}")
    with pytest.raises(UniPortraitError, match="checkpoint-00000001 cannot be read"):
        made.resume()


def test_a_checkpoint_of_another_network(made, tmp_path):
    made.save()
    other = trainer("single", tmp_path, run={"ema": 0.5, "lora_rank": 2})
    with pytest.raises(UniPortraitError, match="other settings: run.lora_rank was 4 and is 2"):
        other.resume()
    with pytest.raises(UniPortraitError, match="trained tensors that are not"):
        checkpoint.load(checkpoint.latest(made.config.run.output), other.trained, other.average, other.optimizer)


@pytest.mark.parametrize("changes", ({"run": {"ema": 0}}, {"features": {"intrinsic": "global"}}))
def test_settings_that_decide_stay(made, tmp_path, changes):
    made.save()
    with pytest.raises(UniPortraitError, match="was made with other settings"):
        trainer("single", tmp_path, **changes).resume()


def test_settings_that_may_change_are_told(made, tmp_path):
    """As the advice after an error is to change them."""
    made.save()
    changes = {"optimizer": {"learning_rate": 1e-4}, "guidance": {"drop_faces": 0.1}}
    other = trainer(
        "single", tmp_path, run={"ema": 0.5, "gradient_checkpointing": True, "precision": "bf16"}, **changes
    )
    told = other.resume()
    assert other.step == 1
    for part in (
        "optimizer.learning_rate was 0.001 and is 0.0001",
        "run.precision was 'no' and is 'bf16'",
        "drop_faces",
    ):
        assert part in told


def test_another_base_model_is_noticed(made):
    made.save()
    made.networks = {"unet": "another"}
    with pytest.raises(UniPortraitError, match="networks.unet was None and is 'another'"):
        made.resume()
