"""A style picture among the pictures that are sampled: whatever samples, and whatever else is in the graph."""

from functools import partial

import comfy.ldm.modules.attention
import comfy.sample
import comfy.samplers
import comfy.sd
import pytest
import torch
from comfy.ldm.modules.attention import optimized_attention

import recipe
import small
from graph import Graph, GraphError, run_node
from oracle import attn2_modules, blank, differ, ksample, published, sharing
from small import apply
from styles import load_ip_adapter, picture, refer, with_style

SAME = 1e-5


@pytest.fixture(scope="module")
def referred(unet):
    """A style, and a latent of it and two pictures to draw."""
    return refer(unet)


@pytest.fixture(scope="module")
def style(referred):
    return referred[0]


@pytest.fixture(scope="module")
def latent(referred):
    return referred[1]


@pytest.fixture(scope="module")
def style_with_tokens(unet, base):
    return refer(unet, **load_ip_adapter(base / "models" / "ipadapter"))[0]


@pytest.fixture(scope="module")
def two(core):
    return small.people(core, 2)


# The reference


SAMPLERS = comfy.samplers.KSampler.SAMPLERS
SCHEDULERS = comfy.samplers.KSampler.SCHEDULERS


def wrapped(model, kind, wrapper):
    """A copy of a model with a wrapper of a test within those of the pack."""
    model = model.clone()
    model.add_wrapper_with_key(kind, "look", wrapper)
    return model


@pytest.fixture(scope="module")
def little(unet):
    """As small as can be, as there are many samplers: a style and a latent of it and one picture."""
    return refer(unet, latent=blank(1, 8, 8), image=picture(64, 64), method="fixed noise")


# Samplers that stop a little before the end, or at the lowest noise that the model knows; how far off that is here.
EARLY = {"uni_pc": 0.05, "uni_pc_bh2": 0.05, "dpm_fast": 0.6, "dpm_adaptive": 0.6}


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [*((sampler, "normal") for sampler in SAMPLERS), *(("euler_ancestral", scheduler) for scheduler in SCHEDULERS)],
)
def test_the_reference_comes_out_with_every_sampler(unet, little, sampler, scheduler):
    """The model is shown it on its trajectory at every level, whatever the sampler makes of it, and so the sampler
    arrives there by itself; what it misses is put right.

    Under fixed noise, as a model leads to its own inversion anyway.
    """
    (style, latent), shown, ends = little, [], []

    def look(executor, x, sigma, *args, **kwargs):
        shown.append(recipe.relative_error(x[:1], style.trajectory.at(sigma[:1])))
        return executor(x, sigma, *args, **kwargs)

    def keep(executor, *args, **kwargs):
        ends.append(executor(*args, **kwargs))
        return ends[-1]

    model = wrapped(wrapped(with_style(unet, style), "apply_model", look), "outer_sample", keep)
    settings = {"cfg": 1.0, "steps": 2, "sampler_name": sampler, "scheduler": scheduler}
    samples = ksample(model, latent_image=latent, **settings)
    assert recipe.relative_error(samples[:1], style.latent) <= 1e-3
    assert samples.isfinite().all() and len(samples) == 2
    assert len(shown) >= 2 and max(shown) <= 1e-6
    assert recipe.relative_error(ends[0][:1], style.latent) <= EARLY.get(sampler, 1e-3)


@pytest.mark.parametrize("method", ["inversion", "fixed noise"])
def test_strength_zero_shares_nothing(unet, method):
    """Then the others are the pictures that come without a style, to the bit."""
    style, latent = refer(unet, method=method)
    plain = ksample(unet, latent_image=latent)
    found = ksample(with_style(unet, style, strength=0.0), latent_image=latent)
    assert torch.equal(found[1:], plain[1:])
    assert differ(found[0], plain[0])
    assert differ(ksample(with_style(unet, style), latent_image=latent)[1:], plain[1:])


def test_a_seed_makes_the_pictures_that_it_makes_without_a_style(unet, style, latent):
    found = ksample(with_style(unet, style, strength=0.0), latent_image=latent)
    assert recipe.relative_error(found[1:], ksample(unet, latent_image=blank(2))) <= SAME


