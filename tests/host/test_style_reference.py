"""Style Reference, Load IP-Adapter, Apply Style and Drop Reference: what goes in, what comes out, what is refused."""

import dataclasses
import logging

import comfy.model_management
import comfy.utils
import pytest
import torch
from safetensors.torch import save_file
from torch._dynamo.utils import counters

import recipe
import small
import styles
from graph import Graph, GraphError, run_node
from oracle import UNSEEN, blank, compiled, differ, in_context_windows, inpainting_unet, ksample, record
from other_models import flux, sdxl
from small import apply
from styles import picture, refer, with_style

SAME = 1e-5


@pytest.fixture(scope="module")
def vae():
    return styles.autoencoder()


@pytest.fixture(scope="module")
def referred(unet, vae):
    return refer(unet, vae=vae)


@pytest.fixture(scope="module")
def adapter_folder(base):
    return base / "models" / "ipadapter"


# The latent


def test_the_style_picture_comes_first(unet, vae, referred):
    style, latent = referred
    assert recipe.relative_error(style.latent, vae.encode(picture())) <= 1e-6
    assert torch.equal(latent["samples"], torch.cat((style.latent, torch.zeros(2, 4, 16, 8))))
    assert recipe.relative_error(style.trajectory.clean, unet.model.process_latent_in(style.latent)) <= 1e-6


def test_dropped_again(referred, caplog):
    _, latent = referred
    dropped = run_node("UniPortraitDropReference", latent=latent)
    assert torch.equal(dropped["samples"], torch.zeros(2, 4, 16, 8)) and list(dropped["batch_index"]) == [0, 1]
    assert not caplog.records
    run_node("UniPortraitDropReference", latent=dropped)
    assert "nothing says that the first picture" in caplog.text


def test_what_a_latent_carries(unet, vae):
    """Its own pictures, their noise, and their masks, one for all or one for each."""
    samples, masks = recipe.noise("carried", (3, 4, 16, 8)), recipe.noise("masks", (3, 1, 128, 64)).sigmoid()
    given = {"samples": samples, "batch_index": [4, 2, 9], "noise_mask": masks, "kept": "as it is"}
    _, latent = refer(unet, vae=vae, latent=given, method="fixed noise")
    assert torch.equal(latent["samples"][1:], samples) and latent["kept"] == "as it is"
    assert latent["batch_index"] == [4, 4, 2, 9]
    assert torch.equal(latent["noise_mask"][1:], masks) and latent["noise_mask"][:1].min() == 1
    dropped = run_node("UniPortraitDropReference", latent=latent)
    assert torch.equal(dropped["samples"], samples) and dropped["batch_index"] == [4, 2, 9]
    assert torch.equal(dropped["noise_mask"], masks)
    _, latent = refer(unet, vae=vae, latent={**given, "noise_mask": masks[:1, 0]}, method="fixed noise")
    assert torch.equal(latent["noise_mask"][1:], masks[:1].expand(3, -1, -1, -1))
    _, latent = refer(unet, vae=vae, latent={**given, "noise_mask": None}, method="fixed noise")
    assert "noise_mask" not in latent  # the host takes None for nothing
    assert given["batch_index"] == [4, 2, 9] and len(given["samples"]) == 3  # a node never changes what it was given


def test_fixed_noise_needs_no_prompt_and_no_steps(unet, vae):
    calls = []
    hook = unet.model.diffusion_model.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        given = {"vae": vae, "method": "fixed noise", "positive": None, "negative": None}
        (style, latent), (other, _) = (refer(unet, **given, fixed_noise=seed) for seed in (1, 2))
        assert not calls
    finally:
        hook.remove()
    noise = comfy.sample.prepare_noise(style.latent, 1)
    sigma = torch.tensor([5.0])
    wanted = unet.model.process_latent_in(style.latent) + 5.0 * noise
    assert recipe.relative_error(style.trajectory.at(sigma), wanted) <= 1e-6
    assert differ(other.trajectory.at(sigma), wanted)
    samples = ksample(with_style(unet, style), latent_image=latent)
    assert recipe.relative_error(samples[:1], style.latent) <= 1e-3


