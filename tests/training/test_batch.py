"""Samples of a step, stacked."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from training.data.batch import Batch, collate
from training.data.order import Batches
from training.data.portraits import Portraits, View
from training.data.sample import Faces, Sample

PARTS = {"embedding": (5,), "intrinsic": (4, 3), "shallow": (9, 2), "clip": (9, 6), "image": (7,)}


def faces(people: int, cached: bool) -> Faces:
    if cached:
        return Faces(**{name: torch.randn(people, *shape) for name, shape in PARTS.items()})
    return Faces(torch.randint(0, 256, (people, 6, 6, 3), dtype=torch.uint8))


def sample(key: str, people: int, cached: bool, other: bool = False, absent: bool = False) -> Sample:
    return Sample(
        key=key,
        seed=0,
        caption=f"caption of {key}",
        boxes=torch.rand(people, 4),
        landmarks=torch.rand(people, 5, 2),
        faces=faces(people, cached),
        other=faces(1, cached) if other else None,
        absent=faces(1, cached) if absent else None,
        pixels=None if cached else torch.rand(3, 16, 24),
        moments=torch.rand(8, 2, 3) if cached else None,
        text=torch.rand(77, 5) if cached else None,
        pooled=None,
        original=(100, 150),
        corner=(8, people),
    )


def parts(one: Faces) -> dict[str, Tensor]:
    return {name: value for name, value in vars(one).items() if value is not None}


@pytest.fixture(params=[False, True], ids=["crops", "cached"])
def samples(request) -> list[Sample]:
    cached = request.param
    return [
        sample("a", 1, cached, other=True),
        sample("b", 3, cached),
        sample("c", 2, cached, absent=True),
        sample("d", 3, cached, absent=True),
    ]


def test_people_are_filled_up_with_nobody(samples):
    batch = collate(samples)
    assert batch.present.tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.in_picture.tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    assert batch.boxes.shape == (4, 4, 4) and not batch.boxes[~batch.in_picture].any()
    for row, one in enumerate(samples):
        assert torch.equal(batch.boxes[row, : len(one.boxes)], one.boxes)
        for name, value in parts(one.faces).items():
            stacked = getattr(batch.faces, name)
            assert stacked.dtype == value.dtype and torch.equal(stacked[row, : len(value)], value)
            assert not stacked[row][~batch.present[row]].any()
            if one.absent:
                assert torch.equal(stacked[row, len(value)], getattr(one.absent, name)[0])
    assert parts(batch.faces).keys() == parts(samples[0].faces).keys()


def test_another_photo_is_marked(samples):
    batch = collate(samples)
    assert batch.has_other.tolist() == [1, 0, 0, 0]
    for name, value in parts(samples[0].other).items():
        assert torch.equal(getattr(batch.other, name)[0], value[0]) and not getattr(batch.other, name)[1:].any()
    batch = collate(samples[1:])
    assert batch.other is None and batch.has_other.tolist() == [0, 0, 0]


def test_the_rest_is_stacked(samples):
    batch = collate(samples)
    assert batch.keys == ("a", "b", "c", "d") and batch.captions[1] == "caption of b"
    assert batch.corner.tolist() == [[8, 1], [8, 3], [8, 2], [8, 3]] and batch.original.tolist() == [[100, 150]] * 4
    for name in ("pixels", "moments", "text", "pooled"):
        values = [getattr(one, name) for one in samples]
        found = getattr(batch, name)
        assert found is None if values[0] is None else torch.equal(found, torch.stack(values))


def test_a_batch_moves_as_a_whole(samples):
    moved = collate(samples).to("meta")
    assert isinstance(moved, Batch) and moved.keys == ("a", "b", "c", "d")
    tensors = [getattr(moved, field.name) for field in fields(moved)]
    tensors += [*parts(moved.faces).values(), *parts(moved.other).values()]
    devices = {tensor.device.type for tensor in tensors if isinstance(tensor, Tensor)}
    assert devices == {"meta"}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_same_in_any_number_of_processes(shards, workers):
    portraits = Portraits([shards], View(64, people=(1, 6), absent=0.5, other_photo=0.5))

    def loader(workers: int, **options: int) -> list[Batch]:
        batches = Batches(portraits, steps=6, seed=4, **options)
        return list(DataLoader(portraits, batch_sampler=batches, collate_fn=collate, num_workers=workers))

    wanted = loader(0, batch=4)
    found = loader(workers, batch=2, process=1, processes=2)
    for whole, part in zip(wanted, found, strict=True):
        people = part.present.shape[1]
        assert part.keys == whole.keys[2:] and torch.equal(part.pixels, whole.pixels[2:])
        assert torch.equal(part.present, whole.present[2:, :people])
        assert torch.equal(part.faces.crops, whole.faces.crops[2:, :people])


def test_samples_are_not_changed(samples):
    before = [replace(one, boxes=one.boxes.clone()) for one in samples]
    batch = collate(samples)
    batch.boxes.zero_()
    assert all(torch.equal(one.boxes, other.boxes) for one, other in zip(samples, before, strict=True))
