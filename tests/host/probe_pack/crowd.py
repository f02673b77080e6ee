"""Nodes of the crowd: one shows values in bits, one lets memory run out, one looks for what is left of anything."""

import gc
import hashlib
from contextlib import nullcontext, suppress
from ctypes import CDLL
from dataclasses import fields, is_dataclass
from functools import wraps

import comfy.model_management
import execution
import psutil
import torch
from comfy_execution.utils import get_executing_context
from torch.overrides import TorchFunctionMode


class AnyType(str):
    """A socket type that matches every other."""

    def __ne__(self, other):
        return False


ANY = AnyType("*")


class ProbeBits:
    """Shows a value as the hash of all its bits."""

    RETURN_TYPES = ()
    FUNCTION = "show"
    CATEGORY = "test"
    OUTPUT_NODE = True
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY, {})}}

    def show(self, value):
        return {"ui": {"bits": [bits(value)]}}


class ProbeAgain:
    """Hands a value on; another number makes all that follows run again."""

    RETURN_TYPES = (ANY,)
    FUNCTION = "hand_on"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY, {}), "number": ("INT", {"default": 0, "min": 0, "max": 1_000_000})}}

    def hand_on(self, value, number):
        return (value,)


class ProbeMemory:
    """In a prompt with this node there is no memory for one allocation, from 1, in another node of it."""

    RETURN_TYPES = ()
    FUNCTION = "nothing"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        number = ("INT", {"default": 1, "min": 1, "max": 1_000_000})
        return {"required": {"node": ("STRING", {}), "allocation": number}}

    def nothing(self, node, allocation):
        return {}


class ProbeLeft:
    """Counts what is left in the server after everything that nobody holds has been collected."""

    RETURN_TYPES = ()
    FUNCTION = "count"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"number": ("INT", {"default": 0, "min": 0, "max": 1_000_000})}}

    @classmethod
    def IS_CHANGED(cls, **_inputs):
        return float("nan")

    def count(self, number):
        return {"ui": {"left": [left()]}}


class NoMemory(TorchFunctionMode):
    """Counts what a node has PyTorch make, and has no memory for one of it."""

    def __init__(self, node, allocation):
        super().__init__()
        self.node, self.to_go = node, allocation

    def __torch_function__(self, function, types, arguments=(), named=None):
        context = get_executing_context()
        if context is not None and context.node_id == self.node:
            self.to_go -= 1
            if self.to_go == 0:
                raise comfy.model_management.OOM_EXCEPTION(f"No memory for {getattr(function, '__name__', function)}")
        return function(*arguments, **(named or {}))


def with_little_memory(execute):
    """The host's execution of a prompt, in which memory runs out where a `ProbeMemory` says so."""

    @wraps(execute)
    def executed(self, prompt, *arguments, **named):
        places = [about["inputs"] for about in prompt.values() if about["class_type"] == ProbeMemory.__name__]
        with NoMemory(**places[0]) if places else nullcontext():
            return execute(self, prompt, *arguments, **named)

    return executed


def with_enough_memory(load):
    """The host's loading of models, in which memory never runs out: it would leave out matrices of LoRAs, anybody's."""

    @wraps(load)
    def loaded(*arguments, **named):
        with torch._C.DisableTorchFunction():
            return load(*arguments, **named)

    return loaded


execution.PromptExecutor.execute = with_little_memory(execution.PromptExecutor.execute)
comfy.model_management.load_models_gpu = with_enough_memory(comfy.model_management.load_models_gpu)


def bits(value) -> str:
    told = hashlib.sha256()
    for part in parts(value):
        told.update(part)
    return told.hexdigest()[:16]


def parts(value):
    """A value, piece by piece, in bytes."""
    if isinstance(value, torch.Tensor):
        yield f"{tuple(value.shape)} {value.dtype}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, dict):
        for key in sorted(value):
            yield str(key).encode()
            yield from parts(value[key])
    elif isinstance(value, list | tuple):
        yield f"{len(value)}".encode()
        for each in value:
            yield from parts(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from parts(getattr(value, field.name))
    else:
        yield repr(value).encode()


def left() -> dict:
    """Counts by name, of what the pack has in memory, of the host's models, and of tensors."""
    gc.collect()
    kinds, tensors, foreign, held = {}, set(), 0, 0
    for thing in gc.get_objects():
        kind = type(thing)  # looked at from outside: `isinstance` would wake lazy objects
        if issubclass(kind, torch.Tensor):
            tensors.add(id(thing))
        elif any(floor in str(kind.__module__) for floor in (".uniportrait_core.", ".host.")):
            kinds[kind.__name__] = kinds.get(kind.__name__, 0) + 1
            held += filled(thing)
        elif kind.__name__ == "UNetModel":
            foreign += altered(thing)
    give_memory_back()
    return {
        "kinds": kinds,
        "held": held,
        "altered": foreign,
        "loaded": len(comfy.model_management.current_loaded_models),
        "tensors": len(tensors),
        "rss": psutil.Process().memory_info().rss,
    }


def give_memory_back() -> None:
    """Have the C library give back what it keeps for later, where it can: else the process only grows."""
    with suppress(OSError, AttributeError):  # another C library
        CDLL("libc.so.6").malloc_trim(0)


FILLED = {
    "IDTap": ("sites", "resident", "shares"),
    "SharedAttention": ("sharers",),
    "Replay": ("resident",),
    "LiveRouting": ("showing",),
}
"""By class what it has for the time of a sampling only."""


def filled(thing) -> int:
    values = [getattr(thing, name) for name in FILLED.get(type(thing).__name__, ())]
    return sum(len(value) if hasattr(value, "__len__") else value is not None for value in values)


def altered(unet) -> int:
    """Hooks in a UNet, and modules in it that are not the host's."""
    modules = list(unet.modules())
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
    return hooks + sum(type(module).__module__.partition(".")[0] not in ("torch", "comfy") for module in modules)


NODES = (ProbeBits, ProbeAgain, ProbeMemory, ProbeLeft)
