"""Identity files: their format as other programs see it, whole files only, and errors that help."""

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import recipe
from uniportrait_core.embedding.identity import FaceID, Identity
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.identity_file import load_face_id, save_face_id

METADATA = {"format": "uniportrait-face-id", "version": "1", "count": "2"}
HALVES = ("cond", "uncond")


def people(count: int) -> FaceID:
    """People as they are encoded: all have the very same unconditional tokens."""
    uncond = recipe.noise("uncond", (5, 6))
    return tuple(Identity(recipe.noise(f"cond{i}", (5, 6)), uncond) for i in range(count))


def tensors(count: int = 2) -> dict[str, Tensor]:
    """The content of a file, apart from its metadata."""
    parts = ((f"id{i}.{half}", getattr(person, half)) for i, person in enumerate(people(count)) for half in HALVES)
    return {key: tensor.clone() for key, tensor in parts}


def pairs() -> list[tuple[Tensor, Tensor]]:
    return [(person.cond, person.uncond) for person in people(2)]


def assert_same(found: FaceID, wanted: FaceID) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.cond, other.cond) and torch.equal(one.uncond, other.uncond)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "faces" / "anna.safetensors"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_is_saved_is_loaded_bit_by_bit(path, count):
    save_face_id(path, people(count))
    assert_same(load_face_id(path), people(count))


@pytest.mark.parametrize("count", [1, 3])
def test_format_as_safetensors_reads_it(path, count):
    save_face_id(path, people(count))
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "uniportrait-face-id", "version": "1", "count": str(count)}
        assert set(file.keys()) == {f"id{i}.{part}" for i in range(count) for part in (*HALVES, "weight")}
        for key, wanted in tensors(count).items():
            assert file.get_tensor(key).dtype == torch.float32
            assert torch.equal(file.get_tensor(key), wanted)


