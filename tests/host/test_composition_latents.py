"""Latents of all kinds, with people: inpainting, image to image, batches, two passes, windows of frames."""

import comfy.model_management
import comfy.sd
import pytest
import torch

import recipe
import small
from graph import Graph, run_node
from oracle import blank, both_ways, differ, in_context_windows, inpainting_unet, ksample, published
from small import apply

SAME = 1e-5


@pytest.fixture(scope="module")
def two(core):
    return small.people(core, 2)


PICTURE = {"samples": recipe.noise("composition.latent", (1, 4, 16, 8))}
UPPER = (torch.arange(16)[:, None] < 8).float().expand(1, 16, 8)


# Inpainting


def inpainting_prompts():
    """Prompts as InpaintModelConditioning leaves them, without the autoencoder that it wants."""
    values = {"concat_latent_image": PICTURE["samples"], "concat_mask": UPPER[:, None]}
    return {name: [[text, {**options, **values}]] for name, ((text, options),) in small.prompts().items()}


@pytest.fixture
def clean_unet(unet):
    """Without what the last test merged into it."""
    comfy.model_management.unload_all_models()
    return unet


def test_an_inpainting_model_that_ignores_its_further_channels(clean_unet, uniportrait, two):
    blind = inpainting_unet(clean_unet, torch.zeros(small.WIDTH, 5, 3, 3))
    wanted = ksample(apply(clean_unet, uniportrait, two))
    found = ksample(apply(blind, uniportrait, two), **inpainting_prompts())
    assert recipe.relative_error(found, wanted) <= 1e-6


def test_an_inpainting_model(clean_unet, uniportrait, two):
    model = inpainting_unet(clean_unet, recipe.weight("inpainting", "further.weight", (small.WIDTH, 5, 3, 3)))
    found, wanted = both_ways(model, uniportrait, two, **inpainting_prompts())
    assert recipe.relative_error(found, wanted) <= SAME
    assert differ(found, ksample(apply(model, uniportrait, two)))


@pytest.mark.parametrize("people", [1, 2])
def test_a_masked_latent(unet, uniportrait, core, people):
    people = small.people(core, people)
    latent = run_node("SetLatentNoiseMask", samples=PICTURE, mask=UPPER)
    found, wanted = both_ways(unet, uniportrait, people, latent_image=latent)
    assert recipe.relative_error(found, wanted) <= SAME
    kept = PICTURE["samples"][..., 8:, :]
    assert recipe.relative_error(found[..., 8:, :], kept) <= SAME
    without_people = ksample(apply(unet, uniportrait, people, id_scale=0.0), latent_image=latent)
    assert differ(found[..., :8, :], without_people[..., :8, :])


# Image to image


def test_windows_of_image_to_image(unet, uniportrait, two):
    """Of four steps the last two are left, which are at 0.67 and 1.0 of the sampling."""

    def image_to_image(**settings):
        return ksample(apply(unet, uniportrait, two, **settings), latent_image=PICTURE, denoise=0.5)

    never, always = image_to_image(id_scale=0.0), image_to_image()
    assert torch.equal(image_to_image(end_percent=0.5), never)
    assert torch.equal(image_to_image(start_percent=0.5), always)
    first_only = image_to_image(end_percent=0.8)
    assert differ(never, always) and differ(first_only, never) and not torch.equal(first_only, always)
    with published(unet, uniportrait, two):
        wanted = image_to_image(id_scale=0.0)
    assert recipe.relative_error(always, wanted) <= SAME


# Batches


@pytest.mark.parametrize("people", [1, 2])
def test_pictures_of_a_batch_are_those_that_come_alone(unet, uniportrait, core, people):
    patched = apply(unet, uniportrait, small.people(core, people))
    batch = run_node("RepeatLatentBatch", samples={**PICTURE, "batch_index": [0]}, amount=3)
    together = ksample(patched, latent_image=batch)
    assert len(together) == 3 and differ(together[0], together[1])
    for k in range(3):
        alone = run_node("LatentFromBatch", samples=batch, batch_index=k, length=1)
        assert alone["batch_index"] == [k]
        assert recipe.relative_error(ksample(patched, latent_image=alone)[0], together[k]) <= SAME


