"""What `prepare` makes of good pictures, from every kind of source."""

import json
import tarfile
from dataclasses import replace

import cv2
import numpy as np
import photos
import pytest
from PIL import Image
from shard_content import facts, pixels, samples

from standins.detector import FACES, photo
from training.prepare.pictures import QUALITY
from training.prepare.run import prepare, prepared
from training.prepare.settings import Labels, Settings
from uniportrait_core.faces.alignment import align


def write_shard(path, members: dict[str, bytes]) -> None:
    """A WebDataset shard as anybody might write it."""
    folder = photos.write_source(path.parent / f"{path.stem}-files", members)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in members:
            tar.add(folder / name, name)


def run(tmp_path, detector, files, labels=None, **options):
    """Prepare files of a folder. Returns the report's numbers and the output folder."""
    source = photos.write_source(tmp_path / "source", files)
    settings = Settings(source, detector, labels or Labels(), photos.SMALL, **options)
    return prepare(settings, tmp_path / "shards"), tmp_path / "shards"


# A picture


def test_boxes_and_landmarks_are_those_of_the_faces(shards):
    found = facts(shards)["place1/picture004"]
    assert found["caption"] == "picture 4 of 4" and found["source"] == "place1/picture004.jpg"
    assert found["size"] == found["original_size"] == [192, 277]
    scale = 192 / photo("group").shape[0]
    assert len(found["faces"]) == 4
    for face, known in zip(found["faces"], FACES["group"], strict=False):  # from left to right, as these are
        np.testing.assert_allclose(face["box"], np.array(known.box) * scale, atol=2)
        np.testing.assert_allclose(face["landmarks"], np.array(known.landmarks) * scale, atol=1)
        assert 0.9 < face["confidence"] <= 1 and face["sharpness"] >= photos.SMALL.min_sharpness


def test_crops_are_the_cores_alignment_without_loss(shards, source):
    found = samples(shards)["place1/picture004"]
    whole = pixels((source / "place1/picture004.jpg").read_bytes())
    faces = json.loads(found["json"])["faces"]
    assert sorted(found) == ["face0.png", "face1.png", "face2.png", "face3.png", "jpg", "json"]
    for number, face in enumerate(faces):
        crop = pixels(found[f"face{number}.png"])
        assert crop.shape == (224, 224, 3)
        wanted = align(whole, np.array(face["landmarks"]), 224)  # of landmarks to a hundredth of a pixel
        assert np.abs(crop.astype(int) - wanted).mean() < 0.2


def test_a_file_that_will_do_is_kept_to_the_byte(shards, source):
    for key, members in samples(shards).items():
        assert members["jpg"] == (source / f"{key}.jpg").read_bytes()


