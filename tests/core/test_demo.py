"""What the demo says while it runs, and what it leaves when it is stopped; the server is a fake."""

import contextlib
import io
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import demo
import demo_progress
from comfy_client import Event
from contact_sheet import HEIGHT, MARGIN, Row, contact_sheet
from demo_progress import Left, about, describe, estimate, measure_pace, sampling_work
from workflow_prompts import PHOTOS, load_prompt

STEP, LOADING, DECODING = 8.0, 100.0, 20.0  # seconds; a step is one for 512×512 pixels
SHOWS = ("FaceIDEncode", "SaveImage", "UniPortraitRoutingMap")
# Takes the number of a workflow, a node's class and its step; may act, or return the event that ends the workflow.
Intrude = Callable[[int, str, int], str | None]


class FakeServer:
    """Runs prompts by a clock of its own, without waiting, and shows pictures of one colour."""

    def __init__(self, folder: Path, intrude: Intrude) -> None:
        self.base, self.log_file = folder, folder / "server.log"
        self.now, self._workflow, self._intrude = 0.0, 0, intrude
        (folder / "input").mkdir()
        self.log_file.write_text("what the server printed", encoding="utf-8")

    def events(self, prompt: dict, workflow: dict) -> Iterator[Event]:
        self._workflow += 1
        for node, entry in prompt.items():
            kind, inputs = entry["class_type"], entry["inputs"]
            yield Event("executing", node, {})
            if kind == "KSampler":
                latent = prompt[inputs["latent_image"][0]]["inputs"]
                self.now += LOADING
                for step in range(1, inputs["steps"] + 1):
                    self.now += STEP * latent["width"] * latent["height"] / 512**2
                    if problem := self._intrude(self._workflow, kind, step):
                        yield Event(problem, node, {"node_type": kind, "exception_message": "out of memory"})
                        return
                    yield Event("progress", node, {"value": step, "max": inputs["steps"]})
            elif kind == "VAEDecode":
                self.now += DECODING
            elif problem := self._intrude(self._workflow, kind, 0):
                yield Event(problem, node, {"node_type": kind})
                return
            if kind in SHOWS:
                yield Event("executed", node, {"output": {"images": [{"filename": kind}]}})
            elif kind == "PreviewAny":
                yield Event("executed", node, {"output": {"text": ["a report"]}})

    def view(self, image: dict[str, str]) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (48, 32), ("orange", "teal", "navy")[SHOWS.index(image["filename"])]).save(file, "PNG")
        return file.getvalue()


@pytest.fixture
def run_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Intrude], int]]:
    """Runs the demo as from the command line, with pictures to `tmp_path / "out"`."""

    def run(intrude: Intrude = lambda *_: None) -> int:
        server = FakeServer(tmp_path, intrude)
        for module in (demo_progress, demo):
            monkeypatch.setattr(module, "monotonic", lambda: server.now)
        monkeypatch.setattr(demo, "comfy_server", lambda host, models: contextlib.nullcontext(server))
        monkeypatch.setattr(sys, "argv", ["demo.py", "--host", "x", "--models", "x", "--output", str(tmp_path / "out")])
        return demo.main()

    def add_photos(server: FakeServer) -> None:
        for name in PHOTOS:
            Image.new("RGB", (64, 48), "gray").save(server.base / "input" / name)

    monkeypatch.setattr(demo, "add_photos", add_photos)
    before = {sent: signal.getsignal(sent) for sent in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    yield run
    for sent, handler in before.items():
        signal.signal(sent, handler)


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> list:
    """Is filled with the rows and the notes of each contact sheet that is made."""
    made, draw = [], demo.contact_sheet

    def note_down(rows: list, notes: list) -> Image.Image:
        made.append((list(rows), list(notes)))
        return draw(rows, notes)

    monkeypatch.setattr(demo, "contact_sheet", note_down)
    return made


def at(workflow: int, kind: str, step: int, act: Callable[[], str | None]) -> Intrude:
    """Act once that step of a node of that class is reached."""
    return lambda *place: act() if place == (workflow, kind, step) else None


def pictures_in(row) -> list[int]:
    """How many photos, crops and results a row of the contact sheet has."""
    return [len(pictures) for pictures in row.pictures]


def test_all_of_it(run_demo, laid_out, capsys, tmp_path):
    assert run_demo() == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said if line.startswith("Workflow")] == [
        f"Workflow {number} of 3" for number in (1, 2, 3)
    ]
    ((rows, notes),) = laid_out
    assert [pictures_in(row) for row in rows] == [[1, 1, 1], [2, 2, 2], [1, 2, 2]] and notes == []
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "single_id.png", "single_id-face.png", "routing_map.png", "routing_map-face-1.png", "routing_map-face-2.png",
        "routing_map-map.png", "group_photo-1.png", "group_photo-2.png", "group_photo-face-1.png",
        "group_photo-face-2.png", "comfyui.log", "contact-sheet.jpg",
    }  # fmt: skip