@pytest.mark.parametrize(
    ("guidance", "negative", "rows"), [(2.0, "the same", 1), (2.0, None, 1), (1.0, "other", 1), (2.0, "other", 2)]
)
def test_guidance_costs_only_where_there_is_something_to_guide(unet, vae, guidance, negative, rows):
    seen = []
    hook = unet.model.diffusion_model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    changes = {} if negative == "the same" else {"negative": negative and small.prompts()["negative"]}
    try:
        refer(unet, vae=vae, guidance=guidance, steps=3, **changes)
    finally:
        hook.remove()
    assert seen == [rows] * 3 or (rows == 2 and sum(seen) == 6)  # the host may call both halves apart


def test_people_and_styles_have_no_part_in_an_inversion(unet, vae, uniportrait, core, referred):
    style, _ = referred
    people = apply(with_style(unet, style), uniportrait, small.people(core, 2))
    found, _ = refer(people, vae=vae)
    assert torch.equal(found.trajectory.latents, style.trajectory.latents)
    assert "apply_model" in people.wrappers and people.patches  # which keeps both


def test_an_inversion_of_more_steps_follows_other_levels(unet, vae, referred):
    style, _ = referred
    longer, _ = refer(unet, vae=vae, steps=4)
    assert len(longer.trajectory.sigmas) == 5 and len(style.trajectory.sigmas) == 3
    assert differ(longer.trajectory.at(torch.tensor([3.0])), style.trajectory.at(torch.tensor([3.0])))


def test_progress_and_interruption(unet, vae, monkeypatch):
    """The progress bar counts the steps; the button to interrupt works in the middle of them."""
    steps, hook = [], comfy.utils.PROGRESS_BAR_HOOK

    def progress(value, total, *_args, **_kwargs):
        steps.append((value, total))
        if len(steps) == 3:
            comfy.model_management.interrupt_current_processing()

    comfy.utils.set_progress_bar_global_hook(progress)
    try:
        with pytest.raises(GraphError):
            refer(unet, vae=vae, steps=10)
    finally:
        comfy.utils.set_progress_bar_global_hook(hook)
        comfy.model_management.interrupt_current_processing(False)
    counts, totals = zip(*steps, strict=True)  # newer hosts leave out some
    assert set(totals) == {10} and list(counts) == sorted(set(counts)) and counts[-1] < 10


# Pictures of other sizes, and several


def test_a_picture_of_another_size_is_resized(unet, vae, caplog):
    """Its proportions are kept: what is too much is cut on both sides."""
    caplog.set_level(logging.INFO)
    wide = torch.zeros(1, 256, 512, 3)
    wide[:, :, 192:320] = picture(256, 128)  # the part that has the latent's proportions
    style, _ = refer(unet, vae=vae, image=wide, method="fixed noise")
    assert "the style picture, 512×256, is resized to 64×128" in caplog.text
    scaled = comfy.utils.common_upscale(picture(256, 128).movedim(-1, 1), 64, 128, "lanczos", "disabled")
    assert recipe.relative_error(style.latent, vae.encode(scaled.movedim(1, -1))) <= 0.05
    caplog.clear()
    refer(unet, vae=vae, method="fixed noise")
    assert "resized" not in caplog.text


def test_of_several_pictures_the_first_is_used(unet, vae, referred, caplog):
    several = torch.cat((picture(), 1 - picture()))
    style, _ = refer(unet, vae=vae, image=several)
    assert "image holds 2 pictures; the first is used" in caplog.text
    assert torch.equal(style.trajectory.latents, referred[0].trajectory.latents)


