"""What comes in through a node's inputs is what its schema says, also where a wire brings it.

The host checks the values of widgets, and of wires only what their ends are called: a node of another pack may send
anything. What gets through is a number in its range, a picture of finite numbers, people with tokens.
"""

import inspect
import math
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from numbers import Integral, Real
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..uniportrait_core.embedding.identity import Identity, OwnWords
from ..uniportrait_core.errors import UniPortraitError, named
from ..uniportrait_core.routing.record import RoutingRecord
from ..uniportrait_core.style.ip_adapter import IPAdapter
from .models.weights import Weights
from .style.picture import Style

SHOWN = 40  # characters of a value in a message


class _WrongInputError(ValueError):
    """What was found, what is needed, what to do."""


def checked(*own: str) -> Callable[[Callable], Callable]:
    """Decorates the `execute` of a node, below `classmethod`: it gets inputs that are what the schema says.

    Args:
        own: inputs whose choices the node itself checks, as it says more of a file that is missing.

    Raises:
        UniPortraitError, when the node runs: an input is something else.
    """

    def decorate(execute: Callable) -> Callable:
        signature = inspect.signature(execute)
        takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())

        @wraps(execute)
        def run(cls: type, *positional: object, **inputs: object) -> object:
            given = signature.bind_partial(cls, *positional).arguments if positional else {}
            inputs = {**{name: value for name, value in given.items() if value is not cls}, **inputs}
            schema = cls.define_schema()
            sockets = {socket.id: socket for socket in schema.inputs or ()}  # None where there are none, in older hosts
            for name, value in dict(inputs).items():
                if value is None and name in sockets and sockets[name].optional:
                    del inputs[name]
                elif name in sockets:
                    inputs[name] = _checked(sockets[name], value, schema.display_name, name in own)
                elif not takes_more:
                    raise UniPortraitError(
                        f"{schema.display_name} has no input '{named(name, SHOWN)}', which is connected. Take that "
                        "wire away, or update UniPortrait if the workflow is from a newer version."
                    )
            missing = [name for name, socket in sockets.items() if not socket.optional and name not in inputs]
            if missing:
                raise UniPortraitError(f"{missing[0]} at {schema.display_name} is missing. Connect or set it.")
            with torch.no_grad():  # as the host does; others may call it too
                return execute(cls, **inputs)

        return run

    return decorate


def _checked(socket: Any, value: object, node: str, own_choices: bool) -> object:
    kind = str(socket.get_io_type())
    try:
        if kind == "COMBO":
            return _choice(value, None if own_choices else socket.options)
        if kind in ("FLOAT", "INT"):
            return _number(value, socket.min, socket.max, whole=kind == "INT")
        return CHECKS[kind](value) if kind in CHECKS else value
    except _WrongInputError as error:
        found, needed, cure = error.args
        raise UniPortraitError(f"{socket.id} at {node} is {found}; needed is {needed}. {cure}") from None


def _choice(value: object, options: list[str] | None) -> object:
    if not isinstance(value, str):
        raise _WrongInputError(_what(value), "one of its choices", "Choose one of the list.")
    if options is not None and value not in options:
        choices = ", ".join(map(str, options))
        raise _WrongInputError(f"'{named(value, SHOWN)}'", f"one of {choices}", "Choose one of these.")
    return value


def _number(value: object, least: float | None, most: float | None, whole: bool) -> float:
    needed = f"a {'whole ' if whole else ''}number from {least} to {most}"
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_meta:
        value = value.item()
    try:
        fits = isinstance(value, Real) and math.isfinite(value) and (not whole or value == int(value))
    except OverflowError:  # a whole number of more than 300 digits
        fits = False
    if not fits or not least <= value <= most:
        found = f"{value:.6g}" if isinstance(value, float) else _what(value)
        raise _WrongInputError(found, needed, "Set it to such a number, or connect another node.")
    return int(value) if whole else float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongInputError(_what(value), "a text", "Write one, or connect a node that gives a STRING.")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, Real) or value not in (0, 1):
        raise _WrongInputError(_what(value), "true or false", "Set it, or connect a node that gives a BOOLEAN.")
    return bool(value)


