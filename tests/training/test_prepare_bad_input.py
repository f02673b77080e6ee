"""What `prepare` leaves out and counts, and what it refuses, in words that say what to do."""

import json
import resource
from dataclasses import replace
from pathlib import Path

import photos
import pytest
from shard_content import everything, facts

from training.__main__ import main
from training.prepare.listing import one_of_each
from training.prepare.reasons import REASONS
from training.prepare.run import prepare, prepared
from training.prepare.settings import Labels, Settings
from training.prepare.sheet import contact_sheet
from uniportrait_core.errors import UniPortraitError

PORTRAIT = photos.encoded(photos.portrait())


def run(tmp_path, detector, files, labels=None, **options):
    """Prepare files of a folder. Returns the report's numbers and the output folder."""
    source = photos.write_source(tmp_path / "source", files)
    settings = Settings(source, detector, labels or Labels(), photos.SMALL, **options)
    return prepare(settings, tmp_path / "shards"), tmp_path / "shards"


# Left out and counted


def test_pictures_are_left_out_and_counted_by_reason(tmp_path, detector):
    files = {
        "good.jpg": PORTRAIT,
        "good.png": photos.encoded(photos.portrait(), "png"),
        "silent.jpg": PORTRAIT,
        "empty.jpg": PORTRAIT,
        "cut.jpg": PORTRAIT[: len(PORTRAIT) // 2],
        "text.png": b"this is no picture",
        "tiny.jpg": photos.encoded(photos.portrait(120)),
        "land.jpg": photos.encoded(photos.landscape()),
        "crowd.jpg": photos.encoded(photos.group(6)),
        "blurred.jpg": photos.encoded(photos.portrait(blur=4.5)),
        "far.jpg": photos.encoded(photos.group(3, side=130)),
    }
    captions = {f"{name}.txt": "text" for name in {name.split(".")[0] for name in files} - {"silent"}}
    captions["empty.txt"] = " \n"
    filters = replace(photos.SMALL, min_face=16)
    source = photos.write_source(tmp_path / "source", files | captions)
    output = tmp_path / "shards"
    numbers = prepare(Settings(source, detector, Labels(), filters), output)
    assert {reason: sorted(names["first"]) for reason, names in numbers["left_out"].items()} == {
        "duplicate key": ["good.png"],
        "no caption": ["empty.jpg", "silent.jpg"],
        "corrupt": ["cut.jpg", "text.png"],
        "tiny": ["tiny.jpg"],
        "no face": ["land.jpg"],
        "small face": ["far.jpg"],
        "crowded": ["crowd.jpg"],
        "blurred": ["blurred.jpg"],
    }
    assert numbers["left_out"].keys() == REASONS.keys()
    assert all(names["count"] == len(names["first"]) for names in numbers["left_out"].values())
    assert numbers["pictures_found"] == len(files) and numbers["pictures_prepared"] == 1
    assert list(facts(output)) == ["good"]
    words = (output / "report.md").read_text("utf-8")
    assert all(f"| {reason}: {meaning} |" in words for reason, meaning in REASONS.items()) and "`cut.jpg`" in words


def test_small_faces_are_background(tmp_path, detector):
    """Of six faces the three smaller ones are taken for nobody."""
    source = photos.write_source(tmp_path / "source", {"a.jpg": photos.encoded(photos.group(6)), "a.txt": "a"})
    sides = sorted(min(x2 - x1, y2 - y1) for x1, y1, x2, y2 in _boxes(tmp_path / "all", source, detector, 12))
    numbers = prepare(
        Settings(source, detector, Labels(), replace(photos.SMALL, min_face=(sides[2] + sides[3]) / 2)),
        tmp_path / "some",
    )
    assert len(_boxes(tmp_path / "some")) == 3 and numbers["background_faces"] == 3


def _boxes(output, source=None, detector=None, min_face=0) -> list:
    if source is not None:
        prepare(Settings(source, detector, Labels(), replace(photos.SMALL, min_face=min_face, max_people=6)), output)
    (found,) = facts(output).values()
    return [face["box"] for face in found["faces"]]


def test_the_report_counts_people_and_shows_them(settings, shards):
    numbers = json.loads((shards / "report.json").read_text())
    assert numbers["people_per_picture"] == {"1": 6, "2": 3, "3": 3, "4": 3} and numbers["faces"] == 33
    assert numbers["pictures_prepared"] == 15 and not numbers["left_out"] and numbers["shards"] == 4
    assert numbers["identities"] == numbers["identities_with_several_photos"] == 3
    assert numbers["bytes"] == sum(path.stat().st_size for path in shards.glob("*.tar"))
    assert (shards / "people.png").read_bytes()[:4] == b"\x89PNG"
    entries = [json.loads(path.read_text()) for path in sorted((shards / "journal").glob("0*.json"))]
    sheet = contact_sheet(shards, entries)
    colours = {colour for _, colour in sheet.getcolors(1 << 24)}
    assert (230, 159, 0) in colours and (240, 228, 66) in colours  # of the first person's box, and the fourth's


def test_labels_without_a_picture_are_counted_and_named(tmp_path, detector):
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"file_name": "a.jpg", "caption": "a"}\n\n{"file_name": "lost.jpg", "caption": "b"}\n')
    numbers, output = run(tmp_path, detector, {"a.jpg": PORTRAIT}, Labels(labels))
    assert numbers["labels_without_picture"] == {"count": 1, "first": ["lost.jpg"]}
    assert "`lost.jpg`" in (output / "report.md").read_text("utf-8")


