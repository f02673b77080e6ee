"""What the pack costs: FLOPs per step against the floor, memory while sampling, and time at the host's start."""

import dataclasses
import importlib
from collections import Counter

import comfy.model_management
import comfy.supported_models
import pytest
import server
import torch
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import other_models
import recipe
import small
from graph import run_node
from oracle import attn2_modules
from viewers import STEP, Server

LATENT = (16, 24)
TOKENS, DIM, HEADS = 16, 768, 8
BOTH_BASES = pytest.mark.parametrize("names", [("unet", "uniportrait"), ("sdxl", "sdxl_weights")])


def step_flops(model, rows=2):
    """FLOPs of one UNet call with conditional and unconditional rows."""
    x, text = inputs(model, rows)
    comfy.model_management.load_models_gpu([model])  # merging the LoRA is not part of a step
    # The counter knows the parts of attention, not its fused form on a CPU.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        small.call_unet(model, x, 500.0, text, [1, 0])
    return counter.get_total_flops()


def inputs(model, rows=2):
    return recipe.noise("cost.x", (rows, 4, *LATENT)), recipe.noise("cost.text", (rows, 77, small.context_of(model)))


def floor(people, unet, tokens):
    """The FLOPs of ID attention for one conditional and one unconditional row; two make a multiply-add.

    In unconditional rows everybody has the same tokens, and one person's would be enough; but the other half's would
    have to be attended to apart then, which is more operations, and kernels fill up so few keys anyway.
    """
    multiply_adds = 0
    for channels, spots in cross_attentions(unet):
        attention = 2 * spots * tokens * channels
        router = 2 * spots * channels * channels + 2 * spots * channels * people if people > 1 else 0
        multiply_adds += 2 * people * attention + router
    return 2 * multiply_adds


def cross_attentions(unet):
    """(channels, spots) of every cross-attention layer, seen while a call passes through it."""
    sizes, hooks = [], []
    for attention in attn2_modules(unet):
        hooks.append(attention.to_q.register_forward_hook(lambda _m, _i, q: sizes.append((q.shape[2], q.shape[1]))))
    step_flops(unet)
    for hook in hooks:
        hook.remove()
    return sizes


@BOTH_BASES
@pytest.mark.parametrize("people", [1, 2, 4])
def test_flops_reach_the_floor(core, request, names, people):
    model, weights = map(request.getfixturevalue, names)
    face_id = small.people(core, people, shared_uncond=True, shape=weights.token_shape)
    added, needed = (
        step_flops(small.apply(model, weights, face_id)) - step_flops(model),
        floor(people, model, weights.token_shape[0]),
    )
    assert 0.9 * needed <= added <= 1.1 * needed


