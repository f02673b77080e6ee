"""The mini world in the host, through the nodes: here a test can see whether it is her.

Likeness is a share of what two drawings of one person score above what two people score, by the recogniser that only
measures. Seeds are fixed; the floors are far from what is measured, which is said beside each.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from demo_world import ACTS, SCALE_PEOPLE, SIDE, Act, Nodes, TrainersPainter, photo_named, prompt_of
from graph import Graph, GraphError
from miniworld.files import SHIPPED, Files
from miniworld.numbers.likeness import Judge

ACT = {act.name: act for act in ACTS}
SEEDS = (1, 2, 3, 4)
STUDIO = "two people in a studio, a calm person wearing a white shirt, a calm person wearing a black t-shirt"


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(Files(SHIPPED))


@pytest.fixture(scope="module")
def share(judge):
    """From similarity to share, by the number of people in a picture."""
    scales = {company: judge.scale(SCALE_PEOPLE, SIDE, company) for company in (1, 2)}
    return lambda company, similarity: scales[company].share(similarity)


@pytest.fixture(scope="module")
def known(judge):
    """Somebody's embedding, by name."""
    return lambda name: judge.person(np.asarray(photo_named(name)))


def run(nodes: Nodes) -> list[np.ndarray]:
    """The pictures of a graph, RGB, (height, width, 3), uint8."""
    graph = Graph()
    graph.prompt = {name: node for name, node in nodes.items() if name not in ("save", "map", "large")}
    graph.take_list(["decode", 0])
    return [(picture.numpy() * 255).round().astype(np.uint8) for batch in graph.run()["value"] for picture in batch]


def likeness(judge, known, share, pictures, names) -> list[list[float]]:
    """Of each picture the share of each person's likeness."""
    people = torch.stack([known(name) for name in names])
    return [[share(len(names), score) for score in judge.judge(picture, people).scores] for picture in pictures]


def one(**changes) -> Act:
    return replace(ACT["one"], prompts=ACT["one"].prompts[:1], seeds=SEEDS, **changes)


def two(**changes) -> Act:
    return replace(ACT["two"], seeds=SEEDS, **changes)


@pytest.mark.parametrize("act", ["one", "two", "two-without", "series"])
def test_the_trainers_sampler_draws_the_same(judge, act):
    """The demo without ComfyUI is the same demo."""
    act = replace(ACT[act], prompts=ACT[act].prompts[:1], seeds=(1,))
    wanted = TrainersPainter(judge)(act).pictures
    for picture, other in zip(run(prompt_of(act)), wanted, strict=True):
        assert np.abs(picture.astype(int) - np.asarray(other)).mean() < 1.5  # of 255


def test_one_person_is_kept(judge, known, share):
    shares = np.array(likeness(judge, known, share, run(prompt_of(one())), ["ida"]))
    assert shares.mean() > 0.35


def test_without_strength_it_is_somebody_else(judge, known, share):
    nodes = prompt_of(one())
    nodes["people 0"]["inputs"]["id_scale"] = 0.0
    shares = np.array(likeness(judge, known, share, run(nodes), ["ida"]))
    assert shares.mean() < 0.2


def test_two_people_are_kept_apart_by_the_router(judge, known, share):
    names = ["ida", "omar"]
    routed = np.array(likeness(judge, known, share, run(prompt_of(two())), names)).min(axis=1)
    everywhere = np.array(likeness(judge, known, share, run(prompt_of(two(routed=False))), names)).min(axis=1)
    assert routed.mean() > 0.3
    assert everywhere.mean() < routed.mean() - 0.1


