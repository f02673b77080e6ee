"""Encode Pictures: pictures through a plain IP-Adapter, each as a person, with and without a router between them."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import recipe
import small
import styles
from graph import Graph, GraphError, run_node
from oracle import attn2_modules, differ, ksample, published, record
from other_models import write_router
from small import apply

SAME = 1e-5
CASES = recipe.cases()
ROUTER = "picture-router.safetensors"


def load(base, model, name):
    """An IP-Adapter for a model, and a router for its pictures."""
    styles.write_ip_adapter(base / "models" / "ipadapter", name, model=model)
    write_router(base / "models" / "uniportrait" / f"{name}-{ROUTER}", model, count=4, tokens="ip-adapter")
    return run_node("UniPortraitLoadIPAdapter", ip_adapter=name), f"{name}-{ROUTER}"


@pytest.fixture(scope="module")
def sd15(base, small_weights, unet):
    return load(base, unet, "narrow.safetensors")


@pytest.fixture(scope="module")
def clip(pack):
    return small.clip_vision(recipe.clip_config())


@pytest.fixture(scope="module")
def images():
    return recipe.noise("pictures", (3, 60, 96, 3)).sigmoid()


def encode(adapter, clip, image, router="none"):
    graph = Graph()
    given = {"ip_adapter": adapter, "clip_vision": clip, "image": image}
    node = graph.add("UniPortraitEncodePictures", router=router, **{k: graph.give(v) for k, v in given.items()})
    graph.take(node, "weights")
    graph.take([node[0], 1], "face_id")
    taken = graph.run()
    return taken["weights"], taken["face_id"]


@pytest.fixture(scope="module")
def encoded(sd15, clip, images):
    """Weights with a router, and three pictures."""
    adapter, router = sd15
    return encode(adapter, clip, images, router)


# One picture


def test_one_picture_is_the_plain_ip_adapter(base, sd15, clip, images, unet):
    """Attention of its own beside the text's, written out with the tensors of the file."""
    weights, face_id = encode(sd15[0], clip, images[:1])
    file = load_file(base / "models" / "ipadapter" / "narrow.safetensors")
    projected = clip.encode_image(images[:1])["image_embeds"].float()
    rows = torch.cat((projected, torch.zeros_like(projected))) @ file["image_proj.proj.weight"].T
    rows = (rows + file["image_proj.proj.bias"]).reshape(2, 4, 768)
    norm = [file[f"image_proj.norm.{leaf}"] for leaf in ("weight", "bias")]
    tokens = torch.nn.functional.layer_norm(rows, (768,), *norm)
    scale, hooks = 0.6, []
    kinds = []  # 1 for unconditional rows, as the negative prompt is known to be

    def add(attention, number):
        def to_q(_module, _inputs, query):
            attention.seen = query

        def to_out(_module, inputs):
            (hidden,) = inputs
            own = tokens[kinds].to(hidden)
            key, value = (own @ file[f"ip_adapter.{number}.to_{half}_ip.weight"].T for half in "kv")
            heads = (t.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for t in (attention.seen, key, value))
            attended = torch.nn.functional.scaled_dot_product_attention(*heads)
            return (hidden + scale * attended.transpose(1, 2).flatten(2),)

        return attention.to_q.register_forward_hook(to_q), attention.to_out.register_forward_pre_hook(to_out)

    def look(_unet, _args, call):
        negative = small.prompts()["negative"][0][0][0]
        kinds[:] = [int(torch.equal(text, negative)) for text in call["context"]]

    for index, attention in enumerate(attn2_modules(unet)):
        hooks += add(attention, 2 * index + 1)
    hooks.append(unet.model.diffusion_model.register_forward_pre_hook(look, with_kwargs=True))
    wanted = ksample(unet)
    for hook in hooks:
        hook.remove()
    assert recipe.relative_error(ksample(apply(unet, weights, face_id, id_scale=scale)), wanted) <= SAME
    assert differ(wanted, ksample(unet))


def test_one_picture_has_no_lora(sd15, clip, images, unet):
    adapter, router = sd15
    for file in ("none", router):
        weights, face_id = encode(adapter, clip, images[:1], file)
        assert apply(unet, weights, face_id, lora_scale=2.0).patches == unet.patches