def test_a_second_sampling(unet, style, latent):
    """It takes up where the first ended, half way back in noise."""
    model = with_style(unet, style)
    first = ksample(model, latent_image=latent)
    again = ksample(model, latent_image={**latent, "samples": first}, denoise=0.5)
    assert recipe.relative_error(again[:1], style.latent) <= 1e-3
    assert differ(again[1:], first[1:])


def test_a_sampling_in_two_parts(unet, style, latent):
    """The pictures take noise along from one sampler to the next, and are what one sampler makes."""
    settings = {"model": with_style(unet, style), "noise_seed": 7, "steps": 4, "cfg": 2.0, "sampler_name": "euler"}
    settings |= {"scheduler": "normal", **small.prompts()}

    def part(latent, start, end, add_noise, leftover):
        window = {"start_at_step": start, "end_at_step": end, "return_with_leftover_noise": leftover}
        return run_node("KSamplerAdvanced", latent_image=latent, add_noise=add_noise, **window, **settings)

    whole = part(latent, 0, 4, "enable", "disable")
    first = part(latent, 0, 2, "enable", "enable")
    second = part(first, 2, 4, "disable", "disable")
    assert recipe.relative_error(second["samples"], whole["samples"]) <= SAME
    assert differ(first["samples"][1:], second["samples"][1:])