def _picture(value: object) -> Tensor:
    return _numbers(value, "pictures, numbers from 0 to 1", "Connect Load Image, or another node that gives an IMAGE.")


def _mask(value: object) -> Tensor:
    return _numbers(value, "a mask, numbers from 0 to 1", "Connect a node that gives a MASK.")


def _numbers(value: object, needed: str, cure: str) -> Tensor:
    """Float32, without a history of gradients. A tensor of the right type is not copied."""
    if not isinstance(value, Tensor) or not _is_plain(value):
        raise _WrongInputError(_what(value), needed, cure)
    if not value.is_floating_point():
        raise _WrongInputError(f"of type {str(value.dtype).removeprefix('torch.')}", needed, cure)
    if not value.isfinite().all():
        raise _WrongInputError("not all numbers: it holds NaN or infinity", needed, cure)
    return value.detach().float()


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_quantized or tensor.is_nested)


def _latent(value: object) -> dict:
    samples = value.get("samples") if isinstance(value, Mapping) else None
    whole = isinstance(samples, Tensor) and _is_plain(samples) and samples.is_floating_point() and samples.ndim > 0
    if not whole and not getattr(samples, "is_nested", False):
        raise _WrongInputError(_what(value), "a latent", "Connect a sampler, or Empty Latent Image.")
    mask = value.get("noise_mask")
    if mask is None:  # to the host as if it was not there
        value = {key: part for key, part in value.items() if key != "noise_mask"}
    elif not (isinstance(mask, Tensor) and _is_plain(mask) and mask.ndim > 1 and mask.numel()):
        raise _WrongInputError(f"with a noise mask that is {_what(mask)}", "one with a mask", "Set the mask again.")
    numbers = value.get("batch_index", [0] * len(samples) if whole else [])
    if not isinstance(numbers, list | tuple) or not all(isinstance(number, Integral) for number in numbers):
        raise _WrongInputError("with a batch_index that is none", "numbers of pictures", "Connect Empty Latent Image.")
    if whole and len(numbers) != len(samples):
        found = f"with {len(numbers)} numbers in batch_index for {len(samples)} pictures"
        raise _WrongInputError(found, "one for each", "Take away the node that left it so.")
    return value


def _conditioning(value: object) -> list:
    pairs = value if isinstance(value, list | tuple) else ()
    if not pairs or not all(map(_is_prompt, pairs)):
        raise _WrongInputError(_what(value), "a prompt", "Connect CLIP Text Encode.")
    for _, more in pairs:
        if (mask := more.get("mask")) is not None and not _is_finite(mask, 2, 3):
            raise _WrongInputError(f"with a mask that is {_what(mask)}", "one with a mask", "Set the mask again.")
    return value


def _is_prompt(pair: object) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[1], dict):
        return False
    text = pair[0]
    plain = isinstance(text, Tensor) and _is_plain(text) and text.is_floating_point()
    return plain and text.ndim == 3 and text.numel() > 0


