"""The published implementation's outputs for a style picture: IP-Adapter, shared self-attention, inversion."""

import comfy.samplers
import pytest
import torch

import recipe
import small
from graph import run_node
from oracle import ksample

EXACT = 1e-5
CASES = recipe.cases()
SCALE = 0.18215  # of Stable Diffusion 1.5's latents


@pytest.fixture(scope="module")
def unet(known_unet):
    """That of the known answers, in place of the narrow one."""
    return known_unet


@pytest.fixture(scope="module")
def uniportrait(known_uniportrait):
    """The weights that go with it."""
    return known_uniportrait


@pytest.fixture(scope="module")
def pack_module(pack):
    """`pack_module("host.style.override")` is that module as the loaded pack has it."""
    import importlib

    return lambda name: importlib.import_module(f"{pack.__name__}.{name}")


@pytest.fixture(scope="module")
def ip_layers(core):
    """The IP-Adapter's keys and values of the known answers."""
    shapes = {f"{i}.to_{name}_ip.weight": (320, 768) for i in range(1, 32, 2) for name in "kv"}
    weights = recipe.weights("golden.ip_adapter", shapes)
    layer = core("attention.adapter").IDLayer
    return tuple(layer(*(weights[f"{i}.to_{name}_ip.weight"] for name in "kv")) for i in range(1, 32, 2))


def person(core, name, tokens):
    """Tokens of a case as somebody's: of the first row of either half."""
    rows = CASES[f"unet.{name}"]["rows"]
    drawn = recipe.noise(f"{name}.{'ids' if tokens == 16 else 'ip'}", (rows, tokens, 768))
    return core("embedding.identity").Identity(cond=drawn[rows // 2], uncond=drawn[0])


@pytest.mark.heart
@pytest.mark.parametrize("name", ["single_ip", "shared"])
@pytest.mark.parametrize("style_first", [True, False])
def test_unet(unet, uniportrait, core, pack_module, ip_layers, name, style_first):
    case = CASES[f"unet.{name}"]
    rows = case["rows"]
    face_id, tokens = (person(core, name, 16),), person(core, name, 4)

    def with_style(model):
        model = model.clone()
        style = pack_module("host.style.ip_attention").StyleTokens(ip_layers, tokens)
        pack_module("host.style.ip_attention").add_ip_attention(model, style, case["ip_scale"])
        if case["shared_attention"]:
            shift = core("style.shared_attention").logit_shift(1.0)
            sharing = pack_module("host.style.override")
            sharing.add_sharing(model, sharing.SharedAttention(shift))
        return model

    model = with_style(unet) if style_first else unet
    model = small.apply(model, uniportrait, face_id, id_scale=case["faceid_scale"])
    model = model if style_first else with_style(model)
    further = {pack_module("host.unet.calls").REFERENCE: rows // 2} if case["shared_attention"] else {}
    x = recipe.noise(f"{name}.x", (rows, 4, *case["latent"]))
    text = recipe.noise(f"{name}.text", (rows, 77, 768))
    found = small.call_unet(model, x, case["timestep"], text, kinds=[1, 0], **further)
    assert recipe.relative_error(found, recipe.golden("unet_small")[name]) <= EXACT


def invert(pack_module, model, guidance=CASES["inversion"]["guidance"]):
    """The trajectory of the known answer's picture."""
    case = CASES["inversion"]
    uncond, cond = recipe.noise("inversion.text", (2, 1, 77, 768))
    latent = recipe.noise("inversion.z0", (1, 4, *case["latent"])) / SCALE
    positive, negative = [[cond, {}]], [[uncond, {}]]
    return pack_module("host.style.ddim").invert_picture(model, latent, positive, negative, case["steps"], guidance)


def published_units(trajectory):
    """Latents with a variance of 1 at every level, as the known answers have them."""
    return trajectory.latents / (1 + trajectory.sigmas**2).sqrt()[:, None, None, None]


@pytest.mark.heart
def test_inversion(unet, uniportrait, core, pack_module):
    """People that were applied to the model have no part in it."""
    wanted = recipe.golden("inversion_small")["trajectory"]
    plain = invert(pack_module, unet)
    for found, level in zip(published_units(plain), wanted, strict=True):
        assert recipe.relative_error(found, level) <= EXACT
    people = invert(pack_module, small.apply(unet, uniportrait, small.people(core, 2)))
    assert torch.equal(people.latents, plain.latents)
    assert recipe.relative_error(published_units(invert(pack_module, unet, 1.0))[0], wanted[0]) > 0.01


def test_ddim_replays_the_inversion(unet, pack_module):
    """With DDIM at the published steps the model sees in slot 0 the known answer, level for level."""
    case = CASES["inversion"]
    trajectory = invert(pack_module, unet)
    latent = recipe.noise("inversion.z0", (1, 4, *case["latent"])) / SCALE
    model = run_node(
        "UniPortraitApplyStyle",
        model=unet,
        style=pack_module("host.style.picture").Style(latent, trajectory),
        strength=1.0,
        ip_scale=0.0,
    )
    seen = []
    hook = unet.model.diffusion_model.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    batch = {"samples": torch.cat((latent, torch.zeros(2, *latent.shape[1:])))}
    try:
        picture = ksample(
            model, latent_image=batch, steps=case["steps"], sampler_name="ddim", scheduler="ddim_uniform", cfg=7.5
        )
    finally:
        hook.remove()
    wanted = recipe.golden("inversion_small")["trajectory"]
    assert len(seen) == case["steps"]
    for x, level in zip(seen, wanted, strict=False):
        for half in x.unflatten(0, (2, 3)):
            assert recipe.relative_error(half[0], level) <= EXACT
    assert recipe.relative_error(picture[0], latent[0]) <= 1e-6
    assert comfy.samplers.calculate_sigmas(unet.model.model_sampling, "ddim_uniform", 5)[:-1].equal(
        trajectory.sigmas[:-1]
    )
