"""Recording the routing of a sampling, and showing it."""

import logging
from importlib import import_module

import nodes
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import small
from graph import Graph, GraphError, run_node
from oracle import attn2_modules, blank, in_context_windows, ksample, record
from small import apply, sample

LATENT = (16, 8)


@pytest.fixture
def two(core):
    return small.people(core, 2, tag="two")


def show(routing, image=None, **settings):
    """What Routing Map gives for a record."""
    image = torch.rand(1, 128, 64, 3) if image is None else image
    graph = Graph()
    links = {name: graph.give(settings.pop(name)) for name in ("detector",) if name in settings}
    node = graph.add(
        "UniPortraitRoutingMap",
        routing=graph.give(routing),
        image=graph.give(image),
        **{"steps": "average", "opacity": 0.5, "min_share": 0.05, **settings},
        **links,
    )
    for index, name in enumerate(("image", "masks", "report")):
        graph.take([node[0], index], name)
    graph.take_list([node[0], 3], "missing")
    return {**graph.run(), "shown": graph.shown[node[0]]}


def expected_map(uniportrait, people, inputs):
    """The routing of one UNet call by the router as the paper writes it, averaged over layers, (people, H, W).

    `inputs` are the layers' normed inputs, (spots, channels), in the published order.
    """
    tokens = torch.stack([person.cond for person in people])
    maps = []
    for router, x in zip(uniportrait.router.layers, inputs, strict=True):
        aggregated = (tokens.mT @ router.aggregate[0].mT + router.aggregate[1])[..., 0]
        phi = F.linear(F.gelu(F.linear(aggregated, *router.key_in)), router.key_out)
        theta = F.linear(F.gelu(F.linear(x, *router.query_in)), router.query_out)
        winner = (theta @ phi.mT).argmax(-1)
        width = int((len(winner) * LATENT[1] / LATENT[0]) ** 0.5)
        owners = F.one_hot(winner, len(people)).T.float().unflatten(1, (-1, width))
        maps.append(F.interpolate(owners[None], size=LATENT, mode="nearest-exact")[0])
    return torch.stack(maps).mean(0)


@pytest.mark.parametrize("names", [("unet", "uniportrait"), ("sdxl", "sdxl_weights")])
def test_the_record_is_what_the_router_decided(core, request, names):
    unet, uniportrait = map(request.getfixturevalue, names)
    two = small.people(core, 2, tag="two", shape=uniportrait.token_shape)
    model, routing = record(apply(unet, uniportrait, two))
    attentions, seen, hooks = attn2_modules(unet), {}, []
    for index, attention in enumerate(attentions):
        keep = lambda _m, given, _q, index=index: seen.setdefault(index, []).append(given[0][1])  # noqa: E731
        hooks.append(attention.to_q.register_forward_hook(keep))  # row 1 is conditional
    sample(model, steps=2)
    for hook in hooks:
        hook.remove()
    for step, found in enumerate(routing.maps()):
        wanted = expected_map(uniportrait, two, [seen[index][step] for index in range(len(attentions))])
        assert (found[0] - wanted).abs().mean() < 0.01  # a tie or two may fall the other way


def test_recording_changes_nothing(unet, uniportrait, two):
    patched = apply(unet, uniportrait, two)
    model, routing = record(patched)
    assert torch.equal(sample(model), sample(patched))
    assert len(routing.maps()) == 2


def test_without_the_node_nobody_is_told(unet, uniportrait, two, monkeypatch):
    patched = apply(unet, uniportrait, two)
    tap = import_module(type(patched.wrappers["apply_model"]["uniportrait"][0]).__module__)
    told = []
    plainly = tap.recorder_of
    monkeypatch.setattr(tap, "recorder_of", lambda *given: told.append(plainly(*given)) or told[-1])
    sample(patched)
    assert told == [None, None]
    sample(record(patched)[0])
    assert len(told) == 4 and all(told[2:])


def test_a_new_sampling_begins_a_new_record(unet, uniportrait, two):
    model, routing = record(apply(unet, uniportrait, two))
    sample(model, steps=3)
    before = routing.maps()
    sample(model, steps=2, latent=(8, 24), batch=2)
    after = routing.maps()
    assert [tuple(level.shape) for level in before] == [(1, 2, 16, 8)] * 3
    assert [tuple(level.shape) for level in after] == [(2, 2, 8, 24)] * 2
    for level in after:
        assert torch.allclose(level.sum(dim=1), torch.ones(2, 8, 24))  # every spot is somebody's
        assert not torch.equal(level[0], level[1])  # pictures differ


