"""A model with people, for Apply ID Router, and one without, for whoever needs it as it was."""

from collections.abc import Callable
from uuid import uuid4

from comfy.model_patcher import ModelPatcher

from ...uniportrait_core.attention.projection import prepare
from ...uniportrait_core.embedding.identity import FaceID
from ...uniportrait_core.errors import UniPortraitError
from ..models.weights import Weights
from .layers import check_unet, cross_attentions, preset_layers
from .live_routing import LiveRouting, Viewer, add_live_routing
from .lora import PREFIX, add_lora
from .people_words import Words
from .tap import APPLY, KEY, IDTap, add_tap


def with_people(
    model: ModelPatcher,
    weights: Weights,
    face_id: FaceID,
    id_scale: float,
    lora_scale: float,
    window: tuple[float, float],
    preset: str,
    find_viewer: Callable[[], Viewer | None] | None = None,
) -> ModelPatcher:
    """A copy of `model` that draws these people; a scale of 0 leaves out what it is for.

    Args:
        window: shares of the sampling, 0..1, between which ID attention works.
        preset: the layers that get it, of `layers.PRESETS`.
        find_viewer: whom to show who is where while a sampler works, as for `LiveRouting`.

    Raises UniPortraitError where model, weights and people do not go together, or the window ends before it starts.
    """
    _check(weights, face_id, window)
    check_unet(model, weights.layers, weights.base, APPLY)
    patched, lora = model.clone(), weights.router.lora if len(face_id) > 1 else weights.lora
    if lora_scale and lora:
        add_lora(patched, lora, lora_scale, weights.base)
    if id_scale and window[0] < window[1]:
        unet, layers = model.model.diffusion_model, weights.layers
        heads = [attention.heads for attention in cross_attentions(unet)]
        routers = weights.router.layers if len(face_id) > 1 else [None] * len(layers)
        chosen = preset_layers(unet, preset)
        attention = {i: prepare(layers[i], routers[i], face_id, id_scale, heads[i]) for i in chosen}
        masks = [person.mask for person in face_id]
        tap = IDTap(attention, masks, _sigmas(model, window), words=_words(model, face_id))
        add_tap(patched, tap)
        if find_viewer and not tap.alone:
            faces = [person.thumbnail for person in face_id]
            add_live_routing(patched, LiveRouting(faces, find_viewer, tap))
    return patched


def without_people(model: ModelPatcher) -> ModelPatcher:
    """`model` without what the pack's nodes have added: a copy, or itself where they have added nothing."""
    ours = any(_is_ours(patch[1]) for patches in model.patches.values() for patch in patches)
    wrapped = [(kind, key) for kind, keys in model.wrappers.items() for key in keys if key and key.startswith(KEY)]
    if not ours and not wrapped:
        return model
    bare = model.clone()
    for kind, key in wrapped:
        bare.remove_wrappers_with_key(kind, key)
    if ours:
        kept = {key: [patch for patch in patches if not _is_ours(patch[1])] for key, patches in bare.patches.items()}
        bare.patches = {key: patches for key, patches in kept.items() if patches}
        bare.patches_uuid = uuid4()
    return bare


def _is_ours(patch: object) -> bool:
    return any(name.startswith(PREFIX) for name in getattr(patch, "loaded_keys", ()))


def _check(weights: Weights, face_id: FaceID, window: tuple[float, float]) -> None:
    needed = weights.token_shape
    for number, person in enumerate(face_id, start=1):
        if person.cond.shape != needed or person.uncond.shape != needed:
            raise UniPortraitError(
                f"Person {number} of {len(face_id)} has tokens of shape {tuple(person.cond.shape)}, the loaded weights "
                f"need {needed}. Encode the photos or pictures again with the weights at Apply ID Router."
            )
    if len(face_id) > 1 and weights.router is None:
        raise UniPortraitError(
            f"face_id holds {len(face_id)} people, and no router is loaded to keep them apart. {_which_router(weights)}"
        )
    start, end = window
    if start > end:
        raise UniPortraitError(
            f"start_percent {start} is after end_percent {end}. Set start_percent below end_percent on Apply ID Router."
        )


def _words(model: ModelPatcher, face_id: FaceID) -> Words | None:
    """What is said of each person alone; None where nothing is."""
    said = [person.words for person in face_id]
    if not any(said):
        return None
    width = cross_attentions(model.model.diffusion_model)[0].to_k.in_features
    for number, words in enumerate(said, start=1):
        if words and words.tokens.shape[1] != width:
            raise UniPortraitError(
                f"Own words of person {number} of {len(face_id)} are {words.tokens.shape[1]} numbers wide, the model "
                f"takes words of {width}. Connect the CLIP that comes with this model to the node that encodes them."
            )
    return Words(said, [_sigmas(model, words.window) if words else None for words in said])


def _which_router(weights: Weights) -> str:
    if weights.encoder is None:
        return "Choose a router that was trained for pictures and this IP-Adapter at router on Encode Pictures."
    return "Choose the router that belongs to the weights, as uniportrait-router_sd15.bin does, on Load UniPortrait."


def _sigmas(model: ModelPatcher, window: tuple[float, float]) -> tuple[float, float] | None:
    """Noise levels of a window, or None for the whole sampling, which then needs no look at the noise level."""
    if window == (0.0, 1.0):
        return None
    sampling = model.get_model_object("model_sampling")
    return tuple(sampling.percent_to_sigma(share) for share in window)