def test_png_stays_without_loss_and_webp_becomes_jpeg(tmp_path, detector):
    files = {"a.png": photos.encoded(photos.portrait(), "png"), "b.webp": photos.encoded(photos.portrait(), "webp")}
    _, output = run(tmp_path, detector, files | {"a.txt": "a", "b.txt": "b"})
    found = samples(output)
    assert found["a"]["png"] == files["a.png"]
    assert "webp" not in found["b"]
    difference = np.abs(pixels(found["b"]["jpg"]).astype(int) - pixels(files["b.webp"]))
    assert QUALITY >= 95 and difference.mean() < 1.5


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 1), (8, 3)])  # and quarters that undo it
def test_pictures_are_turned_as_exif_says(tmp_path, detector, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.ascontiguousarray(np.rot90(photos.portrait(), turn))
    _, output = run(tmp_path, detector, {"a.jpg": photos.encoded(turned, exif=exif), "a.txt": "a"})
    ((found, members),) = zip(facts(output).values(), samples(output).values(), strict=True)
    kept = Image.open(tmp_path / "source/a.jpg")
    assert kept.getexif()[0x0112] == orientation
    scale = 192 / 512
    np.testing.assert_allclose(found["faces"][0]["box"], np.array(FACES["astronaut"][0].box) * scale, atol=2)
    assert np.abs(pixels(members["jpg"]).astype(int) - photos.portrait()).mean() < 3


def test_transparent_pictures_lie_on_white(tmp_path, detector):
    picture = np.dstack([photos.portrait(), np.full((192, 192), 255, np.uint8)])
    picture[:20, :, 3] = 0
    _, output = run(tmp_path, detector, {"a.png": photos.encoded(picture, "png"), "a.txt": "a"})
    found = pixels(samples(output)["a"]["png"])
    assert (found[:20] == 255).all() and np.array_equal(found[20:], photos.portrait()[20:])


def test_large_pictures_become_smaller_and_boxes_with_them(tmp_path, detector):
    files = {"a.jpg": photos.encoded(photos.portrait(384)), "a.txt": "a"}
    _, output = run(tmp_path, detector, files, max_size=192)
    (found,) = facts(output).values()
    assert found["size"] == [192, 192] and found["original_size"] == [384, 384]
    np.testing.assert_allclose(found["faces"][0]["box"], np.array(FACES["astronaut"][0].box) * 192 / 512, atol=2)
    assert pixels(samples(output)["a"]["jpg"]).shape == (192, 192, 3)


def test_dots_in_names_and_letters_of_all_kinds(tmp_path, detector):
    picture = photos.encoded(photos.portrait())
    files = {"v1.5/Grüße.von.Zoë.jpg": picture, "v1.5/Grüße.von.Zoë.txt": "Schöne Grüße 顔"}
    _, output = run(tmp_path, detector, files)
    assert {key: found["caption"] for key, found in facts(output).items()} == {"v1.5/Grüße_von_Zoë": "Schöne Grüße 顔"}


def test_yunet_finds_the_same_people(tmp_path, settings, shards):
    other = replace(settings, detector=photos.yunet(tmp_path))
    prepare(other, tmp_path / "shards")
    for key, found in facts(tmp_path / "shards").items():
        boxes = [[face["box"] for face in one["faces"]] for one in (found, facts(shards)[key])]
        np.testing.assert_allclose(*boxes, atol=3)


# Names of people


def test_folders_name_the_only_person(shards):
    found = {key: one["identity"] for key, one in facts(shards).items()}
    assert found["place0/picture000"] == ["place0"] and found["place0/picture006"] == ["place0"]
    assert found["place1/picture004"] == [None] * 4  # whose the name is, nobody can tell


def test_a_column_names_one_or_all_from_left_to_right(tmp_path, detector):
    rows = [
        {"path": "a.jpg", "text": "one", "who": "Ann"},
        {"path": "./b.jpg", "text": "two", "who": ["Bob", None]},
        {"path": "c.jpg", "text": "one name for two", "who": "Cem"},
        {"path": "d.jpg", "text": "three names for two", "who": ["Dan", "Eve", "Fay"]},
        {"path": "e.jpg", "text": "a number", "who": 7},
    ]
    people = {"a": 1, "b": 2, "c": 2, "d": 2, "e": 1}
    files = {f"{name}.jpg": photos.encoded(photos.group(count)) for name, count in people.items()}
    labels = tmp_path / "labels.jsonl"
    labels.write_text("\n".join(json.dumps(row) for row in rows))
    numbers, output = run(tmp_path, detector, files, Labels(labels, "path", "text", "column", "who"))
    wanted = {"a": ["Ann"], "b": ["Bob", None], "c": [None, None], "d": [None, None], "e": ["7"]}
    assert {key: found["identity"] for key, found in facts(output).items()} == wanted
    assert [found["caption"] for found in facts(output).values()] == [row["text"] for row in rows]
    assert numbers["names_not_used"] == {"count": 2, "first": ["c", "d"]} and numbers["identities"] == 3


# Shards as a source


def test_shards_give_the_same_as_a_folder(tmp_path, detector, source, shards):
    members: list[dict[str, bytes]] = [{}, {}]
    for number, path in enumerate(sorted(source.rglob("*.jpg"))):
        name = path.relative_to(source).with_suffix("").as_posix()
        caption = path.with_suffix(".txt").read_text()
        labels = {"caption": caption, "identity": name.split("/")[0]}
        members[number % 2] |= {f"{name}.jpg": path.read_bytes(), f"{name}.json": json.dumps(labels).encode()}
    (tmp_path / "tars").mkdir()
    for number, content in enumerate(members):
        write_shard(tmp_path / "tars" / f"{number}.tar", content)
    settings = Settings(tmp_path / "tars", detector, Labels(identity="column"), photos.SMALL)
    prepare(settings, tmp_path / "shards")
    found, wanted = samples(tmp_path / "shards"), samples(shards)
    assert list(found) == sorted(wanted)
    for key, content in found.items():
        assert content.keys() == wanted[key].keys()
        assert all(content[name] == wanted[key][name] for name in content if name != "json")
        described, before = (json.loads(one.pop("json")) for one in (content, wanted[key]))
        assert described.pop("source").endswith(f"tar:{before.pop('source')}") and described == before


def test_prepared_shards_are_a_source_as_well(tmp_path, detector, shards):
    settings = Settings(shards, detector, Labels(identity="column"), photos.SMALL)
    prepare(settings, tmp_path / "again")
    first, second = (
        {key: (one["caption"], one["identity"], one["faces"]) for key, one in facts(folder).items()}
        for folder in (shards, tmp_path / "again")
    )
    assert first == second


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_of_a_shard_that_was_cut_off_the_readable_part_is_used(tmp_path, detector, share):
    files = {key: value for key, value in photos.good_pictures(6).items()}
    (tmp_path / "tars").mkdir()
    content = {name: data if isinstance(data, bytes) else data.encode() for name, data in files.items()}
    write_shard(tmp_path / "tars/whole.tar", {"x.jpg": content["place0/picture000.jpg"], "x.txt": b"x"})
    write_shard(tmp_path / "tars/cut.tar", content)
    data = (tmp_path / "tars/cut.tar").read_bytes()
    length = int(len(data) * share)
    (tmp_path / "tars/cut.tar").write_bytes(data[:length])
    numbers = prepare(Settings(tmp_path / "tars", detector, Labels(), photos.SMALL), tmp_path / "shards")
    readable = [key for key in {name.split(".")[0] for name in content} if _ends(tmp_path, content, key) <= length]
    assert sorted(facts(tmp_path / "shards")) == sorted(["x", *readable]) and 1 <= len(readable) < 6
    assert numbers["shards_cut_off"] == ["cut.tar"]
    # A picture whose caption was behind the cut.
    assert numbers["left_out"].get("no caption", {"count": 0})["count"] <= 1


def _ends(tmp_path, content: dict[str, bytes], key: str) -> int:
    """Where a picture and its caption end in a shard of whole blocks with a header of one block for each member."""
    offset = 0
    for name, data in content.items():
        end = offset + 512 + len(data)
        if name == f"{key}.txt":
            return end
        offset += 512 + -(-len(data) // 512) * 512
    raise AssertionError(key)


# A plain folder for training


def test_a_plain_folder_is_prepared_once_beside_it(tmp_path, detector):
    picture = cv2.resize(photos.portrait(512), (512, 512))
    source = photos.write_source(tmp_path / "photos", {"a.jpg": photos.encoded(picture), "a.txt": "a"})
    first = prepared(str(source), detector)
    assert list(facts(tmp_path / "photos-prepared")) == ["a"] and first == str(tmp_path / "photos-prepared")
    before = (tmp_path / "photos-prepared/index.json").stat().st_mtime_ns
    assert prepared(str(source), None) == prepared(first, None) == first
    assert (tmp_path / "photos-prepared/index.json").stat().st_mtime_ns == before
