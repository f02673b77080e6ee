"""Identities as files: safetensors with `id{i}.cond` and `id{i}.uncond` per person, written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .errors import UniPortraitError
from .identity import FaceID, Identity

FORMAT = "uniportrait-face-id"
VERSION = "1"
HALVES = ("cond", "uncond")


def save_face_id(path: Path, face_id: FaceID) -> None:
    """Write people to `path` in float32. A file already there stays as it was unless all is written.

    Raises:
        UniPortraitError: the file cannot be written; nothing is left behind.
    """
    tensors = {}
    for i, identity in enumerate(face_id):
        for half in HALVES:
            # Copies: people of one structure scale share their unconditional tokens; safetensors refuses shared memory.
            tokens = getattr(identity, half).float().clone(memory_format=torch.contiguous_format)
            tensors[f"id{i}.{half}"] = tokens
    content = save(tensors, metadata={"format": FORMAT, "version": VERSION, "count": str(len(face_id))})
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise UniPortraitError(
            f"{path.name} cannot be written: {error.strerror or error}. Free some space or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def load_face_id(path: Path) -> FaceID:
    """Read people from an identity file of version 1; tensors other than the tokens may be in it.

    Raises:
        UniPortraitError: not an identity file, of a later version, damaged, or with tokens that do not match.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            _check_metadata(path, metadata)
            # Copies: the tensors that safetensors gives are windows on the file, which would have to stay as it is.
            people = tuple(
                Identity(**{half: file.get_tensor(f"id{i}.{half}").to(torch.float32, copy=True) for half in HALVES})
                for i in range(int(metadata["count"]))
            )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UniPortraitError(
            f"{path.name} is not a readable face identity ({error}). Save it again with Save Face ID."
        ) from error
    shapes = {tuple(t.shape) for person in people for t in (person.cond, person.uncond)}
    finite = all(torch.isfinite(t).all() for person in people for t in (person.cond, person.uncond))
    if len(shapes) != 1 or len(shapes.pop()) != 2 or not finite:
        raise UniPortraitError(
            f"{path.name} does not hold one (tokens, dim) tensor of finite numbers per person and half. "
            "Save it again with Save Face ID."
        )
    return people


def _check_metadata(path: Path, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise UniPortraitError(
            f"{path.name} is not a face identity: its format is {metadata.get('format', 'not stated')!r}, "
            f"needed is {FORMAT!r}. Choose a file that Save Face ID wrote."
        )
    if metadata.get("version") != VERSION:
        raise UniPortraitError(
            f"{path.name} is of version {metadata.get('version')!r}, this pack reads version {VERSION!r}. "
            "Update UniPortrait."
        )
