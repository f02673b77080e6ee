"""Who is where while a sampler works: what is shown, to whom, and that it changes nothing."""

import dataclasses
from importlib import import_module

import numpy as np
import pytest
import server
import torch

import small
from graph import Graph, GraphError, run_node
from oracle import blank, in_context_windows, ksample, record
from small import apply, sample
from viewers import BEGIN, LOOKS, STEP, Server, map_of


@pytest.fixture
def two(core):
    first, second = small.people(core, 2, tag="two")
    return dataclasses.replace(first, thumbnail=torch.full((112, 112, 3), 200, dtype=torch.uint8)), second


@pytest.fixture
def seen(monkeypatch, pack):
    """The server, with a front end that looks and wants every step."""
    made = Server()
    monkeypatch.setattr(server.PromptServer, "instance", made, raising=False)
    monkeypatch.setattr(import_module(f"{pack.__name__}.host.unet.live_routing"), "PAUSE", 0.0)
    return made


def masked(people, *masks):
    return tuple(dataclasses.replace(person, mask=mask) for person, mask in zip(people, masks, strict=True))


def live_of(model):
    return model.wrappers["outer_sample"]["uniportrait_live"]


UPPER = torch.cat((torch.ones(4, 8), torch.zeros(4, 8)))


@pytest.mark.parametrize(
    ("masks", "settings"),
    [
        (None, {"batch": 2}),
        (None, {"cfg": 1.0, "latent": (8, 24)}),
        ((UPPER, 1 - UPPER), {}),
        ((UPPER, None), {"batch": 2}),
    ],
    ids=["a batch", "no guidance", "masks", "one mask"],
)
def test_every_step_is_shown_as_it_is_recorded(unet, uniportrait, two, seen, masks, settings):
    people = masked(two, *masks) if masks else two
    model, routing = record(apply(unet, uniportrait, people))
    sample(model, steps=3, **settings)
    (begin,), steps = seen.of(BEGIN), seen.of(STEP)
    assert [person["colour"] for person in begin["people"]] == ["#e69f00", "#56b4e9"]
    assert begin["people"][0]["face"].startswith("data:image/jpeg;base64,") and begin["people"][1]["face"] is None
    assert [(step["step"], step["steps"]) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    for step, level in zip(steps, routing.maps(), strict=True):
        assert np.abs(map_of(step) - level[0].numpy()).max() <= 0.5 / 255 + 1e-6  # of a batch the first picture
        assert np.allclose(step["shares"], level[0].mean((1, 2)), atol=0.5 / 255)
        assert sum(step["shares"]) == pytest.approx(1, abs=0.005)
    assert {sid for _, _, sid in seen.sent} == {"mine"}


def test_shown_at_the_record_or_at_every_apply_id_router(unet, uniportrait, two, seen):
    """Each of a chain shows its own; with a record all are averaged there."""
    graph = Graph()
    given = {"uniportrait": graph.give(uniportrait), "face_id": graph.give(two), **small.APPLY, "lora_scale": 0.0}
    first = graph.add("IDRouterApply", model=graph.give(unet), **given, layers="encoder only")
    second = graph.add("IDRouterApply", model=first, **given, layers="decoder only")
    recorder = graph.add("UniPortraitRecordRouting", model=second)
    for name, link in (("chain", second), ("recorded", recorder), ("routing", [recorder[0], 1])):
        graph.take(link, name)
    taken = graph.run()
    sample(taken["recorded"], steps=1)
    (averaged,) = seen.of(STEP)
    assert averaged["node"] == recorder[0]
    seen.sent.clear()
    sample(taken["chain"], steps=1)
    (at_first,), (at_second,) = (seen.of(STEP, link[0]) for link in (first, second))
    assert len(seen.of(STEP)) == 2
    mean = (6 * map_of(at_first) + 9 * map_of(at_second)) / 15
    assert np.abs(mean - map_of(averaged)).max() <= 1 / 255 + 1e-6


def test_a_sampling_that_begins_clears_and_one_that_fails_leaves_nothing(unet, uniportrait, two, seen):
    model = apply(unet, uniportrait, two)
    sample(model, steps=2)
    sample(model, steps=2)
    assert [event for event, _, _ in seen.sent] == [BEGIN, STEP, STEP] * 2
    failing = model.clone()
    failing.set_model_sampler_post_cfg_function(lambda arguments: 1 / 0)
    with pytest.raises(GraphError, match="division by zero"):
        sample(failing)
    assert [live.showing for live in live_of(failing)] == [None]


def test_between_two_maps_is_a_pause_and_the_last_is_always_shown(unet, uniportrait, two, seen, monkeypatch):
    monkeypatch.setattr(import_module(type(live_of(apply(unet, uniportrait, two))[0]).__module__), "PAUSE", 1e9)
    sample(apply(unet, uniportrait, two), steps=4)
    assert [step["step"] for step in seen.of(STEP)] == [1, 4]


def test_who_is_about_to_be_missing_is_said(unet, uniportrait, two, seen):
    everything = torch.ones(8, 8)
    sample(apply(unet, uniportrait, masked(two, everything, 0 * everything)), steps=3)
    assert [list(step["missing"]) for step in seen.of(STEP)] == [[], [1], [1]]
    assert seen.of(STEP)[-1]["shares"] == pytest.approx((1, 0))


def test_pictures_are_the_same_to_the_bit_and_without_a_viewer_nothing_is_sent(unet, uniportrait, two, seen):
    model = apply(unet, uniportrait, two)
    shown = sample(model, steps=3)
    assert len(seen.of(STEP)) == 3
    seen.sent.clear()
    for change in ({"mine": {LOOKS: False}}, {"mine": {}}, {"other": {LOOKS: True}}, {}):
        seen.sockets_metadata = change
        assert torch.equal(sample(model, steps=3), shown)
    seen.client_id = None  # a prompt without a client
    assert torch.equal(sample(model, steps=3), shown)
    assert not seen.sent


def test_who_looks_away_gets_no_more_and_who_loads_the_page_anew_learns_the_people(unet, uniportrait, two, seen):
    model, plainly = apply(unet, uniportrait, two), seen.send_sync

    def send(event, data, sid):
        plainly(event, data, sid)
        if event == STEP:
            seen.sockets_metadata["mine"] = {LOOKS: data["step"] == 1}

    seen.send_sync = send
    sample(model, steps=4)
    assert [event for event, _, _ in seen.sent] == [BEGIN, STEP, BEGIN, STEP]


@pytest.mark.parametrize("message", [BEGIN, STEP])
def test_what_goes_wrong_ends_the_showing_alone(unet, uniportrait, two, seen, caplog, message):
    model = apply(unet, uniportrait, two)
    wanted, plainly = sample(model, steps=3), seen.send_sync
    seen.sent.clear()

    def fail(event, data, sid):
        plainly(event, data, sid)
        if event == message:
            raise OSError("the line is dead")

    seen.send_sync = fail
    assert torch.equal(sample(model, steps=3), wanted)
    (line,) = [entry.message for entry in caplog.records if entry.name == "uniportrait"]
    assert line == "Who is where is not shown while this sampling lasts: OSError: the line is dead"
    assert seen.sent[-1][0] == message and len(seen.of(message)) == 1


def test_one_person_alone_and_windows_of_frames_show_nothing(unet, uniportrait, two, seen):
    alone = apply(unet, uniportrait, two[:1])
    sample(alone)
    assert not alone.get_wrappers("outer_sample", "uniportrait_live") and not seen.sent
    ksample(in_context_windows(apply(unet, uniportrait, two)), latent_image=blank(3))
    assert not seen.of(STEP)
    region = run_node("UniPortraitAdjustFaceID", face_id=two[:1], weight=1.0, mask=UPPER[None])
    sample(apply(unet, uniportrait, region), steps=1)
    assert seen.of(STEP)[0]["shares"] == pytest.approx((0.5,), abs=0.1)  # the edge of the mask is soft
