"""The kinds of files that the core reads: a sound one of each, how it is read, and what it has to give.

A file that is read has to work: what is read is used as the pack uses it. And it has to give what it says, which is
compared with what another reader finds in it.
"""

import io
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import recipe
import small_files
from standins.detector import write_detector
from standins.yunet import write_yunet
from uniportrait_core.attention.adapter import IDLayer, LoRA
from uniportrait_core.attention.projection import prepare
from uniportrait_core.embedding.identity import FaceID, Identity
from uniportrait_core.faces.centre_detector import CentreDetector, CentreNet
from uniportrait_core.faces.detection import Face, find_faces
from uniportrait_core.faces.insightface_detector import CPU, InsightFaceDetector
from uniportrait_core.faces.yunet_detector import YuNetDetector
from uniportrait_core.files.checkpoint import load_backbone, load_faceid, load_ip_adapter, load_router
from uniportrait_core.files.identity_file import load_face_id, save_face_id
from uniportrait_core.files.identity_header import read_thumbnail, read_thumbnails
from uniportrait_core.routing.router import first_layer, fold, route
from uniportrait_core.style.ip_adapter import IPAdapter

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the kind.
        ending: of the file's name.
        read: reads a file and uses what was in it; returns the tensors that it gave, by their names in the file.
        tensors: those of a sound file; none where a file is something else, which is only damaged.
        metadata: of a safetensors file, which is then the only form.
        content: a sound file, where it is none of tensors.
        often: how often it is drawn, beside the others.
    """

    name: str
    ending: str
    read: Callable[[Path], Tensors]
    tensors: Callable[[], Tensors] = dict
    metadata: dict[str, str] | None = None
    content: Callable[[], bytes] | None = None
    often: int = 10

    def sound(self, form: str) -> bytes:
        """A sound file, of one of `small_files.FORMS`."""
        return self.content() if self.content else written(self.tensors(), form, self.metadata)

    @property
    def forms(self) -> tuple[str, ...]:
        return ("safetensors",) if self.metadata or self.content else small_files.FORMS


def written(tensors: Tensors, form: str, metadata: dict[str, str] | None = None) -> bytes:
    """A file of tensors. A dictionary in a pickle is nested where names have dots, as in the published files."""
    if form == "safetensors":
        from safetensors.torch import save

        return save({key: value.contiguous() for key, value in tensors.items()}, metadata)
    file = io.BytesIO()
    torch.save(dict(tensors), file, _use_new_zipfile_serialization=form == "zip")
    return file.getvalue()


def disagreements(path: Path, given: Tensors) -> list[str]:
    """Where what was read is not what the file says, as far as another reader finds out; or is no number."""
    said = _said(path)
    found = []
    for key, value in given.items():
        if key.endswith("num_batches_tracked"):  # nothing is calculated with it
            continue
        if key not in said:
            found.append(f"gives {key!r}, which is not in the file")
        elif value.is_floating_point() and not value.double().isfinite().all():
            found.append(f"gives {key!r} with numbers that are not finite")
        elif said[key].is_complex() or not torch.equal(value.double(), said[key].to(value.dtype).double()):
            found.append(f"gives {key!r} otherwise than the file")
    return found


# What is read, used once


def _faceid(path: Path) -> Tensors:
    weights = load_faceid(path)
    resampler = weights.resampler
    features = resampler.project(torch.ones(1, 2, resampler.intrinsic_dim), torch.ones(1, 3, resampler.structure_dim))
    (tokens,) = resampler([features], 0.3)
    _draw(weights.layers, tokens)
    assert weights.base and tokens.shape == resampler.token_shape
    state = {f"faceid_proj.{key}": value for key, value in resampler.state_dict().items()}
    return state | dict(_named_layers(weights.layers, "faceid_adapter.{}.to_{}_faceid.weight")) | _lora(weights.lora)


def _router(path: Path) -> Tensors:
    weights = load_router(path)
    given = {}
    for i, layer in enumerate(weights.layers):
        tokens = torch.ones(2, layer.aggregate[0].shape[1], layer.key_in[0].shape[1])
        x = torch.ones(1, 6, layer.query_in[0].shape[1])
        route(x, first_layer(layer), fold(layer, tokens))
        parts = {"to_q_router.2.weight": layer.query_out, "to_k_router.2.weight": layer.key_out}
        pairs = (("to_q_router.0", layer.query_in), ("to_k_router.0", layer.key_in), ("aggr_router", layer.aggregate))
        parts |= {f"{name}.{leaf}": t for name, pair in pairs for leaf, t in zip(("weight", "bias"), pair, strict=True)}
        given |= {f"faceid_adapter.{2 * i + 1}.{name}": tensor for name, tensor in parts.items()}
    assert weights.base
    return given | _lora(weights.lora)


def _backbone(path: Path) -> Tensors:
    backbone = load_backbone(path)
    embedding, stages = backbone(torch.ones(1, 3, backbone.IMAGE_SIZE, backbone.IMAGE_SIZE))
    assert embedding.shape == (1, backbone.embedding_dim) and len(stages) == len(backbone.stage_channels)
    return backbone.state_dict()


def _ip_adapter(path: Path) -> Tensors:
    adapter: IPAdapter = load_ip_adapter(path)
    (tokens,) = adapter.tokens(torch.ones(1, adapter.embedding_dim))
    assert tokens.shape == adapter.token_shape
    _draw(adapter.layers, tokens)
    parts = (("proj", adapter.project), ("norm", adapter.norm))
    given = {f"image_proj.{n}.{leaf}": t for n, pair in parts for leaf, t in zip(("weight", "bias"), pair, strict=True)}
    return given | dict(_named_layers(adapter.layers, "ip_adapter.{}.to_{}_ip.weight"))


def _identity(path: Path) -> Tensors:
    people = load_face_id(path)
    _draw((IDLayer(*torch.ones(2, 8, people[0].cond.shape[-1])),), people[0].cond)
    save_face_id(path.with_name("again.safetensors"), people)
    parts = ("cond", "uncond", "embedding", "thumbnail", "mask")
    return {f"id{i}.{p}": v for i, one in enumerate(people) for p in parts if (v := getattr(one, p)) is not None}


def _header(path: Path) -> Tensors:
    for place in read_thumbnails(path):
        if place:
            assert read_thumbnail(path, place).shape == place.shape
    return {}


def _detector(make: Callable[[Path], Callable]) -> Callable[[Path], Tensors]:
    def read(path: Path) -> Tensors:
        for face in find_faces(make(path), np.full((200, 300, 3), 90, np.uint8)):
            assert isinstance(face, Face) and face.box.shape == (4,) and face.landmarks.shape == (5, 2)
        return {}

    return read


def _draw(layers: tuple[IDLayer, ...], tokens: Tensor) -> None:
    person = Identity(tokens, torch.zeros_like(tokens))
    for layer in layers:
        prepare(layer, None, (person,), 0.7, heads=1)


def _named_layers(layers: tuple[IDLayer, ...], name: str) -> Iterator[tuple[str, Tensor]]:
    for i, layer in enumerate(layers):
        yield from zip((name.format(2 * i + 1, half) for half in "kv"), (layer.to_k, layer.to_v), strict=True)


def _lora(lora: LoRA) -> Tensors:
    given = {}
    for i, pairs in enumerate(lora):
        for name, pair in pairs.items():
            assert (pair.up.float() @ pair.down.float()).ndim == 2
            given[f"faceid_adapter.{i}.to_{name}_lora.down.weight"] = pair.down
            given[f"faceid_adapter.{i}.to_{name}_lora.up.weight"] = pair.up
    return given


# Sound files


def _weights(name: str) -> Callable[[], Tensors]:
    return cache(lambda: small_files.flat(small_files.published(name)))


def people() -> FaceID:
    """Two people, one with everything that can be known of somebody."""
    one = Identity(recipe.noise("wrong.cond", (4, 6)), recipe.noise("wrong.uncond", (4, 6)))
    known = {"embedding": recipe.noise("wrong.embedding", (8,)), "mask": torch.rand(5, 7), "weight": 0.5}
    return one, replace(one, thumbnail=torch.randint(0, 255, (9, 8, 3), dtype=torch.uint8), **known)


@cache
def _people_tensors() -> Tensors:
    parts = ("cond", "uncond", "embedding", "thumbnail", "mask")
    found = {f"id{i}.{p}": v for i, one in enumerate(people()) for p in parts if (v := getattr(one, p)) is not None}
    return {**{key: value.clone() for key, value in found.items()}, "id1.weight": torch.tensor(0.5).double()}


@cache
def _centre_net() -> Tensors:
    state = CentreNet(width=4).state_dict()
    return recipe.weights("wrong.centre", {key: tuple(value.shape) for key, value in state.items()})


def _onnx(write: Callable[[Path], None]) -> Callable[[], bytes]:
    import tempfile

    @cache
    def content() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            write(path)
            return path.read_bytes()

    return content


PEOPLE_METADATA = {"format": "uniportrait-face-id", "version": "1", "count": "2"}
WEIGHTS_METADATA = {
    "uniportrait.format": "1",
    "uniportrait.base": "SDXL",
    "uniportrait.features": json.dumps({"intrinsic": "local", "structure": ["shallow", "clip"]}),
}

KINDS = {
    kind.name: kind
    for kind in (
        Kind("faceid", ".bin", _faceid, _weights("faceid")),
        Kind("faceid with metadata", ".safetensors", _faceid, _weights("faceid"), WEIGHTS_METADATA, often=3),
        Kind("router", ".bin", _router, _weights("router")),
        Kind("backbone", ".pth", _backbone, _weights("backbone")),
        Kind("ip_adapter", ".bin", _ip_adapter, _weights("ip_adapter"), often=6),
        Kind("identity", ".safetensors", _identity, _people_tensors, PEOPLE_METADATA),
        Kind("identity header", ".safetensors", _header, _people_tensors, PEOPLE_METADATA),
        Kind("drawn faces", ".safetensors", _detector(CentreDetector), _centre_net, {"made": "by hand"}, often=3),
        Kind("yunet", ".onnx", _detector(YuNetDetector), content=_onnx(write_yunet), often=2),
        Kind(
            "insightface",
            ".onnx",
            _detector(lambda path: InsightFaceDetector(path, CPU)),
            content=_onnx(write_detector),
            often=1,
        ),
    )
}


def _said(path: Path) -> Tensors:
    """All tensors of a file by a reader of our own, or by PyTorch itself."""
    data = path.read_bytes()
    if data[8:9] != b"{":
        return dict(_flat(torch.load(path, map_location="cpu", weights_only=True)))
    (length,) = struct.unpack("<Q", data[:8])
    start, found = 8 + length, {}
    for key, entry in json.loads(data[8:start]).items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            stretch = bytearray(data[start + begin : start + end])
            dtype = TYPES[entry["dtype"]]
            flat = torch.frombuffer(stretch, dtype=dtype) if stretch else torch.empty(0, dtype=dtype)
            found[key] = flat.reshape(entry["shape"])
    return found


def _flat(content: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield prefix.removesuffix("."), content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _flat(value, f"{prefix}{key}.")


TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "U16": torch.uint16,
    "U32": torch.uint32, "U64": torch.uint64,
}  # fmt: skip
