"""Identities as files: safetensors, written whole or not at all.

Person i has `id{i}.cond` and `id{i}.uncond`, (tokens, dim), and whatever else is known of the person, as
`id{i}.embedding`, `id{i}.thumbnail`, `id{i}.mask` and `id{i}.weight` (`identity.Identity`). A reader needs only the
first two.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..embedding.identity import FaceID, Identity
from ..errors import UniPortraitError, named, reason
from ..ordinary_file import check_ordinary

FORMAT = "uniportrait-face-id"
VERSION = "1"
REQUIRED = ("cond", "uncond")
# Number of axes and type of everything that is kept of a person.
PARTS = {
    "cond": (2, torch.float32),
    "uncond": (2, torch.float32),
    "embedding": (1, torch.float32),
    "thumbnail": (3, torch.uint8),
    "mask": (2, torch.float32),
    "weight": (0, torch.float64),
}


def save_face_id(path: Path, face_id: FaceID) -> None:
    """Write people to `path`. A file already there stays as it was unless all is written.

    Raises:
        UniPortraitError: the file cannot be written; nothing is left behind.
    """
    tensors = {f"id{i}.{part}": value for i, person in enumerate(face_id) for part, value in _tensors(person)}
    content = save(tensors, metadata={"format": FORMAT, "version": VERSION, "count": str(len(face_id))})
    partial = path.with_name(f"{named(path.name)}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise UniPortraitError(
            f"{named(path.name)} cannot be written: {error.strerror or error}. Free some space or choose another "
            "folder."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def load_face_id(path: Path) -> FaceID:
    """Read people from an identity file of version 1; tensors of other names may be in it.

    Raises:
        UniPortraitError: not an identity file, of a later version, damaged, or with tensors that do not match.
    """
    try:
        check_ordinary(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            _check_metadata(path, metadata)
            people = tuple(_read_person(file, i) for i in range(int(metadata["count"])))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UniPortraitError(
            f"{named(path.name)} is not a readable face identity ({reason(error)}). Save it again with Save Face ID."
        ) from error
    shapes = {tuple(tokens.shape) for person in people for tokens in (person.cond, person.uncond)}
    if len(shapes) != 1:
        raise UniPortraitError(
            f"{named(path.name)} holds tokens of shapes {sorted(shapes)[:3]}, needed is one shape (tokens, dim) for "
            "all people. Save it again with Save Face ID."
        )
    return people


def _tensors(person: Identity) -> Iterator[tuple[str, Tensor]]:
    for part, (_, dtype) in PARTS.items():
        if (value := getattr(person, part)) is not None:
            # Copies: people of one structure scale share their unconditional tokens; safetensors refuses shared memory.
            yield part, torch.as_tensor(value, dtype=dtype).clone(memory_format=torch.contiguous_format)


def _read_person(file: Any, i: int) -> Identity:
    present = set(file.keys())
    wanted = (part for part in PARTS if part in REQUIRED or f"id{i}.{part}" in present)
    parts = {part: _read(file, f"id{i}.{part}", *PARTS[part]) for part in wanted}
    if "weight" in parts:
        parts["weight"] = parts["weight"].item()
    if "thumbnail" in parts and parts["thumbnail"].shape[-1] != 3:
        raise ValueError(f"id{i}.thumbnail is of shape {tuple(parts['thumbnail'].shape)}, needed is RGB")
    return Identity(**parts)


def _read(file: Any, key: str, axes: int, dtype: torch.dtype) -> Tensor:
    # A copy: what safetensors gives is a window on the file, which would have to stay as it is.
    found = file.get_tensor(key)
    if found.ndim != axes or found.numel() == 0:
        raise ValueError(f"{key} is of shape {tuple(found.shape)}, needed are finite numbers in {axes} axes")
    if found.is_floating_point() != dtype.is_floating_point or found.is_complex():
        raise ValueError(f"{key} is of type {found.dtype}, needed is {dtype}".replace("torch.", ""))
    tensor = found.to(dtype, copy=True)
    if not tensor.isfinite().all():
        raise ValueError(f"{key} holds NaN or infinity, needed are finite numbers in {axes} axes")
    return tensor


def _check_metadata(path: Path, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise UniPortraitError(
            f"{named(path.name)} is not a face identity: its format is {_said(metadata, 'format')}, "
            f"needed is {FORMAT!r}. Choose a file that Save Face ID wrote."
        )
    if metadata.get("version") != VERSION:
        raise UniPortraitError(
            f"{named(path.name)} is of version {_said(metadata, 'version')}, this pack reads version {VERSION!r}. "
            "Update UniPortrait."
        )


def _said(metadata: dict[str, str], key: str) -> str:
    return f"'{named(metadata[key], 40)}'" if key in metadata else "not stated"