def test_texts_without_a_picture_are_counted_and_named(tmp_path, detector):
    numbers, _ = run(tmp_path, detector, {"a.jpg": PORTRAIT, "a.txt": "a", "notes/b.txt": "b"})
    assert numbers["labels_without_picture"] == {"count": 1, "first": ["notes/b.txt"]}


def test_of_one_key_the_first_by_name_is_taken():
    from training.prepare.listing import Entry, Place

    entries = [Entry(key, name, Place(name, 1), "") for key, name in (("b", "b.png"), ("a", "a.jpg"), ("b", "b.jpg"))]
    kept, repeated = one_of_each(entries)
    assert [entry.name for entry in kept] == ["a.jpg", "b.jpg"] and repeated == ("b.png",)


# Refused


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({"a.jpg": PORTRAIT}, r"1 pictures \(a\.jpg.*no captions.*--captions", id="no captions"),
        pytest.param({"a.txt": "a"}, r"1 files and no pictures.*Give the folder", id="no pictures"),
        pytest.param({}, r"0 files and no pictures", id="empty"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, detector, files, message):
    (tmp_path / "source").mkdir()
    with pytest.raises(UniPortraitError, match=message):
        run(tmp_path, detector, files)
    assert not (tmp_path / "shards").exists()


def test_no_picture_left(tmp_path, detector):
    files = {"a.jpg": photos.encoded(photos.landscape()), "b.jpg": PORTRAIT[:500], "c.jpg": PORTRAIT[:600]}
    files |= {f"{name}.txt": "text" for name in "abc"}
    with pytest.raises(UniPortraitError, match=r"None of the 3 pictures .* 2 corrupt, 1 no face\. .*--min-size"):
        run(tmp_path, detector, files)
    assert not list((tmp_path / "shards").glob("*.tar")) and not (tmp_path / "shards/index.json").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param('{"file_name": "z.jpg", "caption": "z"}', r"None of the rows .*z\.jpg.*--file-column", id="lost"),
        pytest.param('{"image": "a.jpg", "caption": "a"}', r"column 'file_name'; found are caption, image", id="name"),
        pytest.param('{"file_name": "a.jpg", "text": "a"}', r"column 'caption'; found are file_name, text", id="text"),
        pytest.param('{"file_name": "a.jpg", "caption": ""}', r"All captions .* empty.*--caption-column", id="empty"),
        pytest.param('{"file_name": "a.jpg",\n"caption": "a"}', r"Line 1 of .*labels.jsonl is no JSON", id="broken"),
        pytest.param('["a.jpg", "a"]', r"Line 1 of .*no object in braces", id="a list"),
        pytest.param("", r"found are no rows", id="nothing"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path, detector, lines, message):
    labels = tmp_path / "labels.jsonl"
    labels.write_text(lines)
    with pytest.raises(UniPortraitError, match=message):
        run(tmp_path, detector, {"a.jpg": PORTRAIT}, Labels(labels))


def test_labels_that_are_missing(tmp_path, detector):
    with pytest.raises(UniPortraitError, match=r"nowhere.jsonl cannot be read .*JSON Lines"):
        run(tmp_path, detector, {"a.jpg": PORTRAIT}, Labels(tmp_path / "nowhere.jsonl"))


@pytest.mark.parametrize("labels", [Labels(Path("x.jsonl")), Labels(identity="folders")])
def test_shards_have_their_labels_in_them(tmp_path, detector, shards, labels):
    with pytest.raises(UniPortraitError, match="Leave --captions out, and give --identity column or none"):
        prepare(Settings(shards, detector, labels), tmp_path / "shards")


