"""Nodes of the endurance tests: one counts what lives in the server, one lets sampling fail; and those of the crowd."""

import gc

import psutil
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrappersMP

from . import crowd


class ProbeCount:
    """Counts what a sampling could leave behind, after everything that nobody holds has been collected.

    Inputs: a model without people, and the same with them, whose tap is looked into.
    """

    RETURN_TYPES = ()
    FUNCTION = "count"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"plain": ("MODEL",), "patched": ("MODEL",)}}

    @classmethod
    def IS_CHANGED(cls, **_inputs):
        return float("nan")  # never the count of another time

    def count(self, plain, patched):
        gc.collect()
        tap = tap_of(patched)
        living = gc.get_objects()
        # Types are looked at from outside: `isinstance` would wake lazy objects.
        tensors = [thing for thing in living if issubclass(type(thing), torch.Tensor)]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
        counts = {
            "tensors": len(tensors),
            "tensor_bytes": sum(storages.values()),
            "taps": sum(type(thing) is type(tap) for thing in living),
            "held": held(tap),
            "altered": altered(patched),
            "wrappers": wrappers(patched),
            "plain_wrappers": wrappers(plain),
            "rss": psutil.Process().memory_info().rss,
        }
        return {"ui": {"counts": [counts]}}


class ProbeFail:
    """A copy of a model with people whose sampling fails: between two UNet calls, at the end of one inside the tap, or
    in the cross-attention of its middle. The error says what is there to be cleared away.
    """

    PLACES = ("between calls", "inside the tap", "in an attention")

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "place": (cls.PLACES,), "step": ("INT", {"min": 1})}}

    @classmethod
    def IS_CHANGED(cls, **_inputs):
        return float("nan")  # steps are counted anew

    def patch(self, model, place, step):
        steps_to_go = iter(range(step - 1))

        def fail() -> None:
            if next(steps_to_go, None) is None:
                layers = "taken" if altered(model) else "free"
                tap = "filled" if held(tap_of(model)) else "empty"
                raise RuntimeError(f"Failed {place}: layers {layers}, tap {tap}")

        def after(arguments):
            fail()
            return arguments["denoised"]

        def around(executor, *arguments, **options):
            result = executor(*arguments, **options)
            fail()
            return result

        def attention(query, key, value, options):
            fail()
            return optimized_attention(query, key, value, options["n_heads"])

        failing = model.clone()
        if place == "between calls":
            failing.set_model_sampler_post_cfg_function(after)
        elif place == "inside the tap":
            # Inside the calls that the pack wraps.
            failing.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "probe", around)
        else:
            failing.set_model_attn2_replace(attention, "middle", 0)
        return (failing,)


def tap_of(model):
    """The tap of a model with people."""
    wrappers = [entry for by_key in model.wrappers.values() for entry in by_key.get("uniportrait", ())]
    (tap,) = (entry for entry in wrappers if type(entry).__name__ == "IDTap")
    return tap


def held(tap) -> int:
    """Entries in all that a tap fills while it works."""
    filled = [thing for name, thing in vars(tap).items() if hasattr(thing, "clear") and name not in ("layers", "masks")]
    return sum(map(len, filled))


def altered(model) -> int:
    """Hooks in a model's UNet, and modules in it that are not the host's."""
    modules = list(model.model.diffusion_model.modules())
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)
    return hooks + sum(type(module).__module__.partition(".")[0] not in ("torch", "comfy") for module in modules)


def wrappers(model) -> int:
    """Wrappers and callbacks that a model carries."""
    options = model.model_options["transformer_options"].get("wrappers", {})
    groups = (*model.wrappers.values(), *model.callbacks.values(), *options.values())
    return sum(len(entries) for by_key in groups for entries in by_key.values())


# Not in so many words: catalogues of nodes look for a mapping in the source of every pack.
NODE_CLASS_MAPPINGS = {node.__name__: node for node in (ProbeCount, ProbeFail, *crowd.NODES)}