def test_the_published_answer_with_a_person(known_unet, known_uniportrait, core, pack):
    """Pictures and people add up: two Apply ID Router in a row give the published picture of both."""
    case = CASES["unet.single_ip"]
    shapes = {f"{i}.to_{half}_ip.weight": (320, 768) for i in range(1, 32, 2) for half in "kv"}
    drawn = recipe.weights("golden.ip_adapter", shapes)
    layer, identity = core("attention.adapter").IDLayer, core("embedding.identity").Identity
    layers = tuple(layer(*(drawn[f"{i}.to_{half}_ip.weight"] for half in "kv")) for i in range(1, 32, 2))
    of_pictures = replace(known_uniportrait, token_shape=(4, 768), layers=layers, lora=(), router=None, encoder=None)
    model = known_unet
    for weights, kind, tokens in ((known_uniportrait, "ids", 16), (of_pictures, "ip", 4)):
        uncond, cond = recipe.noise(f"single_ip.{kind}", (2, tokens, 768))
        scale = case["faceid_scale" if kind == "ids" else "ip_scale"]
        model = apply(model, weights, (identity(cond, uncond),), id_scale=scale)
    x, text = recipe.noise("single_ip.x", (2, 4, *case["latent"])), recipe.noise("single_ip.text", (2, 77, 768))
    found = small.call_unet(model, x, case["timestep"], text, kinds=[1, 0])
    assert recipe.relative_error(found, recipe.golden("unet_small")["single_ip"]) <= SAME


# Several


def as_published(model, weights, face_id, **settings):
    with published(model, weights, face_id, **settings):
        return ksample(apply(model, weights, face_id, id_scale=0.0))


def test_several_pictures_are_routed(encoded, unet):
    weights, face_id = encoded
    found = ksample(apply(unet, weights, face_id))
    assert recipe.relative_error(found, as_published(unet, weights, face_id)) <= SAME
    assert differ(found, ksample(apply(unet, weights, face_id, lora_scale=0.0)))
    assert differ(found, ksample(apply(unet, weights, face_id[:1])))
    for person in face_id[1:]:
        assert torch.equal(person.uncond, face_id[0].uncond) and differ(person.cond, face_id[0].cond)


@pytest.mark.parametrize("count", [1, 2])
def test_pictures_in_sdxl(base, sdxl, clip, images, count):
    adapter, router = load(base, sdxl, "sdxl-adapter.safetensors")
    weights, face_id = encode(adapter, clip, images[:count], router)
    assert weights.base == "SDXL" and weights.token_shape == (4, 2048)
    found = ksample(apply(sdxl, weights, face_id))
    assert recipe.relative_error(found, as_published(sdxl, weights, face_id)) <= SAME


def test_pictures_of_several_sizes_together(sd15, clip, images, encoded, unet):
    """Combine Face IDs; each is the same as in a batch."""
    adapter, _ = sd15
    weights, together = encoded
    others = [encode(adapter, clip, image[None])[1] for image in images]
    combined = run_node("MultiIDConditioning", **{f"face_id_{i}": other for i, other in enumerate(others, start=1)})
    for found, wanted in zip(combined, together, strict=True):
        assert recipe.relative_error(found.cond, wanted.cond) <= SAME
    _, tall = encode(adapter, clip, images[:1].transpose(1, 2))
    two = run_node("MultiIDConditioning", face_id_1=together[:1], face_id_2=tall)
    assert recipe.relative_error(ksample(apply(unet, weights, two)), as_published(unet, weights, two)) <= SAME


def test_adjusted_mixed_and_in_a_window(encoded, unet):
    weights, face_id = encoded
    one, other = face_id[:1], face_id[1:2]
    (mixed,) = run_node("UniPortraitMixFaceID", face_id_a=one, face_id_b=other, weight_b=0.25)
    assert recipe.relative_error(mixed.cond, 0.75 * one[0].cond + 0.25 * other[0].cond) <= SAME
    half = run_node("UniPortraitAdjustFaceID", face_id=one, weight=0.5)
    weaker = ksample(apply(unet, weights, one, id_scale=0.35))
    assert recipe.relative_error(ksample(apply(unet, weights, half)), weaker) <= SAME
    decoder = as_published(unet, weights, face_id, layers=range(6, 15))
    assert recipe.relative_error(ksample(apply(unet, weights, face_id, layers="decoder only")), decoder) <= SAME
    late = ksample(apply(unet, weights, face_id, start_percent=0.5))
    assert differ(late, ksample(apply(unet, weights, face_id))) and differ(late, ksample(unet))


