"""Generating: whatever servers do, every picture is there once, and is what its record says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

import benchmark
import painted
from evaluation.generate.run import make_pictures
from evaluation.generate.work_queue import MOST_FAILURES, OUTDONE, WorkQueue
from evaluation.generate.workflow import read_workflow
from evaluation.pictures.manifest import MANIFEST, read_manifest
from evaluation.pictures.reading import content_hash
from evaluation.protocol.protocol import read_protocol
from fake_comfy import fake_comfy
from uniportrait_core.errors import UniPortraitError

ROOT = Path(__file__).parents[2]
PEOPLE = {"anna": 1, "bert": 1, "dora": 2}


def run(file: Path, *servers, output: Path | None = None, patience: float = 0.5) -> Path:
    protocol, settings = read_protocol(file)
    workflow = read_workflow(settings.table("workflow"), len(protocol.groups[0]))
    folder = output or Path(settings.get("output", str))
    make_pictures(protocol, workflow, [server.url for server in servers], folder, patience)
    return folder


def check_all(file: Path, folder: Path) -> None:
    """Every picture of the protocol is there once, and was made from what its record says."""
    tasks = read_protocol(file)[0].tasks()
    lines = (folder / MANIFEST).read_text().splitlines()
    records = {Path(json.loads(line)["file"]).stem: json.loads(line) for line in lines}
    assert len(lines) == len(records) == len(tasks), "no picture lost, none doubled"
    assert sorted(path.name for path in folder.glob("subject*")) == sorted(f"{task.stem}.png" for task in tasks)
    for task in tasks:
        record, picture = records[task.stem], Image.open(folder / f"{task.stem}.png")
        made_from = json.loads(picture.text["prompt"])
        assert made_from["3"]["inputs"]["seed"] == record["seed"] == task.seed
        assert made_from["2"]["inputs"]["text"] == record["prompt"] == task.prompt
        photo = folder / record["references"][0][0]
        assert made_from["1"]["inputs"]["image"] == photo.name
        assert record["people"] == [person.name for person in task.people]
        if len(task.people[0].photos) == 1:
            assert photo.read_bytes() == task.people[0].photos[0].read_bytes()
        assert record["sha256"] == content_hash((folder / record["file"]).read_bytes())


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file of a folder but the lock."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture
def protocol(tmp_path) -> Path:
    return benchmark.write_protocol(tmp_path, PEOPLE)


def test_a_run(protocol):
    with fake_comfy() as server:
        folder = run(protocol, server)
        check_all(protocol, folder)
        assert len(server.prompts) == 12
        assert len(server.uploads) == 3, "photos go by their content, of which dora's two have the same"
        prefixes = {nodes["4"]["inputs"]["filename_prefix"] for nodes in server.prompts}
        assert len(prefixes) == 12 and all(prefix.startswith("evaluation/") for prefix in prefixes)
        run(protocol, server)
        assert len(server.prompts) == 12, "nothing is made twice"


def test_only_what_is_missing_or_changed_is_made_again(protocol):
    with fake_comfy() as server:
        folder = run(protocol, server)
        (folder / benchmark.name_of(0, 0, 0)).unlink()
        (folder / benchmark.name_of(1, 0, 1)).write_bytes(b"half a pict")
        run(protocol, server)
        assert len(server.prompts) == 14
    lines = [json.loads(line)["file"] for line in (folder / MANIFEST).read_text().splitlines()]
    assert Counter(lines).most_common(2) == [(benchmark.name_of(0, 0, 0), 2), (benchmark.name_of(1, 0, 1), 2)]
    assert len(read_manifest(folder)) == 12, "of two records of a picture the later counts"


def test_a_manifest_that_was_cut_off(protocol):
    with fake_comfy() as server:
        folder = run(protocol, server)
        manifest = folder / MANIFEST
        manifest.write_bytes(manifest.read_bytes()[:-40])
        assert len(read_manifest(folder)) == 11
        run(protocol, server)
        assert len(server.prompts) == 13
        check_all(protocol, folder)
        lines = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join([*lines[:3], lines[3][:50] + "\n", *lines[4:]]))
        with pytest.raises(UniPortraitError, match="Line 4 of .* is not a picture's record"):
            run(protocol, server)


@pytest.mark.parametrize(
    "change",
    [
        ("a {person} who sings", "a {person} who dances"),
        ('"scale": 1.0', '"scale": 0.5'),
        ('seed = "3.seed"', 'seed = "3.seed"\nset = { "3.scale" = 2.0 }'),
        ('name = "bert"', 'name = "carl"'),
        ("# action", "# deeds"),
        ("pictures_per_prompt = 2", "pictures_per_prompt = 1"),
    ],
)
def test_pictures_of_another_protocol_stay_as_they_are(protocol, change):
    with fake_comfy() as server:
        folder = run(protocol, server)
        for name in ("prompts.txt", "workflow.json", "protocol.toml"):
            file = protocol.parent / name
            file.write_text(file.read_text().replace(*change))
        before = contents(folder)
        with pytest.raises(UniPortraitError, match="made by other settings|the protocol does not list"):
            run(protocol, server)
        assert len(server.prompts) == 12 and before == contents(folder)


def test_more_pictures_are_added(protocol):
    with fake_comfy() as server:
        run(protocol, server)
        protocol.write_text(protocol.read_text().replace("pictures_per_prompt = 2", "pictures_per_prompt = 3"))
        check_all(protocol, run(protocol, server))
        assert len(server.prompts) == 18


@pytest.mark.parametrize("manner", ["500", "nothing", "nonsense", "forget", "cut", "emptied"])
def test_a_server_that_is_well_again(protocol, manner):
    with fake_comfy(manner, well_after=3) as server:
        check_all(protocol, run(protocol, server, patience=5))


@pytest.mark.parametrize("manner", ["500", "nothing", "nonsense", "forget", "cut", "reject"])
def test_the_others_do_the_work_of_a_server_that_is_of_no_use(protocol, manner):
    with fake_comfy(manner) as broken, fake_comfy() as well:
        check_all(protocol, run(protocol, broken, well))
        assert broken.prompts and len(well.prompts) == 12


def test_the_others_do_the_work_of_a_server_that_dies(protocol):
    with fake_comfy(die_after=3) as dying, fake_comfy() as well:
        check_all(protocol, run(protocol, dying, well))
        assert len(dying.prompts) == 3 and len(well.prompts) < 12 + 3


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("500", "12 of 12 pictures are not made, as no server is left .*answers /prompt with 500"),
        ("nothing", "does not answer"),
        ("nonsense", "something else than JSON"),
        ("reject", r"node 3 \(Draw\): Value not in list ckpt_name"),
        ("fail", r"pictures could not be made.*; subject_0000.*node 3 \(Draw\): No face found\. Correct"),
    ],
)
def test_no_server_left(protocol, manner, said):
    with fake_comfy(manner) as server, pytest.raises(UniPortraitError, match=said):
        run(protocol, server)
    with pytest.raises(UniPortraitError, match="no server is left .*does not answer"):
        run(protocol, server)  # nobody listens there any more


def test_pictures_that_fail_are_tried_twice_and_all_others_are_made(protocol):
    with (
        fake_comfy("fail", well_after=3) as server,
        pytest.raises(UniPortraitError, match="1 of 12 pictures could not"),
    ):
        run(protocol, server)
    assert len(read_manifest(protocol.parent / "made")) == 11


def test_a_server_whose_nodes_fail_does_no_harm(protocol):
    """It fails everything at once, many times as fast as the other makes something."""
    with fake_comfy("fail") as failing, fake_comfy() as well:
        check_all(protocol, run(protocol, failing, well))
        assert len(well.prompts) == 12 and failing.prompts


def test_a_server_that_fails_what_others_make_is_given_up(protocol):
    queue = WorkQueue(range(20), ["bad", "good"], lambda: None)
    for _ in range(OUTDONE):
        task = queue.take("bad")
        queue.fail(task, "bad", "broken")
        assert queue.take("good") == task, "the other tries it first"
        queue.done(task, "good")
    assert queue.take("bad") is None and queue.left == 20 - OUTDONE and not queue.failed
    rest = [queue.take("good") for _ in range(queue.left)]
    assert rest == list(range(OUTDONE, 20))


def test_one_good_picture_between_failures_is_enough_to_go_on():
    queue = WorkQueue(range(100), ["a", "b"], lambda: None)
    for number in range(2 * MOST_FAILURES):
        for server in ("a", "b"):
            task = queue.take(server)
            queue.done(task, server) if number == MOST_FAILURES else queue.fail(task, server, "no face")
    assert not queue.stopped and len(queue.failed) > MOST_FAILURES


def test_failures_end_nothing_while_a_server_has_not_failed():
    queue = WorkQueue(range(100), ["slow", *"abcd"], lambda: None)
    assert queue.take("slow") == 0
    for _ in range(MOST_FAILURES + 2):
        for server in "abcd":
            queue.fail(queue.take(server), server, "broken")
    assert len(queue.failed) == MOST_FAILURES + 2 and not queue.stopped


def test_pictures_that_were_not_tried_are_counted(tmp_path):
    file = benchmark.write_protocol(tmp_path, PEOPLE, pictures=10)
    said = r"1\d of 60 pictures could not be made, 4\d were not tried"
    with fake_comfy("fail") as server, pytest.raises(UniPortraitError, match=said):
        run(file, server)


def test_a_prompt_that_is_valid_in_part_is_cancelled(protocol):
    with fake_comfy("partly") as server, pytest.raises(UniPortraitError, match="No such node"):
        run(protocol, server)
    assert {"delete": ["half"]} in server.cancelled and {"prompt_id": "half"} in server.cancelled


def test_a_disk_that_fails_once_ends_the_run_and_is_not_blamed_on_the_server(protocol, monkeypatch):
    """Once, when the third record is to be on the disk."""
    from evaluation.pictures import manifest

    sync, calls = os.fsync, []

    def fails_once(file: int) -> None:
        calls.append(file)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        sync(file)

    monkeypatch.setattr(manifest.os, "fsync", fails_once)
    folder = protocol.parent / "made"
    with fake_comfy() as server:
        with pytest.raises(UniPortraitError, match=f"cannot be kept in {folder} .No space left on device"):
            run(protocol, server)
        assert 2 <= len(read_manifest(folder)) < 12
        check_all(protocol, run(protocol, server))


def test_a_record_is_in_the_manifest_or_not_at_all(protocol, monkeypatch):
    from evaluation.pictures import manifest

    with fake_comfy() as server:
        folder = run(protocol, server)
    before = contents(folder)

    def fails(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(manifest.os, "fsync", fails)
    with pytest.raises(OSError):
        manifest.append_record(folder, read_manifest(folder)[0])
    assert contents(folder) == before


def test_photos_that_are_gone_are_put_back_and_what_a_kill_left_is_removed(protocol):
    with fake_comfy() as server:
        folder = run(protocol, server)
        (folder / "film.mkv.part").write_bytes(b"somebody else's")
        before = contents(folder)
        for photo in (folder / "references").iterdir():
            photo.unlink()
        (folder / "subject_0000.png.7.part").write_bytes(b"half")
        run(protocol, server)
        assert contents(folder) == before and len(server.prompts) == 12


def test_a_workflow_without_photos_is_sent_none(protocol):
    """Who is meant still tells pictures apart."""
    protocol.write_text(protocol.read_text().replace('photos = ["Photo.image"]', "photos = []"))
    nodes = {number: node for number, node in benchmark.WORKFLOW.items() if number != "1"}
    (protocol.parent / "workflow.json").write_text(json.dumps(nodes))
    with fake_comfy() as server:
        folder = run(protocol, server)
        assert not server.uploads and len(read_manifest(folder)) == 12
        assert all((folder / name).is_file() for r in read_manifest(folder) for names in r.references for name in names)
        painted.save(protocol.parent / "photos" / "bert0.png", [painted.PEOPLE["carl"]])
        with pytest.raises(UniPortraitError, match="made by other settings, photos"):
            run(protocol, server)


def test_photos_that_cannot_be_read_are_an_error_before_the_first_picture(protocol):
    (protocol.parent / "photos" / "dora1.png").write_bytes(b"no picture")
    with fake_comfy() as server, pytest.raises(UniPortraitError, match="dora1.png cannot be read"):
        run(protocol, server)
    assert not server.prompts and not contents(protocol.parent / "made")


def test_two_runs_do_not_write_to_one_folder(protocol):
    from filelock import FileLock

    (protocol.parent / "made").mkdir()
    with FileLock(protocol.parent / "made" / ".lock"), fake_comfy() as server:
        with pytest.raises(UniPortraitError, match="Another `generate` is writing"):
            run(protocol, server)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_the_command_killed_five_times(tmp_path):
    file = benchmark.write_protocol(tmp_path, PEOPLE, pictures=10)
    folder = tmp_path / "made"
    with ExitStack() as stack:
        servers = [stack.enter_context(fake_comfy()) for _ in range(2)]
        command = [sys.executable, "-m", "evaluation", "generate", str(file), "--servers", *(s.url for s in servers)]
        for kill in range(1, 6):
            process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
            while process.poll() is None and len(list(folder.glob("subject*.png"))) < 8 * kill:
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM if kill == 3 else signal.SIGKILL)
            process.wait()
        left = 60 - len(read_manifest(folder))
        assert subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        check_all(file, folder)
    assert 0 < left < 60
    assert sum(len(server.prompts) for server in servers) <= 60 + 5 * 2 * 2, "a kill costs what was in the queues"


def test_a_generator_needs_no_pytorch_and_nothing_else_that_only_scoring_needs():
    code = "import sys, evaluation.__main__, evaluation.generate.run; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert {"requests", "PIL", "numpy", "tqdm", "filelock"} <= loaded
    assert not loaded & {"torch", "scipy", "transformers", "safetensors", "accelerate", "cv2", "matplotlib", "jinja2"}
