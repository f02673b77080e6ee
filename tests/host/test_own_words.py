"""Own words: each person's spots are drawn by the scene's words joined with theirs, and all else as without them.

`oracle.published` writes out what has to come; people with words go through the pack's node.
"""

import dataclasses

import pytest
import torch
from safetensors.torch import save_file
from torch._dynamo.utils import counters

import recipe
import small
from graph import Graph, GraphError, run_node
from oracle import blank, both_ways, compiled, differ, in_context_windows, ksample, published, record, sharing
from pack_doubles import Couple, in_tiles, regions
from small import apply
from styles import refer, with_style

SAME = 1e-5
UPPER = torch.zeros(1, 16, 8)
UPPER[:, :8] = 1


def words(number, tokens=77, dim=768):
    """A prompt of its own."""
    return [[recipe.noise(f"words {number}", (1, tokens, dim)), {"pooled_output": None}]]


def say(person, conditioning, strength=1.0, start_percent=0.0, end_percent=1.0, text=""):
    inputs = {"text": text, "strength": strength, "start_percent": start_percent, "end_percent": end_percent}
    return run_node("UniPortraitOwnWords", face_id=person, conditioning=conditioning, **inputs)


def with_words(people, who=None, **settings):
    """People, all or some of them with words of their own."""
    chosen = range(len(people)) if who is None else who
    return sum(
        (
            say(people[i : i + 1], words(i), **settings) if i in chosen else people[i : i + 1]
            for i in range(len(people))
        ),
        (),
    )


@pytest.fixture(scope="module")
def two(core):
    return small.people(core, 2)


@pytest.fixture(scope="module")
def speaking(two):
    return with_words(two)


# What it is


@pytest.mark.parametrize("shared_uncond", [True, False])
@pytest.mark.parametrize("people", [1, 2, 3])
def test_it_is_the_equation(unet, uniportrait, core, people, shared_uncond):
    people = with_words(small.people(core, people, shared_uncond), strength=0.6)
    found, wanted = both_ways(unet, uniportrait, people, latent_image=blank(2))
    assert recipe.relative_error(found, wanted) <= SAME


@pytest.mark.parametrize("who", [(0,), (1,)])
def test_only_one_of_two_has_words(unet, uniportrait, two, who):
    found, wanted = both_ways(unet, uniportrait, with_words(two, who))
    assert recipe.relative_error(found, wanted) <= SAME
    assert differ(found, ksample(apply(unet, uniportrait, two)))


def test_words_of_other_lengths(unet, uniportrait, two):
    people = say(two[:1], words(0, tokens=5)) + say(two[1:], words(1, tokens=154))
    found, wanted = both_ways(unet, uniportrait, people)
    assert recipe.relative_error(found, wanted) <= SAME


def test_masks_take_the_routers_place(unet, uniportrait, two):
    """A person who is everywhere has their words everywhere, one who is nowhere has them nowhere."""

    def placed(people, *masks):
        masks = torch.cat([torch.full((1, 16, 8), float(mask)) for mask in masks])
        return run_node("UniPortraitAdjustFaceID", face_id=people, weight=1.0, mask=masks)

    both = ksample(apply(unet, uniportrait, placed(with_words(two), 1, 0)))
    first_only = ksample(apply(unet, uniportrait, placed(with_words(two, (0,)), 1, 0)))
    assert recipe.relative_error(both, first_only) <= SAME
    assert torch.equal(ksample(apply(unet, uniportrait, placed(with_words(two, (1,)), 1, 0))),
                       ksample(apply(unet, uniportrait, placed(two, 1, 0))))  # fmt: skip
    found, wanted = both_ways(unet, uniportrait, say(two[:1], words(0)))
    alone = run_node("UniPortraitAdjustFaceID", face_id=say(two[:1], words(0)), weight=1.0, mask=torch.ones(1, 16, 8))
    assert recipe.relative_error(ksample(apply(unet, uniportrait, alone)), wanted) <= SAME
    assert recipe.relative_error(found, wanted) <= SAME


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_window_of_the_sampling(unet, uniportrait, two, start):
    """Of two steps the first is at 0, the second at 0.67."""
    model = apply(unet, uniportrait, with_words(two, start_percent=start, end_percent=start + 0.5))
    said = []

    def look(*_args):
        (tap,) = model.wrappers["apply_model"]["uniportrait"]
        said.append(any(site.addition.words is not None for sites in tap.sites.values() for site in sites))

    hook = unet.model.diffusion_model.out.register_forward_hook(look)
    found = ksample(model)
    hook.remove()
    assert said == [start == 0.0, start == 0.5]
    for other in (two, with_words(two)):
        assert differ(found, ksample(apply(unet, uniportrait, other)))


