"""Reading weight files: what a file is, is told by its tensors and never by its name."""

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..attention.adapter import IDLayer, LoRA, RouterLayer, id_layers, lora, router_layers
from ..embedding.backbone import FaceBackbone
from ..embedding.resampler import FaceIDResampler
from ..errors import UniPortraitError, named, reason
from ..ordinary_file import check_ordinary
from ..style.ip_adapter import IPAdapter, ip_adapter
from ..tensor_checks import check_numbers, check_shapes
from .metadata import Metadata, base_name, read_metadata

Tensors = dict[str, Tensor]

FACE_ID = "UniPortrait face-ID weights"
ROUTER = "UniPortrait router weights"
BACKBONE = "an IR face recognition backbone"
IP_ADAPTER = "a plain IP-Adapter"

PUBLISHED_FILES = {
    FACE_ID: "uniportrait-faceid_sd15.bin",
    ROUTER: "uniportrait-router_sd15.bin",
    BACKBONE: "glint360k_curricular_face_r101_backbone.bin",
    IP_ADAPTER: "ip-adapter_sd15.safetensors",
}

FOR_PICTURES = "Load UniPortrait, or on Encode Pictures a router that was trained for pictures"
TORCH_MAGIC = (b"PK\x03\x04", b"\x80")  # zip archive, and the pickle of older versions

# A file is the first kind of which every marker occurs in some key.
KINDS = (
    (FACE_ID, ("faceid_proj.", "faceid_adapter.")),
    (ROUTER, ("faceid_adapter.", "_router.")),
    (BACKBONE, ("input_layer.0.weight", "body.0.res_layer.1.weight", "output_layer.3.weight")),
    ("a saved face identity", ("id0.cond", "id0.uncond")),
    ("an IP-Adapter FaceID", ("image_proj.", "ip_adapter.", "_lora.")),
    ("an IP-Adapter Plus", ("image_proj.latents", "ip_adapter.")),
    ("an IP-Adapter FaceID", ("image_proj.proj.0.", "image_proj.norm.", "ip_adapter.")),
    ("a full-face IP-Adapter", ("image_proj.proj.0.", "ip_adapter.")),
    (IP_ADAPTER, ("image_proj.proj.weight", "image_proj.norm.weight", "ip_adapter.")),
    ("another IP-Adapter", ("image_proj.", "ip_adapter.")),
    ("a LoRA", ("lora_up.",)),
    ("a LoRA", ("lora_B.",)),
    ("a LoRA", ("lora.up.",)),
    ("a diffusion transformer", ("double_blocks.",)),
    ("a Stable Diffusion checkpoint", ("model.diffusion_model.",)),
    ("a ControlNet", ("zero_convs.",)),
    ("a ControlNet", ("controlnet_cond_embedding.",)),
    ("a CLIP vision model", ("vision_model.encoder.",)),
    ("a CLIP text encoder", ("text_model.encoder.",)),
    ("a diffusion model without text encoder and VAE", ("input_blocks.",)),
    ("a diffusion model without text encoder and VAE", ("down_blocks.", "time_embedding.")),
    ("a VAE", ("decoder.conv_in.",)),
)


@dataclass(frozen=True)
class FaceIDWeights:
    """The published `uniportrait-faceid_sd15.bin`, or its like: resampler, ID keys and values, single-ID LoRA."""

    resampler: FaceIDResampler
    layers: tuple[IDLayer, ...]
    lora: LoRA
    metadata: Metadata = Metadata()

    @property
    def base(self) -> str:
        """The kind of model that they are for, in words."""
        return self.metadata.base or base_name(self.layers[0].to_k.shape[1])


@dataclass(frozen=True)
class RouterWeights:
    """The published `uniportrait-router_sd15.bin`, or its like: routers and multi-ID LoRA; all else is ignored."""

    layers: tuple[RouterLayer, ...]
    lora: LoRA
    metadata: Metadata = Metadata()

    @property
    def base(self) -> str:
        """As of the face-ID weights."""
        return self.metadata.base or base_name(self.layers[0].key_in[0].shape[1])


def load_faceid(path: Path) -> FaceIDWeights:
    """Read face-ID weights, `.bin` or safetensors. Raises UniPortraitError for anything else."""
    tensors = _read_kind(path, FACE_ID, ("faceid_proj.", "faceid_adapter."))
    adapter = _below(tensors, "faceid_adapter.")
    with _naming(path, FACE_ID):
        resampler, layers = FaceIDResampler.from_tensors(_below(tensors, "faceid_proj.")), id_layers(adapter)
        check_shapes(adapter, {"1.to_k_faceid.weight": "channels dim"}, {"dim": resampler.token_shape[1]})
        return FaceIDWeights(resampler, layers, lora(adapter), read_metadata(path))


def load_router(path: Path) -> RouterWeights:
    """Read router weights, `.bin` or safetensors. Raises UniPortraitError for anything else."""
    adapter = _below(_read_kind(path, ROUTER, ("faceid_adapter.",)), "faceid_adapter.")
    with _naming(path, ROUTER):
        return RouterWeights(router_layers(adapter), lora(adapter), read_metadata(path))