def test_half_precision_and_strided_tokens_are_saved_as_plain_float32(path):
    cond = recipe.noise("cond0", (6, 5)).half().T
    save_face_id(path, (Identity(cond, cond),))
    with safe_open(path, "pt") as file:
        assert file.get_tensor("id0.cond").dtype == file.get_tensor("id0.uncond").dtype == torch.float32
    (person,) = load_face_id(path)
    assert person.cond.dtype == torch.float32 and torch.equal(person.cond, cond.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_file_of_another_program_is_read(path, dtype):
    path.parent.mkdir()
    content = {key: tensor.to(dtype) for key, tensor in tensors().items()}
    save_file(content, path, METADATA)
    assert_same(load_face_id(path), tuple(Identity(*(t.to(dtype).float() for t in halves)) for halves in pairs()))
    assert {person.cond.dtype for person in load_face_id(path)} == {torch.float32}


def test_further_tensors_and_metadata_are_tolerated(path):
    path.parent.mkdir()
    further = {"id0.embedding": torch.ones(512), "id0.thumbnail": torch.zeros(2, 2, 3, dtype=torch.uint8)}
    save_file(tensors() | further, path, METADATA | {"program": "another"})
    assert_same(load_face_id(path), people(2))


def test_everything_that_is_known_of_a_person_is_kept(path):
    plain, _ = people(2)
    mask, thumbnail = torch.rand(7, 9), torch.randint(0, 256, (4, 4, 3), dtype=torch.uint8)
    known = replace(plain, embedding=recipe.noise("embedding", (512,)), thumbnail=thumbnail, mask=mask, weight=0.7)
    save_face_id(path, (plain, known))
    first, second = load_face_id(path)
    assert first.embedding is first.thumbnail is first.mask is None and first.weight == 1.0
    assert second.weight == 0.7
    for part in ("cond", "uncond", "embedding", "thumbnail", "mask"):
        found, wanted = getattr(second, part), getattr(known, part)
        assert found.dtype == wanted.dtype and torch.equal(found, wanted)


def test_saving_again_replaces_the_file(path):
    save_face_id(path, people(1))
    save_face_id(path, people(3))
    assert_same(load_face_id(path), people(3))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_loaded_people_do_not_change_with_the_file(path):
    save_face_id(path, people(1))
    loaded = load_face_id(path)
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert_same(loaded, people(1))


def out_of_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk(self: Path, content: bytes) -> int:
    """A disk that is full half-way."""
    with open(self, "wb") as file:
        file.write(content[: len(content) // 2])
    out_of_space()


FAULTS = {"write": ("pathlib.Path.write_bytes", full_disk), "replace": ("os.replace", out_of_space)}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("exists", [False, True])
def test_saving_that_fails_leaves_everything_as_it_was(path, monkeypatch, fault, exists):
    path.parent.mkdir()
    if exists:
        save_face_id(path, people(1))
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with monkeypatch.context() as patch, pytest.raises(UniPortraitError, match=r"anna\.safetensors.*No space left"):
        patch.setattr(*FAULTS[fault])
        save_face_id(path, people(2))
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_an_interruption_leaves_no_litter(path, monkeypatch):
    save_face_id(path, people(1))
    before = path.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_face_id(path, people(2))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made(path):
    path.parent.write_text("a file in the folder's place")
    with pytest.raises(UniPortraitError, match=r"anna\.safetensors cannot be written: .*choose another folder"):
        save_face_id(path, people(1))


WITHOUT_COND = {key: tensor for key, tensor in tensors().items() if key != "id1.cond"}
MISSHAPEN = {"id1.cond": torch.zeros(4, 6)}, {"id0.uncond": torch.zeros(5, 7)}
WRONG_PARTS = (
    {"id0.cond": torch.full((5, 6), torch.nan)},
    {"id1.uncond": torch.full((5, 6), torch.inf)},
    {"id0.cond": torch.zeros(30)},
    {"id0.cond": torch.zeros(1, 5, 6)},
    {"id1.embedding": torch.full((512,), torch.nan)},
    {"id0.mask": torch.zeros(1, 8, 8)},
    {"id1.weight": torch.tensor([1.0, 2.0])},
    {"id0.thumbnail": torch.zeros(8, 8)},
    {"id0.mask": torch.zeros(0, 8)},
)


@pytest.mark.parametrize(
    ("content", "metadata", "message"),
    [
        (tensors(), None, "format is not stated, needed is 'uniportrait-face-id'.*Save Face ID"),
        (tensors(), {**METADATA, "format": "pt"}, "format is 'pt', needed is 'uniportrait-face-id'.*Save Face ID"),
        (tensors(), {**METADATA, "version": "2"}, "version '2', this pack reads version '1'.*Update"),
        (tensors(), {"format": METADATA["format"], "version": "1"}, "not a readable face identity.*count"),
        (tensors(), {**METADATA, "count": "two"}, "not a readable face identity.*'two'"),
        (tensors(), {**METADATA, "count": "0"}, r"holds tokens of shapes \[\], needed is one shape"),
        (tensors(), {**METADATA, "count": "3"}, "not a readable face identity.*id2.cond"),
        (WITHOUT_COND, METADATA, "not a readable face identity.*id1.cond"),
        *((tensors() | fault, METADATA, f"{next(iter(fault))} .*finite numbers in . axes") for fault in WRONG_PARTS),
        *((tensors() | fault, METADATA, "holds tokens of shapes .* needed is one shape") for fault in MISSHAPEN),
    ],
)
def test_content_that_is_no_face_identity(path, content, metadata, message):
    path.parent.mkdir()
    save_file(content, path, metadata)
    with pytest.raises(UniPortraitError, match=rf"^anna\.safetensors .*{message}"):
        load_face_id(path)


def test_a_thumbnail_that_is_not_rgb(path):
    path.parent.mkdir()
    save_file(tensors() | {"id0.thumbnail": torch.zeros(3, 8, 8, dtype=torch.uint8)}, path, METADATA)
    with pytest.raises(UniPortraitError, match=r"id0\.thumbnail is of shape \(3, 8, 8\), needed is RGB"):
        load_face_id(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Not a face", id="text"),
        pytest.param(bytes(range(256)) * 8, id="bytes"),
        pytest.param(struct.pack("<Q", 2) + b"{}", id="no tensors"),
    ],
)
def test_bytes_that_are_no_face_identity(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UniPortraitError, match=r"^anna\.safetensors is not a .*Save Face ID"):
        load_face_id(path)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off(path, share):
    save_face_id(path, people(2))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UniPortraitError, match=r"^anna\.safetensors is not a readable face identity .*Save Face ID"):
        load_face_id(path)


def test_no_file_and_a_folder_in_its_place(path):
    with pytest.raises(UniPortraitError, match=r"^anna\.safetensors is not a readable face identity"):
        load_face_id(path)
    path.mkdir(parents=True)
    with pytest.raises(UniPortraitError, match=r"^anna\.safetensors is not a readable face identity"):
        load_face_id(path)