def test_regions_and_their_record(encoded, unet):
    weights, face_id = encoded
    upper = (torch.arange(16)[:, None] < 8).float().expand(1, 16, 8)
    masks = torch.cat((upper, 1 - upper))
    model, routing = record(apply(unet, weights, face_id))
    ksample(model)
    assert all(torch.allclose(level.sum(1), torch.ones(1, 16, 8)) for level in routing.maps())
    placed = run_node("UniPortraitAdjustFaceID", face_id=face_id[:2], weight=1.0, mask=masks)
    model, routing = record(apply(unet, weights, placed))
    ksample(model)
    assert all(torch.equal(level[0], masks) for level in routing.maps())


def test_saved_and_loaded(encoded, base, unet, images):
    weights, face_id = encoded
    graph = Graph()
    graph.add("UniPortraitSaveFaceID", face_id=graph.give(face_id), filename_prefix="pictures")
    graph.run()
    (file,) = (path.name for path in (base / "output" / "uniportrait_faces").glob("pictures*"))
    loaded = run_node("UniPortraitLoadFaceID", face_id_file=file)
    assert torch.equal(ksample(apply(unet, weights, loaded)), ksample(apply(unet, weights, face_id)))
    square = images[0, :, 18:78].movedim(-1, 0)[None]
    wanted = torch.nn.functional.interpolate(square, (112, 112), mode="bicubic", antialias=True)[0].movedim(0, -1)
    assert (loaded[0].thumbnail / 255 - wanted).abs().mean() < 0.03


# What does not fit


def test_several_pictures_without_a_router(sd15, clip, images, unet):
    weights, face_id = encode(sd15[0], clip, images)
    with pytest.raises(GraphError, match="holds 3 people, and no router .*trained for pictures.*on Encode Pictures"):
        apply(unet, weights, face_id)


def test_routers_that_are_for_something_else(sd15, clip, images, base, unet, sdxl):
    folder, adapter = base / "models" / "uniportrait", sd15[0]
    write_router(folder / "eight.safetensors", unet, count=8, tokens="ip-adapter")
    with pytest.raises(GraphError, match="is a router for faces, needed here is one for pictures.*on Load UniPortrait"):
        encode(adapter, clip, images, small.NARROW_ROUTER)
    with pytest.raises(GraphError, match=r"eight.* the IP-Adapter for .*\(8, 768, 96\) and \(4, 768, 96\)"):
        encode(adapter, clip, images, "eight.safetensors")
    with pytest.raises(GraphError, match="is UniPortrait face-ID weights; needed here: .*on Encode Pictures a router"):
        encode(adapter, clip, images, small.NARROW_FACEID)
    with pytest.raises(GraphError, match="is a router for pictures .* faces.*Choose it at router on Encode Pictures"):
        small.load_uniportrait(router=sd15[1])


def test_another_clip_and_another_model(sd15, clip, images, encoded, sdxl):
    other = small.clip_vision({**recipe.clip_config(), "projection_dim": 24}, load=False)
    with pytest.raises(GraphError, match="at Encode Pictures gives .* of 24 numbers, the IP-Adapter needs 32.*bigG"):
        encode(sd15[0], other, images)
    with pytest.raises(GraphError, match="with 4 channels; needed are RGB"):
        encode(sd15[0], clip, torch.rand(1, 64, 64, 4))
    with pytest.raises(GraphError, match="for Stable Diffusion 1.5 .*Apply ID Router is SDXL.*Use a Stable Diffusion"):
        apply(sdxl, *encoded)


def test_nodes_that_need_a_face(encoded, clip, images, uniportrait, unet, core):
    weights, face_id = encoded
    with pytest.raises(GraphError, match="at Encode Face ID are those of an IP-Adapter.*Connect Load UniPortrait"):
        run_node("FaceIDEncode", uniportrait=weights, clip_vision=clip, image=images, structure_scale=0.1)
    with pytest.raises(GraphError, match="at Face Similarity are those of an IP-Adapter.*Connect Load UniPortrait"):
        similarity(weights, face_id, images)
    with pytest.raises(GraphError, match="Person 1 of 3 has no face embedding"):
        similarity(uniportrait, face_id, images)
    with pytest.raises(GraphError, match=r"tokens of shape \(4, 768\), the loaded weights need \(16, 768\)"):
        apply(unet, uniportrait, face_id)
    with pytest.raises(GraphError, match=r"tokens of shape \(16, 768\), the loaded weights need \(4, 768\)"):
        apply(unet, weights, small.people(core, 1))


def similarity(weights, face_id, image):
    settings = {"detector": lambda _photo: [], "min_confidence": 0.5, "threshold": 0.4}
    return run_node("UniPortraitFaceSimilarity", uniportrait=weights, face_id=face_id, image=image, **settings)