def test_shards_without_captions(tmp_path, detector, shards):
    with pytest.raises(UniPortraitError, match="4 shards .* hold 15 pictures and no captions.*--caption-column"):
        prepare(Settings(shards, detector, Labels(caption_column="text")), tmp_path / "shards")


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ("mtcnn:x", "'mtcnn:x' names no detector"),
        ("yunet", "'yunet' names no detector"),
        ("yunet:nowhere.onnx", r"nowhere\.onnx cannot be read"),
        ("insightface:nowhere", "nowhere holds no detection model"),
    ],
)
def test_a_detector_that_is_none(tmp_path, detector, message):
    with pytest.raises(UniPortraitError, match=message):
        run(tmp_path, detector, {"a.jpg": PORTRAIT, "a.txt": "a"})
    assert not (tmp_path / "shards").exists()


def test_a_source_that_is_not_there(tmp_path, detector):
    with pytest.raises(UniPortraitError, match="nowhere was not found"):
        prepare(Settings(tmp_path / "nowhere", detector), tmp_path / "shards")


def test_an_output_inside_the_source(source, settings):
    with pytest.raises(UniPortraitError, match="Choose a folder beside it"):
        prepare(settings, source / "shards")


def test_an_output_of_other_settings(settings, tmp_path):
    prepare(settings, tmp_path / "shards")
    before = everything(tmp_path / "shards")
    filters = replace(settings.filters, min_face=13)
    with pytest.raises(UniPortraitError, match=r"other settings or other pictures: min_face was 12 and is 13\. Give"):
        prepare(replace(settings, filters=filters), tmp_path / "shards")
    assert everything(tmp_path / "shards") == before


def test_an_output_of_other_pictures(tmp_path, detector):
    run(tmp_path, detector, {"a.jpg": PORTRAIT, "a.txt": "a"})
    with pytest.raises(UniPortraitError, match=r"pictures was 1 and is 2"):
        run(tmp_path, detector, {"b.jpg": PORTRAIT, "b.txt": "b"})


def test_an_output_of_something_else(settings, tmp_path):
    (tmp_path / "thesis.doc").write_text("ten years of work")
    with pytest.raises(UniPortraitError, match="files that are not of a run of prepare"):
        prepare(settings, tmp_path)
    assert everything(tmp_path) == {"thesis.doc": b"ten years of work"}


def test_pictures_to_train_on_without_a_detector(source):
    with pytest.raises(UniPortraitError, match="with a face detector only"):
        prepared(str(source), None)


def test_a_full_disk_leaves_nothing_half_written(settings, tmp_path):
    """A limit on the length of files is met as a full disk is: in the middle of a write."""
    prepare(settings, tmp_path / "whole")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "whole").glob("*.tar")}
    output = tmp_path / "shards"
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(sizes.values()) // 2, most))
    try:
        with pytest.raises(
            UniPortraitError, match=r"000000\.tar cannot be written \(File too large\).*Free some space"
        ):
            prepare(settings, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert sorted(everything(output)) == ["journal/settings.json"]
    prepare(settings, output)
    assert everything(output) == everything(tmp_path / "whole")


def arguments(settings: Settings, output: Path) -> list[str]:
    """The command line for settings."""
    options = {"detector": settings.detector, "identity": settings.labels.identity, "shard_size": settings.shard_size}
    options |= vars(settings.filters) | {"workers": 1}
    pairs = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
    return ["prepare", str(settings.source), str(output), *(word for pair in pairs for word in pair)]


# The command


def test_the_command_says_what_it_did(settings, shards, tmp_path, capsys):
    assert main(arguments(settings, tmp_path / "shards")) == 0
    said = capsys.readouterr()
    assert "15 of 15 pictures prepared. People: 6 of 1, 3 of 2, 3 of 3, 3 of 4." in said.out
    assert "Left out: nothing." in said.out and "report.md" in said.out
    assert "15/15" in said.err  # the bar
    assert everything(tmp_path / "shards") == everything(shards)


def test_the_command_shows_errors_as_text(settings, tmp_path, capsys):
    assert main([*arguments(settings, tmp_path), "--cache", "--base", "x"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: --cache was given without --clip-vision and --face-backbone.")


@pytest.mark.parametrize("option", [["--workers", "0"], ["--identity", "faces"], ["--shard-size", "many"]])
def test_the_command_refuses_what_makes_no_sense(settings, tmp_path, option, capsys):
    with pytest.raises(SystemExit):
        main([*arguments(settings, tmp_path), *option])
    assert option[0] in capsys.readouterr().err
