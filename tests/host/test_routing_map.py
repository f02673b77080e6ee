"""Recording the routing of a sampling, and showing it."""

import logging

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import recipe
import small
from graph import Graph, GraphError, run_node
from small import apply, sample

LATENT = (16, 8)


@pytest.fixture
def two(core):
    return small.people(core, 2, tag="two")


def record(model):
    """The model with a record, and the record."""
    graph = Graph()
    node = graph.add("UniPortraitRecordRouting", model=graph.give(model))
    graph.take(node, "model")
    graph.take([node[0], 1], "routing")
    taken = graph.run()
    return taken["model"], taken["routing"]


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


def expected_maps(uniportrait, people, x, options):
    """The routing of one UNet call by the router as the paper writes it, averaged over layers, (people, H, W)."""
    tokens = torch.stack([person.cond for person in people])
    maps = []
    for router, hidden in zip(uniportrait.router.layers, x, strict=True):
        aggregated = (tokens.mT @ router.aggregate[0].mT + router.aggregate[1])[..., 0]
        gelu, linear = torch.nn.functional.gelu, torch.nn.functional.linear
        phi = linear(gelu(linear(aggregated, *router.key_in)), router.key_out)
        theta = linear(gelu(linear(hidden, *router.query_in)), router.query_out)
        winner = (theta @ phi.mT).argmax(-1)
        side = int((len(winner) * LATENT[1] / LATENT[0]) ** 0.5)
        one_hot = torch.nn.functional.one_hot(winner, len(people)).T.float().unflatten(1, (-1, side))
        maps.append(torch.nn.functional.interpolate(one_hot[None], size=LATENT, mode="nearest-exact")[0])
    return torch.stack(maps).mean(0)


def test_the_record_is_what_the_router_decided(unet, uniportrait, two):
    model, routing = record(apply(unet, uniportrait, two))
    inputs, hooks = [], []
    from importlib import import_module

    attentions = import_module(f"{type(model.wrappers['apply_model']['uniportrait'][0]).__module__}").cross_attentions
    for attention in attentions(unet.model.diffusion_model):
        hooks.append(attention.to_q.register_forward_hook(lambda _m, given, _q: inputs.append(given[0])))
    sample(model, steps=2)
    for hook in hooks:
        hook.remove()
    (first, second) = routing.maps()
    # Hooks ran in the order of the UNet: input, middle, output; the routers are in the published order.
    steps = [inputs[:16], inputs[16:]]
    for found, seen in zip((first, second), steps, strict=True):
        published = seen[:6] + seen[7:] + seen[6:7]
        wanted = expected_maps(uniportrait, two, [x[1] for x in published], None)
        assert (found[0] - wanted).abs().mean() < 0.01  # a tie or two may fall the other way


def test_recording_changes_nothing_and_costs_nothing_without_the_node(unet, uniportrait, two):
    patched = apply(unet, uniportrait, two)
    model, routing = record(patched)
    assert torch.equal(sample(model), sample(patched))
    assert len(routing.maps()) == 2

    def flops(model):
        x, text = recipe.noise("map.x", (2, 4, *LATENT)), recipe.noise("map.text", (2, 77, 768))
        with FlopCounterMode(display=False) as counter:
            small.call_unet(model, x, 500.0, text, [1, 0])
        return counter.get_total_flops()

    assert flops(model) == flops(patched)
    assert "uniportrait_record" not in patched.wrappers.get("predict_noise", {})


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
    sample(model)
    masks = show(routing)["masks"]
    kept = run_node("UniPortraitAdjustFaceID", face_id=two, weight=1.0, mask=masks)
    again, kept_routing = record(apply(unet, uniportrait, kept))
    sample(again)
    assert (torch.stack(kept_routing.maps()).mean(0)[0] - masks).abs().mean() < 0.1


class Boxes:
    """A detector that finds faces where a test wants them."""

    def __init__(self, *boxes):
        self.boxes = boxes

    def __call__(self, canvas, min_confidence):
        from importlib import import_module

        face = import_module(type(self).faces).Face
        scale = 640 / 128
        return [
            face(np.array(box, float) * scale, np.array([[b, b] for b in (0, 1, 2, 3, 4)], float), 0.9)
            for box in self.boxes
        ]


def test_faces_have_owners_and_whoever_has_none_is_missing(unet, uniportrait, two, core, caplog):
    Boxes.faces = core("faces").__name__
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