def test_a_log_file_has_one_line_per_node_and_the_estimate_once_per_sampler(run_demo, capsys):
    run_demo()
    first, second, third = capsys.readouterr().out.split("\nWorkflow ")[1:]
    nodes = first.splitlines()[1:-1]
    assert len(nodes) == len(load_prompt("single_id")) + 1
    assert [line.strip() for line in nodes if "left" in line] == [
        "about 3 min left, workflow 1 of 3: 3 min, all: 15 min"  # 22 · 8 s here, 25 · 12 s and 50 · 8 s later
    ]
    assert re.search(r"^  KSampler +step 25/25  +300\.0 s$", first, re.MULTILINE)
    assert re.findall("about .*", second) == ["about 4 min left, workflow 2 of 3: 4 min, all: 11 min"]
    assert re.findall("about .*", third) == [
        "about 3 min left, workflow 3 of 3: 6 min",
        "about 3 min left, workflow 3 of 3: 3 min",
    ]


def test_a_terminals_last_line_says_what_is_left_all_the_time(run_demo, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    run_demo()
    said = capsys.readouterr().out
    states = [" ".join(state.split()) for state in re.split("[\r\n]", said)]
    # Nothing is known before the third step; the first one loaded the model.
    assert "KSampler step 2/25 116.0 s workflow 1 of 3" in states
    assert "KSampler step 3/25 124.0 s 3 min left, workflow 1 of 3: 3 min, all: 15 min" in states
    assert "KSampler step 24/25 292.0 s 8 s left, workflow 1 of 3: 8 s, all: 12 min" in states
    assert "VAE Decode 0.0 s workflow 1 of 3, all: 12 min left" in states
    assert "Encode Face ID 0.0 s workflow 2 of 3: 5 min left, all: 12 min" in states
    # Until a sampler's own pace is known, that of the one before it is taken.
    assert "KSampler step 1/25 112.0 s 5 min left, workflow 2 of 3: 5 min, all: 11 min" in states
    assert "KSampler: person 1 step 24/25 292.0 s 8 s left, workflow 3 of 3: 3 min" in states
    assert "VAE Decode 0.0 s workflow 3 of 3" in states
    assert "about" not in said  # as a line of its own


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_second_workflow(run_demo, laid_out, tmp_path, sent, code):
    stop = at(2, "KSampler", 5, lambda: signal.raise_signal(sent))
    if sent == signal.SIGTERM:
        with pytest.raises(SystemExit) as ended:
            run_demo(stop)
        assert ended.value.code == code
    else:
        assert run_demo(stop) == code
    ((rows, notes),) = laid_out
    assert [pictures_in(row) for row in rows] == [[1, 1, 1], [2, 2, 0]]  # the first is whole, the second has crops
    assert ["(stopped)" in row.title for row in rows] == [False, True]
    assert notes == ["The demo was stopped in workflow 2 of 3, after single_id.json."]
    assert (tmp_path / "out" / "routing_map-face-2.png").exists()
    assert Image.open(tmp_path / "out" / "contact-sheet.jpg").height > 700  # two rows of pictures
    assert (tmp_path / "out" / "comfyui.log").read_text(encoding="utf-8") == "what the server printed"


def test_a_failing_workflow(run_demo, laid_out, capsys, tmp_path):
    assert run_demo(at(3, "KSampler", 1, lambda: "execution_error")) == 1
    ((rows, notes),) = laid_out
    assert [pictures_in(row) for row in rows] == [[1, 1, 1], [2, 2, 2], [1, 2, 0]]
    assert notes == ["The demo was stopped in workflow 3 of 3, after routing_map.json."]
    assert "The demo failed. Node 17 (KSampler): out of memory" in capsys.readouterr().err
    assert (tmp_path / "out" / "contact-sheet.jpg").exists() and (tmp_path / "out" / "comfyui.log").exists()


def test_stopped_before_a_workflow_has_made_anything(run_demo, laid_out):
    assert run_demo(at(2, "LoadUniPortrait", 0, lambda: signal.raise_signal(signal.SIGINT))) == 130
    ((rows, notes),) = laid_out
    assert [pictures_in(row) for row in rows] == [[1, 1, 1]] and "after single_id.json" in notes[0]


def test_stopped_in_the_first_workflow(run_demo, laid_out):
    assert run_demo(at(1, "KSampler", 1, lambda: signal.raise_signal(signal.SIGINT))) == 130
    ((rows, notes),) = laid_out
    assert [pictures_in(row) for row in rows] == [[1, 1, 0]]
    assert notes == ["The demo was stopped in workflow 1 of 3."]


def test_nothing_made_leaves_no_sheet(run_demo, capsys, tmp_path):
    assert run_demo(at(1, "LoadUniPortrait", 0, lambda: "execution_error")) == 1
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["comfyui.log"]
    assert "side by side" not in capsys.readouterr().out


def test_a_lone_row_without_a_picture_leaves_room_for_all_text(monkeypatch):
    arrows = []
    monkeypatch.setattr("contact_sheet._draw_arrow", lambda *place: arrows.append(place))
    picture = Image.new("RGB", (10, 10))
    row = Row("title", "prompt", ([("photo", picture)], [("face", picture)], []))
    bare = contact_sheet([row])
    assert len(arrows) == 1  # from the photo to the face, and none to nowhere
    noted = contact_sheet([row], ["A remark that is longer than all else. " * 5, "One more."])
    whole = contact_sheet([Row("title", "prompt", (*row.pictures[:2], [("result", picture)]))])
    assert 0 < whole.width - bare.width < HEIGHT  # the column's name has its place
    assert noted.width > bare.width and noted.height > bare.height
    for sheet in (bare, noted):  # nothing touches the right margin
        margin = sheet.crop((sheet.width - MARGIN // 2, 0, sheet.width, sheet.height))
        assert len(margin.getcolors()) == 1


def test_two_steps_after_the_first_tell_the_pace():
    assert measure_pace(0, 0.0, 100) is measure_pace(1, 3.0, 100) is None
    assert measure_pace(2, 6.0, 100) == pytest.approx(0.03)


def test_the_estimate_counts_steps_and_pixels():
    assert estimate(0.5, 10, 20, 40) == Left(sampler=5, workflow=15, demo=35)
    assert sampling_work(load_prompt("routing_map")) == {"17": 25 * 768 * 512}
    assert sampling_work(load_prompt("group_photo")) == {"17": 25 * 512 * 512, "20": 25 * 512 * 512}


def test_durations_are_no_more_exact_than_they_are_known():
    assert [about(duration) for duration in (0.2, 12.3, 99, 100, 725)] == ["1 s", "12 s", "99 s", "2 min", "12 min"]


@pytest.mark.parametrize(
    ("left", "wanted"),
    [
        (None, "workflow 1 of 3"),
        (Left(0, 0, 0), "workflow 1 of 3"),
        (Left(0, 0, 300), "workflow 1 of 3, all: 5 min left"),
        (Left(0, 60, 300), "workflow 1 of 3: 60 s left, all: 5 min"),
        (Left(30, 60, 300), "30 s left, workflow 1 of 3: 60 s, all: 5 min"),
        (Left(30, 60, 60), "30 s left, workflow 1 of 3: 60 s"),
    ],
)
def test_what_is_not_known_or_nothing_is_not_said(left, wanted):
    assert describe(1, 3, left) == wanted