def test_the_map_is_a_picture_masks_and_words(unet, uniportrait, two):
    model, routing = record(apply(unet, uniportrait, two))
    sample(model, steps=4, batch=2)
    picture = torch.rand(2, 128, 64, 3)
    average = show(routing, picture)
    levels = torch.stack(routing.maps())
    assert torch.allclose(average["masks"], levels.mean(0).flatten(0, 1))
    assert average["image"].shape == picture.shape and not torch.equal(average["image"], picture)
    shares = levels.mean(0).mean((-1, -2))
    first, second = average["report"].splitlines()
    for person in (0, 1):
        assert f"person {person + 1} has {100 * shares[0, person]:.0f} % of the picture" in first
        assert f"person {person + 1} has {100 * shares[1, person]:.0f} % of the picture" in second
    assert average["shown"]["text"] == (average["report"],) or average["shown"]["text"] == [average["report"]]
    assert len(average["shown"]["images"]) == 2
    each = show(routing, picture, steps="each")
    assert len(each["image"]) == 8
    assert torch.allclose(each["masks"], average["masks"])
    third = show(routing, picture, steps="3", opacity=1.0)
    assert torch.allclose(third["masks"], levels[2].flatten(0, 1))
    assert torch.equal(
        show(routing, picture, steps="3", opacity=0.0)["image"][0, 100:], (picture[0, 100:] * 255).round() / 255
    )


def test_the_masks_bring_the_same_routing_back(unet, uniportrait, two):
    """A layout that pleases can be kept for other seeds: masks go into Adjust Face ID."""
    model, routing = record(apply(unet, uniportrait, two))
    ksample(model)
    masks = show(routing)["masks"]
    ksample(model, seed=8)
    apart = (show(routing)["masks"] - masks).abs().mean()
    kept = run_node("UniPortraitAdjustFaceID", face_id=two, weight=1.0, mask=masks)
    model, routing = record(apply(unet, uniportrait, kept))
    ksample(model, seed=8)
    assert (show(routing)["masks"] - masks).abs().mean() < 0.5 * apart


def test_every_sampler_has_a_record_of_its_own(unet, uniportrait, two):
    first, routing = record(apply(unet, uniportrait, two))
    second, later = record(first)
    sample(first, steps=3)
    before = routing.maps()
    sample(second, steps=2)
    assert len(before) == len(routing.maps()) == 3 and len(later.maps()) == 2