def test_a_style_from_the_middle_on(unet, style, latent):
    """What a sampler without a style has begun, one with a style takes up, noise and all."""
    settings = {"noise_seed": 7, "steps": 4, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal"}
    settings |= small.prompts()
    window = {"start_at_step": 0, "end_at_step": 2, "add_noise": "enable", "return_with_leftover_noise": "enable"}
    first = run_node("KSamplerAdvanced", model=unet, latent_image=latent, **window, **settings)
    window = {"start_at_step": 2, "end_at_step": 4, "add_noise": "disable", "return_with_leftover_noise": "disable"}
    plain, second = (
        run_node("KSamplerAdvanced", model=model, latent_image=first, **window, **settings)["samples"]
        for model in (unet, with_style(unet, style))
    )
    assert recipe.relative_error(second[:1], style.latent) <= 1e-3
    assert differ(second[1:], plain[1:])


def test_custom_sampling(unet, style, latent):
    """Noise levels split in two: the picture of one sampler, and the reference in first place of every output."""
    graph = Graph()
    model, (positive, negative) = graph.give(with_style(unet, style)), map(graph.give, small.prompts().values())
    guider = graph.add("CFGGuider", model=model, positive=positive, negative=negative, cfg=2.0)
    sigmas = graph.add("BasicScheduler", model=model, scheduler="normal", steps=4, denoise=1.0)
    halves = graph.add("SplitSigmas", sigmas=sigmas, step=2)
    given = {"guider": guider, "sampler": graph.add("KSamplerSelect", sampler_name="euler")}
    noise, nothing = graph.add("RandomNoise", noise_seed=7), graph.add("DisableNoise")
    begun = graph.add("SamplerCustomAdvanced", noise=noise, sigmas=halves, latent_image=graph.give(latent), **given)
    ended = graph.add("SamplerCustomAdvanced", noise=nothing, sigmas=[halves[0], 1], latent_image=begun, **given)
    for name, link in {"begun": begun, "begun, denoised": [begun[0], 1], "ended": ended}.items():
        graph.take(link, name)
    found = graph.run()
    for taken in found.values():
        assert recipe.relative_error(taken["samples"][:1], style.latent) <= 1e-5
    whole = ksample(with_style(unet, style), latent_image=latent, steps=4)
    assert recipe.relative_error(found["ended"]["samples"], whole) <= SAME
    dropped = run_node("UniPortraitDropReference", latent=found["begun, denoised"])
    assert len(dropped["samples"]) == 2


def test_previews_show_a_picture_that_is_drawn(unet, style, latent):
    """And what a node keeps of the last, as its denoised output, has the reference in first place."""
    seen, kept = [], []

    def look(step, denoised, x, total):
        seen.append(denoised.clone())
        kept.append(denoised)

    comfy.sample.sample_custom(
        with_style(unet, style),
        recipe.noise("preview", (3, 4, 16, 8)),
        2.0,
        comfy.samplers.sampler_object("euler"),
        comfy.samplers.calculate_sigmas(unet.model.model_sampling, "normal", 3),
        **small.prompts(),
        latent_image=latent["samples"],
        callback=look,
    )
    clean = style.trajectory.clean
    for denoised in seen:
        assert torch.equal(denoised[0], denoised[1]) and differ(denoised[:1], clean)
    assert torch.equal(kept[-1][:1], clean) and torch.equal(kept[-1][1:], seen[-1][1:])


# Sharing


def test_sharing_is_what_is_published(unet, style, latent):
    with sharing(unet, pictures=3):
        wanted = ksample(with_style(unet, style, strength=0.0), latent_image=latent)
    assert recipe.relative_error(ksample(with_style(unet, style), latent_image=latent), wanted) <= SAME


def test_strength_is_a_factor_on_the_published_weight(unet, style, latent):
    with sharing(unet, pictures=3, shift=0.0):
        wanted = ksample(with_style(unet, style, strength=0.0), latent_image=latent)
    found = ksample(with_style(unet, style, strength=2.718281828459045**0.5), latent_image=latent)
    assert recipe.relative_error(found, wanted) <= SAME


@pytest.mark.parametrize("people", [1, 2])
def test_people_before_or_after(unet, uniportrait, core, style, style_with_tokens, latent, people):
    """The style picture gets no faces, and no tokens of itself; the others get both."""
    people = small.people(core, people)
    models = with_style(apply(unet, uniportrait, people), style), apply(with_style(unet, style), uniportrait, people)
    assert torch.equal(*(ksample(model, latent_image=latent) for model in models))
    before = apply(with_style(unet, style_with_tokens), uniportrait, people)
    after = with_style(apply(unet, uniportrait, people), style_with_tokens)
    found = ksample(before, latent_image=latent)
    assert recipe.relative_error(ksample(after, latent_image=latent), found) <= SAME  # sums in another order
    quiet = with_style(apply(unet, uniportrait, people, id_scale=0.0), style_with_tokens, strength=0.0)
    with sharing(unet, pictures=3), published(unet, uniportrait, people, pictures=3):
        wanted = ksample(quiet, latent_image=latent)
    assert recipe.relative_error(found, wanted) <= SAME
    assert recipe.relative_error(ksample(quiet, latent_image=latent), found) > 0.01


def test_the_reference_gets_neither_faces_nor_tokens(unet, uniportrait, two, style_with_tokens, latent):
    """Seen where the cross-attention layers end: without a change to other pictures it is what it is without both."""
    ends = {}

    def look(name, _module, inputs, _output):
        ends.setdefault(name, []).append(inputs[0].detach().clone())

    # The first layer: those after it see the first picture through nothing else but itself.
    first = attn2_modules(unet)[0].to_out[0]
    models = {
        "both": apply(with_style(unet, style_with_tokens), uniportrait, two, lora_scale=0.0),
        "neither": with_style(unet, style_with_tokens, ip_scale=0.0),
    }
    for name, model in models.items():
        hook = first.register_forward_hook(partial(look, name))
        ksample(model, latent_image=latent, steps=1)
        hook.remove()
    both, neither = (torch.cat(ends[name]).unflatten(0, (-1, 3)) for name in ("both", "neither"))
    assert torch.equal(both[:, 0], neither[:, 0])
    assert differ(both[:, 1:], neither[:, 1:])


def test_a_lora_of_the_user(unet, uniportrait, two, style, latent):
    """Before or behind; its weights count for the style picture's rows as for the others."""
    lora = {
        "lora_up": recipe.noise("lora.up", (small.WIDTH, 4)),
        "lora_down": recipe.noise("lora.down", (4, small.WIDTH)),
    }
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k"

    def with_lora(model):
        return comfy.sd.load_lora_for_models(
            model, None, {f"{name}.{half}.weight": tensor for half, tensor in lora.items()}, 0.5, 0.0
        )[0]

    people = apply(unet, uniportrait, two)
    found = ksample(with_style(with_lora(people), style), latent_image=latent)
    assert torch.equal(ksample(with_lora(with_style(people, style)), latent_image=latent), found)
    with sharing(unet, pictures=3), published(unet, uniportrait, two, pictures=3):
        quiet = with_style(with_lora(apply(unet, uniportrait, two, id_scale=0.0)), style, strength=0.0)
        wanted = ksample(quiet, latent_image=latent)
    assert recipe.relative_error(found, wanted) <= SAME
    assert differ(found[1:], ksample(with_style(people, style), latent_image=latent)[1:])


def test_controlnet(unet, uniportrait, two, style, latent, controlled):
    """Exact, and to the same effect as ever: the style picture's rows get residuals like all others."""
    people = apply(unet, uniportrait, two)
    found = ksample(with_style(people, style), latent_image=latent, **controlled)
    with sharing(unet, pictures=3), published(unet, uniportrait, two, pictures=3):
        quiet = with_style(apply(unet, uniportrait, two, id_scale=0.0), style, strength=0.0)
        wanted = ksample(quiet, latent_image=latent, **controlled)
    assert recipe.relative_error(found, wanted) <= SAME
    assert recipe.relative_error(found[:1], style.latent) <= 1e-3
    assert differ(found[1:], ksample(with_style(people, style), latent_image=latent)[1:])


def test_regions_of_people(unet, uniportrait, core, style, latent):
    """All-one masks for one person equal none."""
    (person,) = small.people(core, 1)
    masked = core("embedding.identity").Identity(person.cond, person.uncond, mask=torch.ones(16, 8))
    found, wanted = (
        ksample(apply(with_style(unet, style), uniportrait, (someone,)), latent_image=latent)
        for someone in (masked, person)
    )
    assert recipe.relative_error(found, wanted) <= SAME


def test_areas_of_prompts(unet, uniportrait, two, style, latent):
    """An area has its own part of the style picture; the whole picture as an area is no area."""
    model = apply(with_style(unet, style), uniportrait, two)
    positive = small.prompts()["positive"]
    whole, part = (
        run_node("ConditioningSetArea", conditioning=positive, width=64, height=height, x=0, y=0, strength=1.0)
        for height in (128, 64)
    )
    found = ksample(model, latent_image=latent)
    assert recipe.relative_error(ksample(model, latent_image=latent, positive=whole), found) <= SAME
    both = {"latent_image": latent, "positive": [*positive, *part]}
    quiet = with_style(apply(unet, uniportrait, two, id_scale=0.0), style, strength=0.0)
    with sharing(unet, pictures=3), published(unet, uniportrait, two, pictures=3):
        wanted = ksample(quiet, **both)
    assert recipe.relative_error(ksample(model, **both), wanted) <= SAME
    assert differ(wanted[1:], found[1:])


def test_a_noise_mask(unet, style):
    """What a mask keeps of the pictures is kept."""
    start, mask = recipe.noise("kept", (1, 4, 16, 8)), torch.zeros(1, 16, 8)
    mask[:, :8] = 1
    found_style, latent = refer(unet, latent={"samples": start, "noise_mask": mask})
    samples = ksample(with_style(unet, found_style), latent_image=latent)
    assert recipe.relative_error(samples[1:, :, 8:], start[:, :, 8:]) <= SAME
    assert differ(samples[1:, :, :8], start[:, :, :8])
    assert recipe.relative_error(samples[:1], found_style.latent) <= 1e-3


# Other packs


def weaker(func, query, key, value, heads, mask=None, **kwargs):
    """An attention function that some pack has put in place of the host's: everything looks half as sharply."""
    return func(query * 0.5, key, value, heads, mask=mask, **kwargs)


def with_function(model, function):
    model = model.clone()
    options = model.model_options["transformer_options"]
    model.model_options["transformer_options"] = {**options, "optimized_attention_override": function}
    return model


def test_an_attention_function_of_another_pack(unet, style, latent):
    """It computes all attention, shared or not, and is left where it was."""
    calls = []

    def count(func, *args, **kwargs):
        calls.append(kwargs.get("transformer_options", {}).get("block"))
        return func(*args, **kwargs)

    found = ksample(with_style(unet, style), latent_image=latent)
    behind = with_function(with_style(unet, style), count)
    assert torch.equal(ksample(behind, latent_image=latent), found)
    assert len(calls) == 2 * 16 * (2 + 1)  # steps, layers, self-attention in two parts and cross-attention
    assert behind.model_options["transformer_options"]["optimized_attention_override"] is count
    first, last = with_style(with_function(unet, weaker), style), with_function(with_style(unet, style), weaker)
    changed = ksample(first, latent_image=latent)
    assert torch.equal(ksample(last, latent_image=latent), changed)
    assert differ(changed[1:], found[1:])


@pytest.mark.parametrize("name", ["attention_basic", "attention_split", "attention_sub_quad", "attention_pytorch"])
def test_attention_functions_of_the_host(unet, style, latent, name):
    """Whatever the host computes attention with, for the GPU at hand or by the user's choice."""
    function = getattr(comfy.ldm.modules.attention, name)
    model = with_function(with_style(unet, style), lambda _function, *args, **kwargs: function(*args, **kwargs))
    wanted = ksample(with_style(unet, style), latent_image=latent)
    assert recipe.relative_error(ksample(model, latent_image=latent), wanted) <= SAME


def test_an_attention_function_that_knows_no_masks(unet, style, latent):
    """Some of the fastest ignore them: nothing of the sharing is lost."""

    def ignore(func, query, key, value, heads, mask=None, **kwargs):
        return func(query, key, value, heads, mask=None, **kwargs)

    wanted = ksample(with_style(unet, style), latent_image=latent)
    assert torch.equal(ksample(with_function(with_style(unet, style), ignore), latent_image=latent), wanted)


def test_computing_in_bfloat16(unet, uniportrait, two):
    """With people, too; no more rounding than the same sharing written out. 16 wide, as for people alone."""
    style, latent = refer(unet, latent=blank(2, 16, 16), image=picture(128, 128))
    people, nobody = (apply(unet, uniportrait, two, id_scale=scale) for scale in (0.7, 0.0))

    def bf16(model):
        return ksample(run_node("ModelComputeDtype", model=model, dtype="bf16"), latent_image=latent)

    exact, found = ksample(with_style(people, style), latent_image=latent), bf16(with_style(people, style))
    with sharing(unet, pictures=3), published(unet, uniportrait, two, pictures=3):
        written = bf16(with_style(nobody, style, strength=0.0))
    rounding = recipe.relative_error(written, exact)
    assert recipe.relative_error(found, exact) <= 1.3 * rounding
    assert recipe.relative_error(bf16(with_style(people, style, strength=0.0)), exact) > 2 * rounding


def test_halves_in_calls_of_their_own(unet, uniportrait, two, style_with_tokens, latent, monkeypatch):
    """As the host makes them where memory is short."""
    model = apply(with_style(unet, style_with_tokens), uniportrait, two)
    wanted, rows = ksample(model, latent_image=latent), []
    monkeypatch.setattr(unet.model, "memory_required", lambda *_args, **_kwargs: 1e15)
    hook = unet.model.diffusion_model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    try:
        found = ksample(model, latent_image=latent)
    finally:
        hook.remove()
    assert set(rows) == {3}
    assert recipe.relative_error(found, wanted) <= SAME


def test_attention_that_asks_nobody(unet, style, latent, caplog):
    """A pack that computes all self-attention by itself: nothing is shared, and the log says so."""

    def alone(query, key, value, extra_options):
        return comfy.ldm.modules.attention.attention_pytorch(query, key, value, extra_options["n_heads"])

    model = with_style(unet, style)
    for block in [("input", i) for i in (1, 2, 4, 5, 7, 8)] + [("output", i) for i in range(3, 12)] + [("middle", 0)]:
        model.set_model_attn1_replace(alone, *block)
    found = ksample(model, latent_image=latent)
    assert caplog.text.count("Apply Style shares nothing: no self-attention layer asked") == 1
    assert recipe.relative_error(found, ksample(with_style(unet, style, strength=0.0), latent_image=latent)) <= SAME


def test_a_unet_that_is_replaced_is_an_error(unet, style, latent):
    class Engine(torch.nn.Module):
        dtype = torch.float32

    model = with_style(unet, style)
    model.add_object_patch("diffusion_model", Engine())
    with pytest.raises(GraphError, match="The U-Net is of type Engine.*before or after Apply Style"):
        ksample(model, latent_image=latent)
    model.unpatch_model()


def test_a_sampler_that_changes_the_size(unet, style):
    (predict,) = with_style(unet, style).wrappers["predict_noise"]["uniportrait_style"]
    with pytest.raises(Exception, match="changes the latent's size on its way") as error:
        predict(None, torch.zeros(3, 4, 32, 16), torch.ones(3))
    assert type(error.value).__name__ == "UniPortraitError"


def replacement(query, key, value, extra_options):
    return optimized_attention(query, key, value, extra_options["n_heads"], transformer_options=extra_options)


def test_a_pack_that_replaces_self_attention(unet, style, latent):
    """Its place stays its own, and what it computes with the host's attention is shared."""

    def replaced(model):
        model = model.clone()
        model.set_model_attn1_replace(replacement, "input", 1)
        return model

    found = ksample(with_style(unet, style), latent_image=latent)
    for model in (replaced(with_style(unet, style)), with_style(replaced(unet), style)):
        assert torch.equal(ksample(model, latent_image=latent), found)
        slots = model.model_options["transformer_options"]["patches_replace"]["attn1"]
        assert slots == {("input", 1): replacement}
    assert "patches_replace" not in with_style(unet, style).model_options["transformer_options"]


PATCHES = {
    "FreeU_V2": {"b1": 1.1, "b2": 1.1, "s1": 0.9, "s2": 0.9},
    "HyperTile": {"tile_size": 32, "swap_size": 1, "max_depth": 0, "scale_depth": False},
    "PerturbedAttentionGuidance": {"scale": 1.0},
    "RescaleCFG": {"multiplier": 0.7},
    "TomePatchModel": {"ratio": 0.5},
}


@pytest.mark.parametrize("node", PATCHES)
def test_patches_of_the_host(unet, uniportrait, two, style, latent, node, monkeypatch):
    """Before or behind, they do the same, and there is something to see of the style."""
    monkeypatch.setitem(
        unet.model.model_config.unet_config, "model_channels", small.WIDTH // 2
    )  # FreeU tells stages by it
    by = partial(run_node, node, **PATCHES[node])

    def people(model):
        return apply(model, uniportrait, two)

    found = ksample(by(model=people(with_style(unet, style))), latent_image=latent)
    assert torch.equal(ksample(people(with_style(by(model=unet), style)), latent_image=latent), found)
    assert recipe.relative_error(found[:1], style.latent) <= 1e-3
    assert differ(found[1:], ksample(by(model=people(with_style(unet, style, 0.0))), latent_image=latent)[1:])


def test_nothing_is_left_behind(unet, style, latent):
    """After a sampling and after one that failed: the layers are as they were, and nothing is held on the device."""
    attentions = [block.attn1 for block in unet.model.diffusion_model.modules() if hasattr(block, "attn1")]
    keys = [attention.to_k for attention in attentions]
    model = with_style(unet, style)
    replay = model.wrappers["predict_noise"]["uniportrait_style"][0].__self__
    (shared,) = model.wrappers["apply_model"]["uniportrait_style"]
    wanted = ksample(model, latent_image=latent)

    def fail(*_):
        raise RuntimeError("in the middle of it")

    hook = unet.model.diffusion_model.out.register_forward_pre_hook(fail)
    with pytest.raises(Exception, match="in the middle of it"):
        ksample(model, latent_image=latent)
    hook.remove()
    assert len(attentions) == 16
    assert all(attention.to_k is key for attention, key in zip(attentions, keys, strict=True))
    assert not replay.resident and not shared.sharers
    assert torch.equal(ksample(model, latent_image=latent), wanted)
