"""Steps that are recorded and played again: the same as others, with nothing in them that a recording cannot hold."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from toy import Toy
from trainers import batches, move, trainer
from training.data.batch import collate
from training.data.tensors import parts
from training.run import course
from training.run.recorded import Recorded
from uniportrait_core.errors import UniPortraitError

ASKING = ("_local_scalar_dense", "nonzero", "lift_fresh", "masked_select", "unique")
"""Operations that read from the device, or bring numbers to it."""


class Asked(TorchDispatchMode):
    """What a recording cannot hold, of all that is done while it lasts."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.found += [name for name in ASKING if name in str(function)]
        return function(*args, **(kwargs or {}))


def play(work):
    """As a CUDA graph does: tried out beforehand, and with its results in the same memory every time."""
    work()
    place = work()

    def replay():
        for there, new in zip(parts(place), parts(work()), strict=True):
            if there is not None:
                there.copy_(new)
        return place

    return replay


@pytest.mark.parametrize("stage", ("single", "multi"))
def test_recorded_steps_are_the_same(tmp_path, stage):
    """Pictures with other numbers of people are other kinds, and each is recorded once."""
    runs = ({"steps": 6, "cuda_graphs": recorded} for recorded in (False, True))
    once, again = (trainer(stage, tmp_path / str(number), run=run) for number, run in enumerate(runs))
    recordings = []
    again.learn._record = lambda work: recordings.append(work) or play(work)
    for made in (once, again):
        move(made)
    steps = batches(once)
    found = [[made.take_step(step) for step in steps] for made in (once, again)]
    assert found[0] == found[1]
    for name, value in once.trained.items():
        assert torch.equal(value, again.trained[name]), name
    assert len(recordings) == len({step[0].present.shape for step in steps}) == (1 if stage == "single" else 2)


@pytest.mark.parametrize("likeness", (0.0, 0.1))
@pytest.mark.parametrize("stage", ("single", "multi"))
def test_a_pass_asks_nothing_of_the_device(tmp_path, stage, likeness):
    made = trainer(stage, tmp_path, run={"cuda_graphs": True}, loss={"likeness": likeness})
    batch = batches(made)[0][0]
    made._pass(batch)  # what is kept between passes is made before the recording
    with Asked() as asked:
        made._pass(batch)
    assert not asked.found
    with Asked() as asked:
        torch.tensor([1.0]).item()
    assert set(asked.found) == {"_local_scalar_dense", "lift_fresh"}


def test_what_cannot_be_recorded_is_refused(tmp_path):
    made = trainer("single", tmp_path)
    with pytest.raises(UniPortraitError, match="found are 1 processes on cpu and no cached features"):
        course._check_recording(made.accelerator, cached=False)
    with pytest.raises(ValueError, match="goes with neither"):
        trainer("single", tmp_path, run={"cuda_graphs": True, "accumulation": 2})


def test_other_kinds_of_batches_are_other_recordings():
    calls = []
    function = Recorded(lambda batch: calls.append(batch) or batch.present.float().sum(), lambda: None, play)
    data = Toy((1, 3))
    made = [collate([data[number, number]]) for number in range(8)]
    assert [int(function(batch)) for batch in made] == [int(batch.present.sum()) for batch in made]
    assert len({id(batch) for batch in calls}) == len({batch.present.shape for batch in made}) > 1