class Operations(TorchDispatchMode):
    """Counts tensor operations by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[str(function)] += 1
        return function(*args, **(kwargs or {}))


def operations(model, timestep=500.0):
    x, text = inputs(model)
    comfy.model_management.load_models_gpu([model])
    with Operations() as seen:
        small.call_unet(model, x, timestep, text, [1, 0])
    return seen.counts


@BOTH_BASES
@pytest.mark.parametrize(("people", "most"), [(1, 6), (2, 13), (4, 13)])
def test_operations_of_a_layer(core, request, names, people, most):
    """In small batches a fast GPU waits for Python to start each of them; and none may make Python wait for the GPU."""
    unet, weights = map(request.getfixturevalue, names)
    patched = small.apply(unet, weights, small.people(core, people, shape=weights.token_shape), lora_scale=0.0)
    (tap,) = patched.wrappers["apply_model"]["uniportrait"]
    tap.resident[torch.device("cpu"), torch.float32] = tap.layers  # as after the first step
    added = operations(patched)
    added.subtract(operations(unet))
    assert 0 < sum(added.values()) <= len(tap.layers) * most
    waits = {"item", "_local_scalar_dense", "to", "_to_copy", "copy_", "nonzero", "index"}
    assert not waits & {name.split(".")[1] for name, count in added.items() if count > 0}


@pytest.mark.parametrize("regions", [False, True])
def test_outside_the_window_nothing_is_computed(unet, uniportrait, core, regions):
    """But for a look at the noise level, which is two operations for the whole call."""
    two = small.people(core, 2)
    if regions:
        two = tuple(dataclasses.replace(person, mask=torch.ones(8, 8)) for person in two)
    patched = small.apply(unet, uniportrait, two, lora_scale=0.0, end_percent=0.5)
    late = operations(patched, timestep=100.0)
    late.subtract(operations(unet, timestep=100.0))
    assert +late == {"aten.max.default": 1, "aten.item.default": 1}
    assert sum((+operations(patched, timestep=900.0)).values()) > sum(operations(unet, timestep=900.0).values()) + 100


def sampled(model):
    """Operations of a whole sampling of three steps."""
    with Operations() as seen:
        small.sample(model, steps=3)
    return seen.counts


@pytest.mark.parametrize(("regions", "most"), [(False, 54), (True, 50)])
def test_a_live_map_costs_nobody_but_who_looks(unet, uniportrait, core, pack, monkeypatch, regions, most):
    """Not one operation where nobody looks; where somebody does, few per step, and none that waits but for the copy."""
    two = small.people(core, 2)
    if regions:
        two = tuple(dataclasses.replace(person, mask=torch.ones(8, 8)) for person in two)
    patched = small.apply(unet, uniportrait, two, lora_scale=0.0)
    bare = patched.clone()
    for kind in (WrappersMP.OUTER_SAMPLE, WrappersMP.PREDICT_NOISE):
        assert bare.get_wrappers(kind, "uniportrait_live")
        bare.remove_wrappers_with_key(kind, "uniportrait_live")
    sampled(bare)  # loads it
    without, unseen = sampled(bare), sampled(patched)
    assert unseen == without
    viewer = Server()
    monkeypatch.setattr(server.PromptServer, "instance", viewer, raising=False)
    monkeypatch.setattr(importlib.import_module(f"{pack.__name__}.host.unet.live_routing"), "PAUSE", 0.0)
    added = sampled(patched)
    assert len(viewer.of(STEP)) == 3
    added.subtract(without)
    assert 0 < sum(added.values()) <= 3 * most
    names = {name.split(".")[1] for name, count in added.items() if count > 0}
    assert not names & {"item", "_local_scalar_dense", "nonzero", "index", "copy_"}
    assert added["aten.to.dtype_layout"] == 2 * 3  # the copy to the CPU, once a step, told as two operations


SD15 = {
    "model_channels": 320,
    "in_channels": 4,
    "out_channels": 4,
    "image_size": 32,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "context_dim": 768,
    "num_heads": 8,
    "use_linear_in_transformer": False,
    "use_spatial_transformer": True,
    "legacy": False,
}


SDXL = {**other_models.SDXL, "model_channels": 320}


@pytest.mark.parametrize(("people", "percent"), [(1, 0.15), (2, 2.0), (4, 2.0)])
def test_flops_at_real_size(core, pack, people, percent):
    """SD1.5 at 512×512 with classifier-free guidance, on tensors without content: counting needs no numbers."""
    model = comfy.supported_models.SD15(SD15).get_model({}, device=torch.device("meta")).to("meta")
    options = tapped(pack, real_size_layers(core, people), people)
    assert 0 < 100 * (count(model, options) / count(model, {}) - 1) <= percent


@pytest.mark.parametrize(("people", "percent"), [(1, 0.15), (2, 3.75), (4, 4.0)])
def test_flops_of_sdxl_at_real_size(core, pack, people, percent):
    """At 1024×1024: four times the spots, and most of them in the levels with ten transformers in a block."""
    model = comfy.supported_models.SDXL(SDXL).get_model({}, device=torch.device("meta")).to("meta")
    options = tapped(pack, sdxl_layers(core, people), people)
    patched, plain = (count(model, wrappers, latent=(128, 128), dim=2048) for wrappers in (options, {}))
    assert 0 < 100 * (patched / plain - 1) <= percent


@pytest.mark.parametrize("people", [1, 2, 4])
def test_flops_of_own_words_at_real_size(core, pack, people):
    """Attention to 77 tokens for each person, and once more to the scene's; keys and values are made once."""
    model = comfy.supported_models.SD15(SD15).get_model({}, device=torch.device("meta")).to("meta")
    layers, said = real_size_layers(core, people), core("embedding.identity").OwnWords(torch.empty(77, DIM))
    words = importlib.import_module(f"{pack.__name__}.host.unet.people_words").Words([said] * people, [None] * people)
    options, plain = tapped(pack, layers, people, words=words), count(model, {})
    once, added = (count(model, options) - count(model, tapped(pack, layers, people)) for _ in range(2))
    assert 0 < 100 * added / plain <= 0.5 * people
    spots = [(320, 4096)] * 5 + [(640, 1024)] * 5 + [(1280, 256)] * 5 + [(1280, 64)]
    assert once - added == people * 2 * 2 * 77 * DIM * sum(channels for channels, _ in spots)
    assert added == 2 * 2 * 77 * (1 + people) * sum(channels * keys for channels, keys in spots)


def test_words_that_do_not_count_cost_nothing(unet, uniportrait, core, pack):
    """But for a look at the noise level, which is two operations for the whole call."""
    two = small.people(core, 2)
    said = core("embedding.identity").OwnWords(recipe.noise("said", (77, DIM)), 1.0, (0.0, 0.5))
    quiet, speaking = (
        small.apply(unet, uniportrait, (dataclasses.replace(two[0], words=words), two[1]), lora_scale=0.0)
        for words in (None, said)
    )
    late = operations(speaking, timestep=100.0)
    late.subtract(operations(quiet, timestep=100.0))
    assert +late == {"aten.max.default": 1, "aten.item.default": 1}
    assert sum(operations(speaking, timestep=900.0).values()) > sum(operations(quiet, timestep=900.0).values()) + 100


