"""What the frozen networks make of the pictures in a shard, written into it: latents, text, faces."""

import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from uniportrait_core.errors import UniPortraitError

from ..data.geometry import cut
from ..data.index import Shard
from ..data.members import read_members
from ..data.portraits import FEATURES, read_crop, resized, to_tensor
from ..files import whole_file
from ..frozen.faces import FaceEncoder
from ..frozen.fingerprint import fingerprints
from ..frozen.latents import load_vae, to_moments
from ..frozen.text import TextEncoder
from .piece import SHARD, add_sample
from .settings import Caching

MEMBER = "safetensors"
TOGETHER = 8  # pictures whose faces and captions are encoded in one go

Sample = tuple[str, dict[str, bytes]]


def cache_record(caching: Caching) -> dict[str, Any]:
    """What the features depend on, as it stands in the index."""
    networks = fingerprints(caching.base, caching.clip_vision, caching.face_backbone)
    return {"resolution": caching.resolution, "buckets": caching.buckets, "networks": networks}


def devices(wanted: str) -> list[str]:
    """Devices of torch; for `auto` all of CUDA, or the best there is."""
    if wanted != "auto":
        return wanted.split(",")
    if count := torch.cuda.device_count():
        return [f"cuda:{number}" for number in range(count)]
    return ["mps" if torch.backends.mps.is_available() else "cpu"]


class FeatureWriter:
    """Adds features to the pictures of a shard."""

    def __init__(self, caching: Caching, record: dict[str, Any], output: Path, device: str):
        """
        Args:
            caching: the networks, and the size of the pictures.
            record: `cache_record` of it.
            output: folder of the shards.
            device: of torch, for the networks.

        Raises:
            UniPortraitError: a network is missing, or is something else.
        """
        self._caching, self._record, self._output = caching, record, output
        self._device = torch.device(device)
        self._faces = FaceEncoder(caching.face_backbone, caching.clip_vision).to(self._device)
        self._text = TextEncoder(caching.base).to(self._device)
        self._vae = load_vae(caching.base).to(self._device)

    def __call__(self, entry: dict[str, Any], advance: Callable[[], None]) -> dict[str, Any]:
        """Write a shard anew, with features, whole or not at all.

        Args:
            entry: the shard's entry in the journal.

        Returns:
            The new entry.
        """
        path = self._output / SHARD.format(entry["number"])
        shard = Shard(str(path), entry["bytes"])
        waiting = iter(entry["pictures"])
        pictures = []
        with whole_file(path) as file, tarfile.open(fileobj=file, mode="w") as tar:
            while some := list(islice(waiting, TOGETHER)):
                samples = [read_members(shard, np.array(picture["place"])) for picture in some]
                for picture, (key, members), features in zip(some, samples, self._encode(some, samples), strict=True):
                    place = add_sample(tar, key, {**members, MEMBER: save(features)})
                    pictures.append({**picture, "place": place})
                    advance()
        return {**entry, "pictures": pictures, "bytes": path.stat().st_size, "cache": self._record}

    def _encode(self, pictures: Sequence[dict], samples: Sequence[Sample]) -> Iterator[dict[str, Tensor]]:
        """Features of some pictures, float16: of the picture, `moments`, `text`, `pooled`; of each face, `FEATURES`."""
        facts = [json.loads(members["json"]) for _, members in samples]
        text, pooled = self._text([one["caption"] for one in facts])
        counts = [len(one["faces"]) for one in facts]
        crops = [
            read_crop(members[f"face{i}.png"])
            for (_, members), count in zip(samples, counts, strict=True)
            for i in range(count)
        ]
        faces = self._faces(torch.from_numpy(np.stack(crops)).to(self._device))
        by_picture = {name: getattr(faces, name).split(counts) for name in FEATURES}
        for number, (picture, (key, members)) in enumerate(zip(pictures, samples, strict=True)):
            features = {name: split[number] for name, split in by_picture.items()}
            features |= {"moments": self._moments(picture, members), "text": text[number]}
            if pooled is not None:
                features["pooled"] = pooled[number]
            yield {name: _half(key, name, tensor) for name, tensor in features.items()}

    def _moments(self, picture: dict, members: dict[str, bytes]) -> Tensor:
        """Of the whole picture, as training resizes it before it is cut, (2 · channels, height / 8, width / 8)."""
        where = cut(picture["size"], picture["around"], self._caching.resolution, self._caching.buckets)
        pixels = to_tensor(resized(members, where.size)).to(self._device)
        return to_moments(self._vae, pixels[None])[0]


def _half(key: str, name: str, tensor: Tensor) -> Tensor:
    half = tensor.half().cpu().contiguous()
    if not half.isfinite().all():
        largest = tensor.abs().max().item()
        raise UniPortraitError(
            f"The {name} of {key} reach {largest:g}, beyond what half precision holds. Take the picture out of the "
            "source, or look whether the networks are what they should be."
        )
    return half
