"""Telling whether cached features come from the networks at hand."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

WEIGHTS = (".safetensors", ".bin")
SAMPLE = 1 << 16  # bytes read at either end of a weight file: a gigabyte need not be read to tell two trainings apart


def fingerprints(base: Path, clip_vision: Path, face_backbone: Path) -> dict[str, str]:
    """What distinguishes the networks whose features are cached: names of parts and short hashes.

    The UNet is not among them, so that models which differ in nothing else share one cache.

    Args:
        base: a base model in the layout of diffusers.
        clip_vision: folder of a CLIP vision model.
        face_backbone: weight file.

    Raises:
        UniPortraitError: one of them has no weights.
    """
    text = [folder for folder in (base / "text_encoder", base / "text_encoder_2") if folder.is_dir()]
    parts = {"vae": [base / "vae"], "text": text, "clip_vision": [clip_vision], "face_backbone": [face_backbone]}
    return {name: fingerprint(name, places) for name, places in parts.items()}


def fingerprint(name: str, places: list[Path]) -> str:
    """A short hash of weight files, or of those in folders. Raises UniPortraitError where there are none."""
    digest = hashlib.sha256()
    files = [file for place in places for file in _weights(place)]
    if not files:
        looked = " and ".join(map(str, places)) or "the base model"
        raise UniPortraitError(
            f"No weights of {name} were found in {looked}; needed is a file that ends in {' or '.join(WEIGHTS)}. Give "
            "the folder of a base model and of CLIP vision, and the face backbone's file."
        )
    for path in files:
        size = path.stat().st_size
        with open(path, "rb") as file:
            digest.update(size.to_bytes(8, "big") + file.read(SAMPLE))
            file.seek(max(size - SAMPLE, 0))
            digest.update(file.read())
    return digest.hexdigest()[:16]


def _weights(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    else:
        yield from (file for file in sorted(place.glob("*")) if file.suffix in WEIGHTS)