def test_transparency_is_left_out(unet, vae, referred):
    clear = torch.cat((picture(), torch.zeros(1, 128, 64, 1)), dim=-1)
    style, _ = refer(unet, vae=vae, image=clear, method="fixed noise")
    assert torch.equal(style.latent, referred[0].latent)


# IP-Adapter


def test_the_picture_as_tokens(unet, vae, adapter_folder):
    """Through the host's CLIP and the adapter's own projection; nothing of it costs a new inversion."""
    given = styles.load_ip_adapter(adapter_folder)
    style, latent = refer(unet, vae=vae, **given)
    with torch.inference_mode():
        embedding = given["clip_vision"].encode_image(picture())["image_embeds"]
        wanted = given["ip_adapter"].tokens(torch.cat((embedding, torch.zeros_like(embedding))))
    found = torch.stack((style.tokens.tokens.cond, style.tokens.tokens.uncond))
    assert recipe.relative_error(found, wanted) <= 1e-6
    plain, _ = refer(unet, vae=vae)
    assert plain.tokens is None and torch.equal(plain.trajectory.latents, style.trajectory.latents)
    pictures = [ksample(with_style(unet, style, ip_scale=scale), latent_image=latent)[1:] for scale in (0.0, 0.7, 1.4)]
    assert torch.equal(pictures[0], ksample(with_style(unet, plain), latent_image=latent)[1:])
    assert differ(pictures[0], pictures[1]) and differ(pictures[1], pictures[2])


# Beside other nodes of the pack, and of the host


def test_the_record_leaves_out_the_style_picture(unet, uniportrait, core, referred):
    """Routing Map is for the pictures behind Drop Reference, and everybody's share of them is what it is without."""
    style, latent = referred
    two = small.people(core, 2)
    with_record, routing = record(apply(with_style(unet, style, strength=0.0), uniportrait, two))
    ksample(with_record, latent_image=latent)
    plain_record, plain_routing = record(apply(unet, uniportrait, two))
    ksample(plain_record, latent_image=blank(2))
    for found, wanted in zip(routing.maps(), plain_routing.maps(), strict=True):
        assert len(found) == len(wanted) == 2
        for one, other in zip(found, wanted, strict=True):
            assert (one - other).abs().mean() <= 0.01  # a spot in a hundred may be a tie
    one_record, one_routing = record(apply(with_style(unet, style), uniportrait, two[:1]))
    ksample(one_record, latent_image=latent)
    assert {len(level) for level in one_routing.maps()} == {2}


def test_tokens_are_nobody(unet, vae, uniportrait, core, adapter_folder):
    """An IP-Adapter is no person whose routing could be recorded, nor one too many."""
    style, latent = refer(unet, vae=vae, **styles.load_ip_adapter(adapter_folder))
    model, routing = record(with_style(apply(unet, uniportrait, small.people(core, 2)), style))
    ksample(model, latent_image=latent)
    assert {len(people) for level in routing.maps() for people in level} == {2}
    with pytest.raises(GraphError, match="no people whose routing could be recorded"):
        record(with_style(unet, style))


def test_windows_of_a_batch_share_nothing_and_say_so(unet, referred, caplog):
    style, latent = referred
    samples = ksample(in_context_windows(with_style(unet, style)), latent_image=latent)
    assert caplog.text.count("Apply Style shares nothing") == 1
    assert samples.isfinite().all()


def test_in_a_compiled_model(unet, vae, uniportrait, core, adapter_folder):
    """One graph, the pictures of the model that is not compiled, and another style needs no new compilation."""
    torch._dynamo.reset()
    counters.clear()
    given = styles.load_ip_adapter(adapter_folder)
    for count, image in enumerate([picture(), 1 - picture()]):
        style, latent = refer(unet, vae=vae, image=image, **given)
        model = apply(with_style(unet, style), uniportrait, small.people(core, 2), lora_scale=0.0)
        assert torch.equal(ksample(compiled(model), latent_image=latent), ksample(model, latent_image=latent)), count
        if UNSEEN:
            assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]
    torch._dynamo.reset()