# Two passes


def halves(people):
    masks = torch.stack([UPPER[0], 1 - UPPER[0]])
    return run_node("UniPortraitAdjustFaceID", face_id=people, weight=1.0, mask=masks)


@pytest.mark.parametrize("regions", [False, True])
def test_a_second_pass_at_another_size(unet, uniportrait, two, regions):
    """Nothing that the first pass keeps, sizes and grids above all, reaches the second."""
    people = halves(two) if regions else two
    patched = apply(unet, uniportrait, people)
    (tap,) = patched.wrappers["apply_model"]["uniportrait"]
    left = []
    patched.add_callback_with_key("on_cleanup", "~after", lambda _: left.append((len(tap.resident), len(tap.shares))))
    graph = Graph()
    model = graph.give(patched)
    common = {"model": model, "cfg": 2.0, "steps": 2, **{k: graph.give(v) for k, v in small.prompts().items()}}
    first = graph.add("KSampler", latent_image=graph.give(blank()), **common, **small.SAMPLER)
    large = graph.add("LatentUpscaleBy", samples=first, upscale_method="bicubic", scale_by=1.5)
    second = graph.add("KSampler", latent_image=large, **common, **{**small.SAMPLER, "denoise": 0.5})
    graph.take(large, "large")
    graph.take(second, "second")
    found = graph.run()
    assert found["second"]["samples"].shape == (1, 4, 24, 12)
    afresh = ksample(apply(unet, uniportrait, people), latent_image=found["large"], denoise=0.5)
    assert torch.equal(found["second"]["samples"], afresh)
    assert left == [(0, 0), (0, 0)]


# Windows of frames


def call_with(model, rows, text, kinds, **options):
    """A UNet call with further options, as a pack that divides a video into windows gives them."""
    model = model.clone()
    model.model_options["transformer_options"] = {**model.model_options["transformer_options"], **options}
    return small.call_unet(model, rows, 500.0, text, kinds)


@pytest.mark.parametrize("people", [1, 2])
def test_windows_of_frames_as_animatediff_makes_them(unet, uniportrait, core, people):
    """Every window is a call of its own on some of the frames, named in `ad_params`."""
    patched = apply(unet, uniportrait, small.people(core, people))
    x = recipe.noise("frames.x", (2, 4, 4, 16, 8))  # halves, frames
    text = recipe.noise("frames.text", (2, 1, 77, 768)).expand(-1, 4, -1, -1)
    whole = small.call_unet(patched, x.flatten(0, 1), 500.0, text.flatten(0, 1), [1, 0]).unflatten(0, (2, 4))
    for window in ([0, 1], [1, 2], [3, 0]):
        options = {"ad_params": {"sub_idxs": window, "full_length": 4, "context_length": 2}, "sub_idxs": window}
        part = call_with(patched, x[:, window].flatten(0, 1), text[:, window].flatten(0, 1), [1, 0], **options)
        assert recipe.relative_error(part.unflatten(0, (2, 2)), whole[:, window]) <= SAME
    assert differ(whole[:, 0], whole[:, 1])


def test_the_context_windows_of_the_host(unet, uniportrait, two):
    """Along the batch, where frames of Stable Diffusion 1.5 lie; without a motion module they are independent.

    Three frames, since 0.3.64 compares their noise levels with those of all steps one by one: it fails, on any model,
    unless there are as many, here two steps and the end.
    """
    patched = apply(unet, uniportrait, two)
    rows = []
    hook = unet.model.diffusion_model.out.register_forward_hook(lambda _m, _i, out: rows.append(len(out)))
    try:
        found = ksample(in_context_windows(patched), latent_image=blank(3))
    finally:
        hook.remove()
    # Two windows a step; newer hosts put the frame before it in front of the second.
    assert rows in (2 * [4, 4], 2 * [4, 6])
    assert recipe.relative_error(found, ksample(patched, latent_image=blank(3))) <= SAME