def masked(names: tuple[str, str]) -> Nodes:
    """Two people, the first on the left and the second on the right."""
    nodes = prompt_of(two(people=names, prompts=(STUDIO,)))
    for number, (name, left) in enumerate(zip(names, (0, SIDE // 2), strict=True), start=1):
        black = nodes.add(f"black {number}", "SolidMask", value=0.0, width=SIDE, height=SIDE)
        white = nodes.add(f"white {number}", "SolidMask", value=1.0, width=SIDE // 2, height=SIDE)
        half = nodes.add(
            f"half {number}", "MaskComposite", destination=black, source=white, x=left, y=0, operation="add"
        )
        placed = nodes.add(
            f"placed {number}", "UniPortraitAdjustFaceID", face_id=[f"face of {name}", 0], weight=1.0, mask=half
        )
        nodes["everybody"]["inputs"][f"face_id_{number}"] = placed
    return nodes


@pytest.mark.parametrize("names", [("ida", "omar"), ("omar", "ida")])
def test_masks_put_people_where_they_say(judge, known, names):
    """And people are swapped when face_ids are."""
    left, right = (known(name) for name in names)
    right_places = 0
    for picture in run(masked(names)):
        faces = judge.embed(picture)
        if len(faces) == 2:
            right_places += bool(faces[0] @ left > faces[0] @ right and faces[1] @ right > faces[1] @ left)
    assert right_places >= 3, "of 4 pictures"


def test_mixing_goes_from_one_to_the_other(judge, known):
    act = replace(ACT["series"], seeds=SEEDS)
    pictures, steps = run(prompt_of(act)), len(act.shares)
    ida, omar = known("ida"), known("omar")
    by_step = np.array([[_nearness(judge, picture, ida, omar)] for picture in pictures]).reshape(steps, -1).mean(axis=1)
    assert np.all(np.diff(by_step) > 0), by_step
    assert by_step[0] < -0.1 and by_step[-1] > 0.1


def _nearness(judge, picture, first, second) -> float:
    """Of a picture's face to the second person in comparison with the first; 0 without a face."""
    faces = judge.embed(picture)
    return float(faces[0] @ (second - first)) if len(faces) else 0.0


def test_a_style_pictures_layout_is_kept():
    act = replace(ACT["style"], seeds=SEEDS)
    plain = run(prompt_of(replace(act, styled=False)))
    styled = run(prompt_of(act))
    style = _layout(np.asarray(photo_named("style").resize((SIDE, SIDE))))
    near, far = (np.mean([np.corrcoef(style, _layout(p))[0, 1] for p in pictures]) for pictures in (styled, plain))
    assert near > far + 0.1 and near > 0.5


def _layout(picture: np.ndarray) -> np.ndarray:
    """Where it is light, in 8×8 spots."""
    return picture.mean(axis=-1).reshape(8, SIDE // 8, 8, SIDE // 8).mean(axis=(1, 3)).ravel()


def test_a_lora_of_a_style_goes_along(judge, known, share, base):
    folder = base / "models" / "loras"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Files(SHIPPED).sketch, folder / "sketch.safetensors")
    nodes = prompt_of(one())
    before = run(nodes)
    nodes.add("lora", "LoraLoaderModelOnly", model=["world", 0], lora_name="sketch.safetensors", strength_model=1.0)
    nodes["people 0"]["inputs"]["model"] = ["lora", 0]
    after = run(nodes)
    assert _colour(after) < 0.5 * _colour(before)
    assert np.mean(likeness(judge, known, share, after, ["ida"])) > 0.1  # a sketch says nothing of skin and hair


def _colour(pictures) -> float:
    """How far channels are apart."""
    return float(np.mean([np.ptp(picture.astype(np.float32), axis=-1).mean() for picture in pictures]))


# Bad input


def test_a_checkpoint_of_photos_does_not_go_with_the_mini_worlds_weights(unet):
    nodes = prompt_of(one())
    graph = Graph()
    graph.prompt = {name: nodes[name] for name in nodes if name not in ("save", "sampler", "decode")}
    graph.prompt["people 0"]["inputs"]["model"] = graph.give(unet)
    graph.take(["people 0", 0])
    with pytest.raises(GraphError, match="The weights are for the mini world .*Use Load Mini World"):
        graph.run()