# What does not fit


@pytest.mark.parametrize("make", [sdxl, flux])
def test_other_models(vae, referred, make):
    style, _ = referred
    with pytest.raises(GraphError, match="The model at Style Reference is .*Use a Stable Diffusion 1.5 checkpoint"):
        refer(make(), vae=vae)
    with pytest.raises(GraphError, match="The model at Apply Style is .*Use a Stable Diffusion 1.5 checkpoint"):
        with_style(make(), style)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ({"image_proj.latents": (1, 16, 768)}, "an IP-Adapter Plus"),
        ({"image_proj.proj.0.weight": (8, 8), "ip_adapter.0.to_q_lora.up.weight": (8, 8)}, "an IP-Adapter FaceID"),
        ({"image_proj.proj.0.weight": (8, 8)}, "a full-face IP-Adapter"),
    ],
)
def test_ip_adapters_of_other_kinds(adapter_folder, parts, found):
    layers = {f"ip_adapter.1.to_{name}_ip.weight": (640, 2048) for name in "kv"}
    adapter_folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {key: torch.zeros(shape) for key, shape in (parts | layers).items()}, adapter_folder / "other.safetensors"
    )
    with pytest.raises(GraphError, match=f"other.safetensors is {found}; needed here: a plain IP-Adapter.*") as error:
        run_node("UniPortraitLoadIPAdapter", ip_adapter="other.safetensors")
    assert "ip-adapter_sd15.safetensors" in str(error.value) and "Load IP-Adapter" in str(error.value)


def test_an_ip_adapter_for_another_model(unet, vae, adapter_folder, sdxl):
    """It loads, for Encode Pictures, and is refused where it does not fit."""
    styles.write_ip_adapter(adapter_folder, "sdxl.safetensors", model=sdxl)
    adapter = run_node("UniPortraitLoadIPAdapter", ip_adapter="sdxl.safetensors")
    clip = small.clip_vision(recipe.clip_config())
    message = "IP-Adapter's weights are for SDXL .*; the model at Style Reference is Stable Diffusion 1.5.*an SDXL"
    with pytest.raises(GraphError, match=message):
        refer(unet, vae=vae, ip_adapter=adapter, clip_vision=clip)


def test_an_ip_adapter_for_other_layers(unet, vae, adapter_folder):
    given = styles.load_ip_adapter(adapter_folder)
    fewer = dataclasses.replace(given["ip_adapter"], layers=given["ip_adapter"].layers[1:])
    with pytest.raises(
        GraphError, match="IP-Adapter's weights are for .* with 15 cross.*Style Reference is .* with 16"
    ):
        refer(unet, vae=vae, ip_adapter=fewer, clip_vision=given["clip_vision"])


def test_no_clip_or_another(unet, vae, adapter_folder):
    given = styles.load_ip_adapter(adapter_folder)
    with pytest.raises(GraphError, match="has an ip_adapter and no clip_vision.*CLIP-ViT-H-14"):
        refer(unet, vae=vae, ip_adapter=given["ip_adapter"])
    other = small.clip_vision({**recipe.clip_config(), "projection_dim": 24}, load=False)
    with pytest.raises(GraphError, match="embeddings of 24 numbers, the IP-Adapter needs 32.*CLIP-ViT-H-14"):
        refer(unet, vae=vae, ip_adapter=given["ip_adapter"], clip_vision=other)