def tapped(pack, layers, people, **settings):
    """Options of a call with a tap."""
    module = importlib.import_module(f"{pack.__name__}.host.unet.tap")
    tap = module.IDTap(dict(enumerate(layers)), [None] * people, **settings)
    options = {}
    add_wrapper_with_key(WrappersMP.APPLY_MODEL, "uniportrait", tap, options)
    return options


@pytest.mark.parametrize("pictures", [1, 4])
def test_flops_of_a_style_picture_at_real_size(pack, pictures):
    """Every picture but the first looks at as many keys again, in heads of eight channels more."""
    model = comfy.supported_models.SD15(SD15).get_model({}, device=torch.device("meta")).to("meta")
    options = {importlib.import_module(f"{pack.__name__}.host.unet.calls").REFERENCE: pictures + 1}
    sharing = importlib.import_module(f"{pack.__name__}.host.style.override").SharedAttention(-0.5)
    add_wrapper_with_key(WrappersMP.APPLY_MODEL, "uniportrait_style", sharing, options)
    rows = 2 * (pictures + 1)
    added = count(model, options, rows) - count(model, {}, rows)
    spots = [(320, 4096)] * 5 + [(640, 1024)] * 5 + [(1280, 256)] * 5 + [(1280, 64)]
    alone = 2 * 2 * sum(channels * keys * keys for channels, keys in spots)
    shared = 2 * 2 * sum((channels + 8 * HEADS) * keys * 2 * keys for channels, keys in spots)
    assert added == 2 * pictures * (shared - alone)


def count(model, options, rows=2, latent=(64, 64), dim=DIM):
    x, text = torch.empty(rows, 4, *latent, device="meta"), torch.empty(rows, 77, dim, device="meta")
    options = {**options, "cond_or_uncond": [1, 0]}
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        small.call_base(model, x, torch.empty(rows, device="meta"), text, options)
    return counter.get_total_flops()


def real_size_layers(core, people):
    channels = [320, 320, 640, 640, 1280, 1280, *[1280] * 3, *[640] * 3, *[320] * 3, 1280]
    face_id = small.people(core, people)
    prepared = {c: prepared_layer(core, face_id, c, DIM, HEADS) for c in set(channels)}
    return [prepared[c] for c in channels]


def sdxl_layers(core, people):
    """In half precision."""
    face_id = small.people(core, people, shape=(TOKENS, 2048))
    prepared = {c: prepared_layer(core, face_id, c, 2048, c // 64) for c in (640, 1280)}
    channels = [640] * 4 + [1280] * 20 + [1280] * 30 + [640] * 6 + [1280] * 10
    return [prepared[c].to(torch.device("cpu"), torch.float16) for c in channels]


def prepared_layer(core, face_id, channels, dim, heads):
    """One layer of random weights; cost does not depend on what they are."""
    layer = core("attention.adapter").IDLayer(torch.rand(channels, dim), torch.rand(channels, dim))
    router = core("routing.router").RouterLayer(
        query_in=(torch.rand(2 * channels, channels), torch.rand(2 * channels)),
        query_out=torch.rand(channels, 2 * channels),
        aggregate=(torch.rand(1, TOKENS), torch.rand(1)),
        key_in=(torch.rand(2 * dim, dim), torch.rand(2 * dim)),
        key_out=torch.rand(channels, 2 * dim),
    )
    return core("attention.projection").prepare(layer, router, face_id, 0.7, heads)


@pytest.mark.parametrize(
    ("layers", "people", "megabytes"),
    [(real_size_layers, 1, 2), (real_size_layers, 4, 60), (sdxl_layers, 1, 11), (sdxl_layers, 4, 460)],
)
def test_memory_on_the_device_at_real_size(core, pack, layers, people, megabytes):
    moved = [layer.to(torch.device("cpu"), torch.float16) for layer in layers(core, people)]
    total = sum(t.numel() * t.element_size() for layer in moved for t in tensors_of(layer))
    assert 0 < total <= megabytes * 1e6


def tensors_of(thing):
    if isinstance(thing, torch.Tensor):
        return [thing]
    if dataclasses.is_dataclass(thing):
        thing = [getattr(thing, field.name) for field in dataclasses.fields(thing)]
    return [t for part in thing or () for t in tensors_of(part)]


def test_a_photo_is_encoded_once_per_model(uniportrait, monkeypatch):
    """The unconditional half is made once for a CLIP model and a structure scale, then kept."""
    clip = small.clip_vision(recipe.clip_config())
    rows = []
    monkeypatch.setattr(clip.model, "forward", spy(clip.model.forward, rows))
    inputs = {"uniportrait": uniportrait, "clip_vision": clip, "image": torch.rand(1, 224, 224, 3)}
    for scale, expected in ((0.1, 2), (0.1, 1), (0.3, 2), (0.1, 1)):
        run_node("FaceIDEncode", **inputs, structure_scale=scale)
        assert len(rows) == expected
        rows.clear()


def spy(forward, rows):
    def seen(*args, **kwargs):
        rows.append(kwargs["pixel_values"])
        return forward(*args, **kwargs)

    return seen