class Decode:
    """In place of a VAE: a picture that comes from a latent."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"latent": ("LATENT", {})}}

    def run(self, latent: dict):
        return (latent["samples"].new_full((len(latent["samples"]), 128, 64, 3), 0.5),)


def maps_in_one_graph(model: object, *latents: tuple[str, dict, int]) -> dict[str, list[torch.Tensor]]:
    """The masks of a Routing Map behind each of several samplers that share a Record Routing.

    `latents` are name, latent and seed of each; a batch is sampled picture by picture, as a list.
    """
    nodes.NODE_CLASS_MAPPINGS["TestDecode"] = Decode
    graph = Graph()
    prompts = {name: graph.give(value) for name, value in small.prompts().items()}
    recorded = graph.add("UniPortraitRecordRouting", model=graph.give(model))
    pictures = {}
    for name, latent, seed in latents:
        each = graph.add("RebatchLatents", latents=graph.give(latent), batch_size=1)
        settings = {**small.SAMPLER, "seed": seed, "steps": 2, "cfg": 7.0}
        sampled = graph.add("KSampler", model=recorded, latent_image=each, **prompts, **settings)
        pictures[name] = graph.add("TestDecode", latent=sampled)
    for name, picture in pictures.items():
        settings = {"steps": "average", "opacity": 0.5, "min_share": 0.05}
        map_ = graph.add("UniPortraitRoutingMap", routing=[recorded[0], 1], image=picture, **settings)
        graph.take_list([map_[0], 1], name)
    return graph.run()


def test_a_map_is_of_the_sampling_that_its_picture_comes_from(unet, uniportrait, two):
    """Whatever was sampled in between with the same record: here in the same graph, else in a prompt of another."""
    model = apply(unet, uniportrait, two)
    latents = {"first": (blank(1), 1), "second": (blank(1), 2), "list": (blank(2), 3)}
    alone = {name: maps_in_one_graph(model, (name, *about))[name] for name, about in latents.items()}
    together = maps_in_one_graph(model, *((name, *about) for name, about in latents.items()))
    for name, maps in alone.items():
        assert all(map(torch.equal, maps, together[name])), name
    assert not torch.equal(alone["first"][0], alone["second"][0])
    assert [len(maps) for maps in alone.values()] == [1, 1, 2]
    assert not torch.equal(*alone["list"])


def test_nothing_is_kept_of_a_sampling_that_failed(unet, uniportrait, two):
    model, routing = record(apply(unet, uniportrait, two))
    sample(model, steps=3)
    before = routing.maps()
    failing = model.clone()
    failing.set_model_sampler_post_cfg_function(lambda _: 1 / 0)
    with pytest.raises(GraphError, match="division by zero"):
        sample(failing, steps=2)
    assert all(map(torch.equal, routing.maps(), before)) and len(before) == 3


def test_as_many_people_at_all_times(unet, uniportrait, two):
    model = apply(apply(unet, uniportrait, two), uniportrait, two[:1], lora_scale=0.0)
    with pytest.raises(GraphError, match="several Apply ID Router with 1 and 2 people.*Connect the same face_id"):
        record(model)
    same, routing = record(apply(apply(unet, uniportrait, two), uniportrait, two[::-1], lora_scale=0.0))
    sample(same)
    assert torch.allclose(routing.maps()[0].sum(1), torch.ones(1, *LATENT))


def test_windows_of_frames_are_left_out(unet, uniportrait, two, caplog):
    model, routing = record(in_context_windows(apply(unet, uniportrait, two)))
    for samplings in (1, 2):
        ksample(model, latent_image=blank(3))
        messages = [entry.message for entry in caplog.records if entry.name == "uniportrait"]
        assert len(messages) == samplings and messages[0].startswith("Record Routing: the sampler draws only some")
    with pytest.raises(GraphError, match="record at Routing Map is empty"):
        show(routing, torch.rand(3, 128, 64, 3))


class Boxes:
    """A detector that finds faces where a test wants them."""

    def __init__(self, *boxes):
        self.boxes = boxes

    def __call__(self, canvas, min_confidence):
        face = import_module(type(self).faces).Face
        scale = 640 / 128
        return [
            face(np.array(box, float) * scale, np.array([[b, b] for b in (0, 1, 2, 3, 4)], float), 0.9)
            for box in self.boxes
        ]


def test_faces_have_owners_and_whoever_has_none_is_missing(unet, uniportrait, two, core, caplog):
    Boxes.faces = core("faces.detection").__name__
    upper = torch.zeros(2, 64, 32)
    upper[0, :32], upper[1, 32:] = 1, 1
    placed = run_node("UniPortraitAdjustFaceID", face_id=two, weight=1.0, mask=upper)
    model, routing = record(apply(unet, uniportrait, placed))
    sample(model)
    with caplog.at_level(logging.WARNING, "uniportrait"):
        both = show(routing, detector=Boxes((8, 8, 40, 40), (8, 80, 40, 112)))
        assert not caplog.records and both["missing"] == [False]
        assert "face 1 is person 1's (100 %), face 2 is person 2's (100 %)" in both["report"]
        one = show(routing, detector=Boxes((8, 8, 40, 40)))
    assert one["missing"] == [True]
    assert "person 2 has 50 % of the picture and 0 % of the faces" in one["report"]
    assert "Likely missing: person 2. Try another seed" in one["report"]
    assert [record.message for record in caplog.records] == [f"Routing Map: {one['report']}"]


def test_one_person_has_the_whole_picture(unet, uniportrait, two):
    model, routing = record(apply(unet, uniportrait, two[:1]))
    sample(model)
    assert "person 1 has 100 % of the picture." in show(routing)["report"]


def test_a_model_without_people_has_nothing_to_record(unet, uniportrait, two):
    for model in (unet, apply(unet, uniportrait, two, id_scale=0.0)):
        with pytest.raises(GraphError, match="has no people whose routing.*Connect the model of Apply ID Router"):
            record(model)


def test_an_empty_record_and_the_wrong_pictures_are_explained(unet, uniportrait, two):
    model, routing = record(apply(unet, uniportrait, two))
    with pytest.raises(GraphError, match="record at Routing Map is empty.*Connect that model to the sampler"):
        show(routing)
    sample(model)
    with pytest.raises(GraphError, match="holds 3 pictures, the last sampling of its Record Routing made 1"):
        show(routing, torch.rand(3, 128, 64, 3))
    with pytest.raises(GraphError, match="needed are numbers from 1 to 2"):
        show(routing, steps="3")