def test_an_inversion_without_a_prompt(unet, vae):
    with pytest.raises(GraphError, match="no positive, which an inversion needs.*empty prompt.*fixed noise"):
        refer(unet, vae=vae, positive=None)


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (torch.ones(1, 16, 16, 8), r"shape \(1, 16, 16, 8\)"),
        (torch.zeros(1, 4, 3, 16, 8), r"shape \(1, 4, 3, 16, 8\)"),
        (torch.zeros(0, 4, 16, 8), r"shape \(0, 4, 16, 8\)"),
    ],
)
def test_latents_of_other_models(unet, vae, samples, found):
    with pytest.raises(GraphError, match=f"latent at Style Reference is of {found}; needed is .*Empty Latent Image"):
        refer(unet, vae=vae, latent={"samples": samples})


def test_an_empty_latent_for_another_model_is_made_to_fit(unet, vae):
    _, latent = refer(unet, vae=vae, latent={"samples": torch.zeros(2, 16, 16, 8)}, method="fixed noise")
    assert latent["samples"].shape == (3, 4, 16, 8)


def test_a_latent_that_has_a_style_picture_already(unet, vae, referred):
    with pytest.raises(GraphError, match="begins with a style picture already.*Drop Reference between"):
        refer(unet, vae=vae, latent=referred[1])
    refer(unet, vae=vae, latent=run_node("UniPortraitDropReference", latent=referred[1]), method="fixed noise")


def test_inpainting_models(unet, vae, referred):
    """Their further channels would show the style picture the photo that is inpainted, and the wrong one to others."""
    model = inpainting_unet(unet, torch.zeros(small.WIDTH, 5, 3, 3))
    with pytest.raises(GraphError, match="takes 9 channels, as inpainting models do.*Set Latent Noise Mask"):
        refer(model, vae=vae)
    with pytest.raises(GraphError, match="The model at Apply Style takes 9 channels"):
        with_style(model, referred[0])


@pytest.mark.parametrize("image", [torch.zeros(0, 64, 64, 3), torch.zeros(1, 4, 64, 3), torch.zeros(1, 64, 64, 1)])
def test_what_is_no_picture(unet, vae, image):
    with pytest.raises(GraphError, match="image at Style Reference is of shape .*Connect Load Image"):
        refer(unet, vae=vae, image=image)


def test_another_vae(unet):
    class Another:
        def encode(self, pixels):
            return torch.zeros(1, 16, pixels.shape[1] // 8, pixels.shape[2] // 8)

    with pytest.raises(GraphError, match=r"makes latents of shape \(16, 16, 8\), and latent is of shape \(4, 16, 8\)"):
        refer(unet, vae=Another())


@pytest.mark.parametrize(
    "wrong",
    [blank(3), blank(3, 8, 8), blank(1), {"samples": recipe.noise("wrong", (3, 4, 16, 8))}],
    ids=["empty", "of another size", "alone", "noise"],
)
def test_a_sampler_with_another_latent(unet, referred, wrong):
    with pytest.raises(GraphError, match="does not begin with the style picture.*Connect the output latent of Style"):
        ksample(with_style(unet, referred[0]), latent_image=wrong)


def test_two_styles(unet, referred):
    with pytest.raises(GraphError, match="has passed an Apply Style already"):
        with_style(with_style(unet, referred[0]), referred[0])


def test_nothing_left_to_drop(referred):
    with pytest.raises(GraphError, match="Drop Reference holds 1 picture, needed are the style picture and others"):
        run_node("UniPortraitDropReference", latent=blank(1))


# Prompt List


def test_prompts_one_by_one():
    graph = Graph()
    graph.take_list(graph.add("UniPortraitPromptList", prompts=" at sea \n\n in a café\r\nat home", common="ink "))
    assert graph.run()["value"] == ["at sea, ink", "in a café, ink", "at home, ink"]
    graph = Graph()
    graph.take_list(graph.add("UniPortraitPromptList", prompts="a, b\nc", common=" "))
    assert graph.run()["value"] == ["a, b", "c"]


def test_no_prompts():
    with pytest.raises(GraphError, match="prompts at Prompt List is empty.*one prompt per line"):
        run_node("UniPortraitPromptList", prompts=" \n ", common="ink")