def load_backbone(path: Path) -> FaceBackbone:
    """Read the face recognition backbone, `.bin` or safetensors. Raises UniPortraitError for anything else."""
    tensors = _read_kind(path, BACKBONE, ("",))
    with _naming(path, BACKBONE):
        return FaceBackbone.from_tensors(tensors)


def load_ip_adapter(path: Path) -> IPAdapter:
    """Read a plain IP-Adapter, `.bin` or safetensors. Raises UniPortraitError for anything else, named."""
    tensors = _read_kind(path, IP_ADAPTER, ("image_proj.", "ip_adapter."))
    with _naming(path, IP_ADAPTER):
        return ip_adapter(tensors)


def describe(tensors: Tensors) -> str:
    """What a file with these tensors is, as far as can be told, in words for an error message."""
    for kind, markers in KINDS:
        if all(any(marker in key for key in tensors) for marker in markers):
            return kind
    if not tensors:
        return "a file without tensors"
    return f"a file of {len(tensors)} tensors that is not recognised (the first is '{named(next(iter(tensors)), 80)}')"


def read_tensors(path: Path, kind: str) -> Tensors:
    """Read a safetensors file or a PyTorch pickle of plain tensors, nested dictionaries flattened with dots.

    The format is told by the first bytes. No code inside a pickle is ever run.

    Args:
        path: the file.
        kind: what belongs in its place, for the error; one of `PUBLISHED_FILES`.

    Raises:
        UniPortraitError: the file is missing, empty, damaged, of another format or holds more than tensors.
    """
    download = f"Download {PUBLISHED_FILES[kind]}"
    try:
        check_ordinary(path)
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise _unfit(path, f"cannot be read ({error.strerror})", kind, f"{download} if it is not there.") from error
    if not head:
        raise _unfit(path, "is empty (0 bytes)", kind, f"{download} again.")
    is_safetensors = head[8:] == b"{"
    if not is_safetensors and not head.startswith(TORCH_MAGIC):
        found = f"is neither a safetensors file nor a PyTorch file (it begins with {head!r})"
        raise _unfit(path, found, kind, f"{download} again.")
    try:
        content = load_file(path) if is_safetensors else _unpickled(path)
        return dict(_flatten(content))
    except pickle.UnpicklingError as error:
        found = "holds Python code or objects instead of plain tensors, or is damaged; nothing of it was run"
        raise _unfit(path, found, kind, f"{download} from a source that you trust.") from error
    except Exception as error:  # damaged files make the readers raise nearly anything
        raise _unfit(path, f"is damaged or was cut off ({reason(error)})", kind, f"{download} again.") from error


def _unpickled(path: Path) -> object:
    """What a PyTorch file holds. Raises anything for a file that is damaged, ValueError for what would grow."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        # PyTorch does not compress; some hundred kilobytes of zeros could become all of the memory.
        if unpacked > path.stat().st_size:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, more than it has")
    return torch.load(path, map_location="cpu", weights_only=True)


def _flatten(content: object) -> Iterator[tuple[str, Tensor]]:
    """The tensors in dictionaries of dictionaries. Raises ValueError for tensors that are no plain numbers."""
    waiting, seen = [("", content)], set()
    while waiting:
        prefix, value = waiting.pop()
        if isinstance(value, Tensor):
            yield prefix, _plain(prefix, value)
        elif isinstance(value, dict):
            # One that holds itself, or is held often, would have no end.
            if id(value) in seen:
                raise ValueError(
                    f"it holds one and the same dictionary twice, the second time as '{named(prefix, 80)}'"
                )
            seen.add(id(value))
            inside = [(f"{prefix}.{key}" if prefix else str(key), each) for key, each in value.items()]
            waiting += reversed(inside)


def _plain(key: str, tensor: Tensor) -> Tensor:
    """A tensor that is nothing but numbers. Raises ValueError for any other."""
    strided = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not strided or tensor.is_nested or tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise ValueError(f"{named(key, 80)} is no plain tensor of as many numbers as its shape says")
    return tensor.detach()


def _read_kind(path: Path, kind: str, used: tuple[str, ...]) -> Tensors:
    """The tensors of a file of this kind, those whose keys begin with one of `used` being numbers."""
    tensors = read_tensors(path, kind)
    found = describe(tensors)
    if found != kind:
        node = {IP_ADAPTER: "Load IP-Adapter", ROUTER: FOR_PICTURES}.get(kind, "Load UniPortrait")
        raise _unfit(path, f"is {found}", kind, f"Choose {PUBLISHED_FILES[kind]}, or a file of its kind, on {node}.")
    try:
        check_numbers({key: value for key, value in tensors.items() if key.startswith(used)})
    except ValueError as error:
        raise _unfit(path, f"is damaged ({reason(error)})", kind, f"Download {PUBLISHED_FILES[kind]} again.") from error
    return tensors


def _unfit(path: Path, found: str, kind: str, advice: str) -> UniPortraitError:
    return UniPortraitError(f"{named(path.name)} {found}; needed here: {kind}. {advice}")


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@contextmanager
def _naming(path: Path, kind: str) -> Iterator[None]:
    """Turn a missing or misshapen tensor into an error that names the file."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else str(error).splitlines()[-1]
        raise UniPortraitError(
            f"{named(path.name)} looks like {kind} but is not complete: {reason(detail)}. Download "
            f"{PUBLISHED_FILES[kind]} again."
        ) from error
