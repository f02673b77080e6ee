"""Patched models in the host's samplers: nothing leaks, every batch layout and size works."""

import comfy.model_management
import pytest
import torch
from comfy.ldm.modules.attention import optimized_attention

import recipe
import small
from graph import Graph, GraphError
from small import apply, sample

DIM = 768
SAME = 1e-5  # batches of other sizes sum in another order


@pytest.fixture
def one(core):
    return small.people(core, 1, tag="one")


@pytest.fixture
def two(core):
    return small.people(core, 2, tag="two")


def test_scales_of_zero_change_nothing(unet, uniportrait, two):
    untouched = apply(unet, uniportrait, two, id_scale=0.0, lora_scale=0.0)
    assert torch.equal(sample(untouched), sample(unet))


@pytest.mark.parametrize("scales", [{"id_scale": 0.0}, {"lora_scale": 0.0}])
def test_each_scale_works_alone(unet, uniportrait, one, scales):
    assert not torch.allclose(sample(apply(unet, uniportrait, one, **scales)), sample(unet), atol=1e-3)


@pytest.mark.heart
def test_models_from_one_checkpoint_do_not_touch_each_other(unet, uniportrait, one, two):
    plain = sample(unet)
    first, second = apply(unet, uniportrait, one), apply(unet, uniportrait, two, id_scale=1.2)
    alone = [sample(first), sample(second)]
    assert not torch.equal(alone[0], alone[1])
    graph = Graph()
    model, weights = graph.give(unet), graph.give(uniportrait)
    patched = [
        graph.add(
            "IDRouterApply", model=model, uniportrait=weights, face_id=graph.give(people), **{**small.APPLY, **scale}
        )
        for people, scale in ((one, {}), (two, {"id_scale": 1.2}))
    ]
    inputs = {name: graph.give(text) for name, text in small.prompts().items()}
    inputs["latent_image"] = graph.give({"samples": torch.zeros(1, 4, 16, 8)})
    for name, link in (("first", patched[0]), ("second", patched[1]), ("plain", model), ("first again", patched[0])):
        graph.take(graph.add("KSampler", model=link, cfg=7.0, steps=2, **small.SAMPLER, **inputs), name)
    together = {name: latent["samples"] for name, latent in graph.run().items()}
    assert torch.equal(together["first"], alone[0]) and torch.equal(together["first again"], alone[0])
    assert torch.equal(together["second"], alone[1])
    assert torch.equal(together["plain"], plain) and torch.equal(sample(unet), plain)


def test_a_patched_model_can_be_patched_again(unet, uniportrait, one, two):
    once = apply(unet, uniportrait, one)
    before = sample(once)
    sample(apply(once, uniportrait, two, lora_scale=0.0))
    assert torch.equal(sample(once), before)


@pytest.mark.parametrize("trouble", ["failure", "interruption"])
def test_nothing_is_left_behind_by_a_run_that_ends_half_way(unet, uniportrait, two, trouble):
    patched = apply(unet, uniportrait, two)
    plain, whole = sample(unet), sample(patched)
    calls = []

    def stop_in_the_second_step(*_args):
        calls.append(None)
        if len(calls) == 2:
            if trouble == "failure":
                raise RuntimeError("out of order")
            raise comfy.model_management.InterruptProcessingException

    hook = unet.model.diffusion_model.output_blocks[5][1].register_forward_hook(stop_in_the_second_step)
    try:
        with pytest.raises(GraphError, match="out of order|interrupted"):
            sample(patched)
    finally:
        hook.remove()
    assert len(calls) == 2
    assert taken_layers(unet) == 0
    assert resident_copies(patched) == 0
    assert torch.equal(sample(patched), whole)
    assert torch.equal(sample(unet), plain)


def test_copies_on_the_device_live_as_long_as_a_sampling(unet, uniportrait, two):
    patched = apply(unet, uniportrait, two)
    seen = []
    hook = unet.model.diffusion_model.out.register_forward_hook(
        lambda *_: seen.append((resident_copies(patched), taken_layers(unet)))
    )
    sample(patched)
    hook.remove()
    assert seen and set(seen) == {(1, 33)}  # two modules in each of 16 layers, and the test's own hook
    assert resident_copies(patched) == 0 and taken_layers(unet) == 0