# Nothing, to the bit


@pytest.mark.parametrize(
    "changes",
    [{"strength": 0.0}, {"conditioning": None}, {"conditioning": None, "text": " \n"}, {"end_percent": 0.0},
     {"conditioning": [[torch.zeros(1, 77, 768), {}]]}],
    ids=["strength 0", "nothing", "empty text", "no time", "zeroed out"],
)  # fmt: skip
def test_no_words(unet, uniportrait, two, changes):
    quiet = say(two, **{"conditioning": words(0), **changes})
    model = apply(unet, uniportrait, quiet)
    assert model.wrappers["apply_model"]["uniportrait"][0].words is None
    assert torch.equal(ksample(model), ksample(apply(unet, uniportrait, two)))


def test_words_are_taken_back(two):
    (person,) = say(say(two[:1], words(0)), None)
    assert person is not two[0] and person == two[0]


def test_mixed_people_keep_the_words_of_the_first(two):
    first, second = say(two[:1], words(0)), say(two[1:], words(1))
    ((mixed,),) = [run_node("UniPortraitMixFaceID", face_id_a=first, face_id_b=second, weight_b=0.5)]
    assert mixed.words is first[0].words


def test_a_text_is_encoded_as_by_the_host(two):
    class Clip:
        def tokenize(self, text):
            return text

        def encode_from_tokens_scheduled(self, tokens):
            return words(tokens)

    inputs = {"text": "in red", "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    (person,) = run_node("UniPortraitOwnWords", face_id=two[:1], clip=Clip(), **inputs)
    assert torch.equal(person.words.tokens, words("in red")[0][0][0])


# In company


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_in_tiles(unet, uniportrait, speaking, batch):
    boxes = [(0, 0, 8, 8), (4, 0, 8, 8), (8, 0, 8, 8)]
    with published(unet, uniportrait, speaking):
        bare = in_tiles(apply(unet, uniportrait, speaking, id_scale=0.0), boxes, batch)
        wanted = ksample(bare, latent_image=blank(2), steps=1)
    found = ksample(in_tiles(apply(unet, uniportrait, speaking), boxes, batch), latent_image=blank(2), steps=1)
    assert recipe.relative_error(found, wanted) <= SAME


def test_in_context_windows(unet, uniportrait, speaking):
    """Of three frames in two steps, as in `test_composition_latents`."""
    with published(unet, uniportrait, speaking):
        bare = apply(unet, uniportrait, speaking, id_scale=0.0)
        wanted = ksample(in_context_windows(bare), latent_image=blank(3))
    found = ksample(in_context_windows(apply(unet, uniportrait, speaking)), latent_image=blank(3))
    assert recipe.relative_error(found, wanted) <= SAME


def test_regions_with_texts_of_their_own(unet, uniportrait, speaking):
    """The copies of a row have other texts each, and so other words to be joined with."""
    couple = Couple([recipe.noise(f"region {n}", (1, 77, 768)) for n in range(3)], regions(3))
    found = ksample(couple.on_model(apply(unet, uniportrait, speaking)))
    with published(unet, uniportrait, speaking):
        wanted = ksample(couple.on_model(apply(unet, uniportrait, speaking, id_scale=0.0)))
    assert recipe.relative_error(found, wanted) <= SAME


@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_halves_in_calls_of_their_own(unet, uniportrait, speaking, monkeypatch, cfg):
    """As the host makes them where memory is short; with a cfg of 1 there is one half."""
    monkeypatch.setattr(unet.model, "memory_required", lambda *_args, **_kwargs: 1e15)
    found, wanted = both_ways(unet, uniportrait, speaking, cfg=cfg, latent_image=blank(2))
    assert recipe.relative_error(found, wanted) <= SAME


def test_beside_a_style_picture(unet, uniportrait, speaking):
    """Which is told nothing of anybody."""
    style, latent = refer(unet, blank(2))
    found = ksample(with_style(apply(unet, uniportrait, speaking), style), latent_image=latent)
    bare = with_style(apply(unet, uniportrait, speaking, id_scale=0.0), style, strength=0.0)
    with sharing(unet, pictures=3), published(unet, uniportrait, speaking, pictures=3):
        wanted = ksample(bare, latent_image=latent)
    assert recipe.relative_error(found, wanted) <= SAME


def test_weights_that_change_between_steps(unet, uniportrait, two, speaking, base):
    """A LoRA of the positive prompt alone, on the words' keys, for half of the steps."""
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    lora = {f"{name}.lora_up.weight": recipe.noise("words.up", (small.WIDTH, 4))}
    lora[f"{name}.lora_down.weight"] = 0.1 * recipe.noise("words.down", (4, 768))
    (base / "models" / "loras").mkdir(parents=True, exist_ok=True)
    save_file(lora, base / "models" / "loras" / "words.safetensors")
    hooks = run_node("CreateHookLoraModelOnly", lora_name="words.safetensors", strength_model=0.8)
    first = run_node("CreateHookKeyframe", strength_mult=1.0, start_percent=0.0)
    second = run_node("CreateHookKeyframe", strength_mult=0.0, start_percent=0.4, prev_hook_kf=first)
    hooks = run_node("SetHookKeyframes", hooks=hooks, hook_kf=second)
    settings = {"cond_NEW": small.prompts()["positive"], "strength": 1.0, "set_cond_area": "default"}
    positive = run_node("ConditioningSetProperties", hooks=hooks, **settings)
    found, wanted = both_ways(unet, uniportrait, speaking, positive=positive, steps=3)
    assert recipe.relative_error(found, wanted) <= SAME
    for people, prompt in ((two, positive), (speaking, settings["cond_NEW"])):
        assert differ(found, ksample(apply(unet, uniportrait, people), positive=prompt, steps=3))


def test_in_a_compiled_model(unet, uniportrait, two, speaking):
    torch._dynamo.reset()
    counters.clear()
    try:
        for people in (speaking, with_words(two, strength=0.5)):
            model = apply(unet, uniportrait, people, lora_scale=0.0)
            assert torch.equal(ksample(compiled(model)), ksample(model))
        assert not counters["graph_break"]
    finally:
        torch._dynamo.reset()
        counters.clear()


def test_nothing_of_a_sampling_is_kept(unet, uniportrait, speaking):
    model = apply(unet, uniportrait, speaking)
    ksample(model)
    (tap,) = model.wrappers["apply_model"]["uniportrait"]
    assert not len(tap.words) and not len(tap.sites)


def test_the_map_is_the_routers(unet, uniportrait, two, speaking):
    """Words are where the map says, and what they change in the picture moves it."""
    maps = []
    for people in (two, speaking):
        model, routing = record(apply(unet, uniportrait, people))
        ksample(model, steps=1)
        (found,) = routing.maps()
        maps.append(found)
    assert maps[0].shape == maps[1].shape and differ(*maps)


# Bad input


def refused(message, **inputs):
    graph = Graph()
    settings = {"text": "", "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    links = {name: graph.give(value) for name, value in inputs.items() if name not in settings}
    graph.take(graph.add("UniPortraitOwnWords", **{**settings, **inputs, **links}))
    with pytest.raises(GraphError, match=message):
        graph.run()


def test_a_text_that_nothing_encodes(two):
    refused("a text and nothing that encodes it. Connect clip", face_id=two, text="in red")


def test_a_text_and_words_that_are_encoded(two):
    refused("a text and a conditioning, needed is one of them", face_id=two, text="in red", conditioning=words(0))


def test_more_than_one_prompt(two):
    refused("holds 2 prompts, needed is one. Join them", face_id=two, conditioning=words(0) + words(1))


def test_words_with_a_place(two):
    area = [[words(0)[0][0], {"area": (8, 8, 0, 0), "strength": 1.0}]]
    refused("comes with area, strength, needed are words alone", face_id=two, conditioning=area)


def test_words_that_are_no_numbers(two):
    refused("holds NaN or infinity", face_id=two, conditioning=[[torch.full((1, 77, 768), torch.nan), {}]])


def test_a_window_that_ends_before_it_starts(two):
    refused("start_percent 0.5 is after end_percent 0.2", face_id=two, start_percent=0.5, end_percent=0.2)


def test_words_of_another_model(unet, uniportrait, two):
    with pytest.raises(
        GraphError, match="Own words of person 2 of 2 are 2048 numbers wide, the model takes words of 768"
    ):
        apply(unet, uniportrait, two[:1] + say(two[1:], words(0, dim=2048)))


def test_people_that_another_pack_changed(unet, uniportrait, two):
    """Words that are none are found before a sampler runs."""
    odd = (dataclasses.replace(two[0], words="in red"), two[1])
    with pytest.raises(GraphError, match="with words of person 1 that are none"):
        apply(unet, uniportrait, odd)
