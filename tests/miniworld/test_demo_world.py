"""The demo of the mini world: what it says, and what it leaves; pictures are drawings, as if it had drawn perfectly."""

import numpy as np
import pytest
from PIL import Image

import demo_world
from demo_world import ACTS, NOTES, Act, Critic, Drawn, demo, photo_named, prompt_of
from miniworld.cast import CAST
from miniworld.world.picture import picture
from miniworld.world.scene import compose


@pytest.fixture(scope="module")
def critic() -> Critic:
    return Critic()


def drawing(act: Act, seed: int) -> Image.Image:
    return Image.fromarray(picture(compose([CAST[name] for name in act.people], f"{act.name} {seed}"), 128))


def paint(act: Act) -> Drawn | None:
    if act.styled:
        return None
    people = act.people[:1] if act.shares else act.people
    shown = [drawing(Act(act.name, "", people, ()), n) for n in range(len(act.prompts) * len(act.seeds))]
    return Drawn(shown, shown if act.routed and len(people) > 1 else [])


def test_all_of_it(critic, tmp_path, capsys):
    demo(paint, critic, tmp_path, NOTES)
    said = capsys.readouterr().out
    assert all((act.title in said) != act.styled for act in ACTS)
    assert all(note in said for note in NOTES)
    assert {file.name for file in tmp_path.iterdir()} >= {"contact-sheet.jpg", "one-1.png", "one-4.png", "two-2.png"}
    sheet = Image.open(tmp_path / "contact-sheet.jpg")
    assert sheet.width > 1000 and sheet.height > 2000


def test_what_is_there_when_it_is_stopped(critic, tmp_path):
    def stop(act: Act) -> Drawn | None:
        if act.name == "three":
            raise KeyboardInterrupt
        return paint(act)

    with pytest.raises(KeyboardInterrupt):
        demo(stop, critic, tmp_path, NOTES)
    assert (tmp_path / "contact-sheet.jpg").is_file() and (tmp_path / "two-1.png").is_file()
    assert not (tmp_path / "three-1.png").exists()


def test_captions_name_people_in_the_order_of_their_faces(critic):
    act = next(act for act in ACTS if act.name == "two")
    turned = Act("turned", "", act.people[::-1], ())
    for shown, first in ((act, "Ida"), (turned, "Omar")):
        assert critic.caption(act, 0, drawing(shown, 5)).startswith(first)


def test_somebody_who_is_missing_is_named(critic):
    act = next(act for act in ACTS if act.name == "two")
    assert "no " in critic.caption(act, 0, photo_named("ida").resize((128, 128)))
    nobody = Image.fromarray(np.full((128, 128, 3), 200, np.uint8))
    assert critic.caption(act, 0, nobody) == "no Ida, no Omar"


def test_without_comfyui_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo_world, "ACTS", ACTS[:1])
    monkeypatch.setattr("sys.argv", ["demo_world.py", "--output", str(tmp_path)])
    assert demo_world.main() == 0
    assert capsys.readouterr().out.count(demo_world.WITHOUT_COMFYUI) >= 2
    assert (tmp_path / "one-1.png").is_file()


@pytest.mark.parametrize("act", ACTS, ids=[act.name for act in ACTS])
def test_graphs_are_whole(act):
    nodes = prompt_of(act)
    for node in nodes.values():
        for value in node["inputs"].values():
            assert not isinstance(value, list) or value[0] in nodes