def _people(value: object) -> tuple:
    cure = "Connect Encode Face ID, Load Face ID or Combine Face IDs."
    if not isinstance(value, tuple | list) or not value or not all(isinstance(person, Identity) for person in value):
        raise _WrongInputError(_what(value), "people", cure)
    for number, person in enumerate(value, start=1):
        if not isinstance(person.words, OwnWords | None):
            raise _WrongInputError(f"with words of person {number} that are none", "people, perhaps with words", cure)
        words = () if person.words is None else (("tokens", person.words.tokens, 2),)
        given = ((name, getattr(person, name), axes) for name, axes in (("embedding", 1), ("mask", 2)))
        tokens = (("tokens", person.cond, 2), ("tokens", person.uncond, 2))
        for name, numbers, axes in (*tokens, *words, *(one for one in given if one[1] is not None)):
            if not _is_finite(numbers, axes):
                found = f"with {name} of person {number}: {_what(numbers)}, or not finite"
                raise _WrongInputError(found, f"people with {name} of finite numbers in {axes} axes", cure)
        if person.thumbnail is not None and not _is_thumbnail(person.thumbnail):
            found = f"with a thumbnail of person {number} that is {_what(person.thumbnail)}"
            raise _WrongInputError(found, "people with a thumbnail, (height, width, 3), uint8", cure)
        if not isinstance(person.weight, Real) or not abs(person.weight) <= sys.float_info.max:
            raise _WrongInputError(f"with a weight of person {number} that is none", "people with a weight", cure)
    return tuple(value)


def _is_finite(value: object, *axes: int) -> bool:
    """Whether it is a tensor of finite floating-point numbers, at least one, in as many axes."""
    plain = isinstance(value, Tensor) and _is_plain(value) and value.is_floating_point()
    return plain and value.ndim in axes and value.numel() > 0 and bool(value.isfinite().all())


def _is_thumbnail(value: object) -> bool:
    plain = isinstance(value, Tensor) and _is_plain(value) and value.dtype == torch.uint8
    return plain and value.ndim == 3 and value.shape[-1] == 3 and value.numel() > 0


def _instance(kind: type, words: str, cure: str) -> Callable[[object], object]:
    return _has(lambda value: isinstance(value, kind), words, cure)


def _has(fits: Callable[[object], bool], words: str, cure: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        if not fits(value):
            raise _WrongInputError(_what(value), words, cure)
        return value

    return check


def _what(value: object) -> str:
    """A value of the wrong kind, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        where = "without content (device meta)" if value.is_meta else f"of {value.layout}".replace("torch.", "")
        shape = "several parts" if value.is_nested else f"shape {tuple(value.shape)}"
        return f"a tensor of {shape} {where}"
    if isinstance(value, str):
        return f"the text '{named(value, SHOWN)}'"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value}" if abs(value) < 10**20 else "a number of more than 20 digits"
    if isinstance(value, list | tuple | dict) and not value:
        return "empty"
    return f"of type {named(type(value).__name__, SHOWN)}"


CHECKS: dict[str, Callable[[Any], object]] = {
    "STRING": _text,
    "BOOLEAN": _truth,
    "IMAGE": _picture,
    "MASK": _mask,
    "LATENT": _latent,
    "CONDITIONING": _conditioning,
    "MODEL": _instance(ModelPatcher, "a model", "Connect Load Checkpoint, or another node that gives a MODEL."),
    "VAE": _has(
        lambda vae: callable(getattr(vae, "encode", None)) and not isinstance(vae, str),
        "a VAE",
        "Connect Load VAE, or Load Checkpoint.",
    ),
    "CLIP": _has(
        lambda clip: callable(getattr(clip, "tokenize", None)),
        "a text encoder",
        "Connect clip of Load Checkpoint, or another node that gives a CLIP.",
    ),
    "CLIP_VISION": _has(
        lambda clip: callable(getattr(clip, "encode_image", None)), "a CLIP vision model", "Connect Load CLIP Vision."
    ),
    "UNIPORTRAIT": _instance(Weights, "UniPortrait weights", "Connect Load UniPortrait, or Encode Pictures."),
    "UNIPORTRAIT_FACE_ID": _people,
    "UNIPORTRAIT_DETECTOR": _has(callable, "a face detector", "Connect Face Detector."),
    "UNIPORTRAIT_ROUTING": _instance(RoutingRecord, "a record", "Connect routing of Record Routing."),
    "UNIPORTRAIT_IP_ADAPTER": _instance(IPAdapter, "an IP-Adapter", "Connect Load IP-Adapter."),
    "UNIPORTRAIT_STYLE": _instance(Style, "a style picture", "Connect style of Style Reference."),
}
