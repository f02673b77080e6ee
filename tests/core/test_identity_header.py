"""What is read of identity files without their tensors: faces, and nothing of files that are something else."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

import recipe
from uniportrait_core.embedding.identity import Identity
from uniportrait_core.errors import UniPortraitError
from uniportrait_core.files.identity_file import save_face_id
from uniportrait_core.files.identity_header import read_thumbnail, read_thumbnails

SOUND = {"dtype": "U8", "shape": [2, 2, 3], "data_offsets": [0, 12]}
COND = {"dtype": "F32", "shape": [1, 1], "data_offsets": [12, 16]}


def person(number: int, thumbnail: torch.Tensor | None) -> Identity:
    tokens = recipe.noise(f"tokens{number}", (5, 6))
    return Identity(tokens, tokens, mask=torch.rand(50, 50), thumbnail=thumbnail)


def write(path: Path, thumbnail: object = SOUND, count: object = "1", content: bytes = bytes(16)) -> Path:
    """A file of one person, as nobody but an attacker may write it."""
    metadata = {"format": "uniportrait-face-id", "version": "1", "count": count}
    return write_header(path, {"__metadata__": metadata, "id0.cond": COND, "id0.thumbnail": thumbnail}, content)


def write_header(path: Path, header: object, content: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


def test_faces_are_found_in_files_as_they_are_saved(tmp_path):
    pictures = [torch.randint(0, 256, (112, 112, 3), dtype=torch.uint8), torch.full((4, 6, 3), 7, dtype=torch.uint8)]
    path = tmp_path / "three.safetensors"
    save_face_id(path, (person(0, pictures[0]), person(1, None), person(2, pictures[1])))
    first, none, last = read_thumbnails(path)
    assert none is None
    assert np.array_equal(read_thumbnail(path, first), pictures[0].numpy())
    assert np.array_equal(read_thumbnail(path, last), pictures[1].numpy())


@pytest.mark.parametrize(
    "thumbnail",
    [
        SOUND | {"dtype": "F32"},
        SOUND | {"shape": [2, 2]},
        SOUND | {"shape": [2, 2, 4]},
        SOUND | {"shape": [2, 6, 1]},
        SOUND | {"shape": [0, 2, 3], "data_offsets": [0, 0]},
        SOUND | {"shape": [-2, -2, 3]},
        SOUND | {"shape": [2.0, 2, 3]},
        SOUND | {"shape": [100_000, 100_000, 3], "data_offsets": [0, 30_000_000_000]},
        SOUND | {"data_offsets": [-12, 0]},
        SOUND | {"data_offsets": [8, 20]},  # beyond the end
        SOUND | {"data_offsets": [0, 11]},
    ],
)
def test_a_face_that_is_none_is_left_out(tmp_path, thumbnail):
    assert read_thumbnails(write(tmp_path / "a.safetensors")) != (None,)
    assert read_thumbnails(write(tmp_path / "a.safetensors", thumbnail)) == (None,)


@pytest.mark.parametrize("thumbnail", [7, {}, {"dtype": "U8"}, SOUND | {"shape": 3}, SOUND | {"data_offsets": [1]}])
def test_entries_that_make_no_sense(tmp_path, thumbnail):
    with pytest.raises(UniPortraitError, match=r"a\.safetensors is not a readable face identity"):
        read_thumbnails(write(tmp_path / "a.safetensors", thumbnail))


@pytest.mark.parametrize("count", ["0", "-1", "2", "1001", "99999999999", "one", None, [], {}])
def test_a_number_of_people_that_is_none(tmp_path, count):
    with pytest.raises(UniPortraitError, match="not a readable face identity"):
        read_thumbnails(write(tmp_path / "a.safetensors", count=count))


@pytest.mark.parametrize(
    "header",
    [b"", b"{", b"[]", b"null", b"7", b"{}", b'{"__metadata__": []}', b'{"__metadata__": {"format": "pt"}}',
     b"[" * 100_000, b"\xff\xfe{}", b"{}" + b" " * 1_000_000],
    ids=lambda header: ascii(header)[:20],
)  # fmt: skip
def test_headers_that_are_none(tmp_path, header):
    with pytest.raises(UniPortraitError, match="not a readable face identity.*Save it again"):
        read_thumbnails(write_header(tmp_path / "a.safetensors", header))


@pytest.mark.parametrize("content", [b"", b"1234", struct.pack("<Q", 1 << 60) + b"{}", bytes(100)])
def test_files_that_are_something_else(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(UniPortraitError, match="not a readable face identity"):
        read_thumbnails(path)


def test_a_file_that_is_cut_off_or_gone_meanwhile(tmp_path):
    path = write(tmp_path / "a.safetensors")
    (place,) = read_thumbnails(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UniPortraitError, match="cannot be read"):
        read_thumbnail(path, place)
    path.unlink()
    with pytest.raises(UniPortraitError, match="cannot be read"):
        read_thumbnail(path, place)
    with pytest.raises(UniPortraitError, match="not a readable face identity"):
        read_thumbnails(path)