def taken_layers(model):
    """How many modules in the UNet are the pack's, or have hooks."""
    modules = model.model.diffusion_model.modules()
    return sum(
        type(module).__module__.endswith(".host.unet.sites") or bool(module._forward_hooks or module._forward_pre_hooks)
        for module in modules
    )


def resident_copies(model):
    (tap,) = model.wrappers["apply_model"]["uniportrait"]
    return len(tap.resident)


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("latent", [(8, 8), (9, 17)])
def test_rows_do_not_depend_on_the_batch_they_are_in(unet, uniportrait, core, people, latent):
    """Conditional and unconditional rows together or apart, batches of 1 to 4, any size: each row comes out alike."""
    face_id = small.people(core, people, shared_uncond=people != 3)
    patched = apply(unet, uniportrait, face_id)
    x, text = recipe.noise("rows.x", (8, 4, *latent)), recipe.noise("rows.text", (8, 77, DIM))

    def call(rows, kinds):
        return small.call_unet(patched, x[rows], 500.0, text[rows], kinds)

    cond, uncond = list(range(4)), list(range(4, 8))
    apart = torch.cat([call(cond, [0]), call(uncond, [1])])
    assert recipe.relative_error(call(uncond + cond, [1, 0]), apart[uncond + cond]) <= SAME
    assert recipe.relative_error(call(cond + uncond, [0, 0, 1, 1]), apart) <= SAME
    for batch in (1, 2, 3):
        rows = cond[:batch] + uncond[:batch]
        assert recipe.relative_error(call(rows, [0, 1]), apart[rows]) <= SAME


@pytest.mark.parametrize("settings", [{"cfg": 1.0}, {"batch": 3}, {"latent": (9, 17)}, {"steps": 3}])
def test_samplers(unet, uniportrait, two, settings):
    patched = apply(unet, uniportrait, two)
    result = sample(patched, **settings)
    assert result.isfinite().all()
    assert not torch.allclose(result, sample(unet, **settings), atol=1e-3)


def test_halves_apart_give_what_they_give_together(unet, uniportrait, two, monkeypatch):
    patched = apply(unet, uniportrait, two)
    together = sample(patched)
    monkeypatch.setattr(unet.model, "memory_required", lambda *_args, **_kwargs: 1e20)
    sizes = []
    hook = unet.model.diffusion_model.out.register_forward_hook(lambda _m, _i, out: sizes.append(len(out)))
    apart = sample(patched)
    hook.remove()
    assert set(sizes) == {1}
    assert recipe.relative_error(apart, together) <= SAME


def test_people_in_another_order_give_the_same_picture(unet, uniportrait, two):
    one_way = sample(apply(unet, uniportrait, two))
    assert recipe.relative_error(sample(apply(unet, uniportrait, two[::-1])), one_way) <= SAME


def test_outside_its_window_the_tap_does_nothing(unet, uniportrait, one):
    off = apply(unet, uniportrait, one, id_scale=0.0)
    empty = apply(unet, uniportrait, one, start_percent=0.4, end_percent=0.4)
    assert torch.equal(sample(empty), sample(off))
    whole, half = apply(unet, uniportrait, one), apply(unet, uniportrait, one, end_percent=0.5)
    x, text = recipe.noise("window.x", (2, 4, 8, 8)), recipe.noise("window.text", (2, 77, DIM))
    early, late = 900.0, 100.0  # timesteps before and after half of the sampling
    assert torch.equal(small.call_unet(half, x, early, text, [1, 0]), small.call_unet(whole, x, early, text, [1, 0]))
    assert torch.equal(small.call_unet(half, x, late, text, [1, 0]), small.call_unet(off, x, late, text, [1, 0]))


def test_attention_that_another_pack_replaced_stays_in_either_order(unet, uniportrait, two):
    """IP-Adapter and its kin take a block's slot for replaced attention, of which there is one."""

    def halved(query, key, value, options):
        return 0.5 * optimized_attention(query, key, value, options["n_heads"])

    def other_pack(model):
        model = model.clone()
        model.set_model_attn2_replace(halved, "output", 5)
        return model

    first, last = apply(other_pack(unet), uniportrait, two), other_pack(apply(unet, uniportrait, two))
    both = sample(first)
    assert torch.equal(sample(last), both)
    for one_alone in (other_pack(unet), apply(unet, uniportrait, two)):
        assert not torch.allclose(sample(one_alone), both, atol=1e-3)
