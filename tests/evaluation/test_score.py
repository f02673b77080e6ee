"""Scoring folders of painted people, whose similarities are known."""

import csv
import logging
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import benchmark
import painted
from evaluation.metrics.frechet import distance, fit
from evaluation.models.registry import load_models
from evaluation.pictures.folder import read_folder
from evaluation.pictures.manifest import MANIFEST
from evaluation.pictures.reading import read_picture
from evaluation.protocol.protocol import read_protocol
from evaluation.score.cache import FeatureCache
from evaluation.score.features import extract, face_extractor
from evaluation.score.run import check_fid, named_folders, notes_on, score_folder
from evaluation.score.scores import Score, Scorer
from fake_comfy import fake_comfy
from uniportrait_core.errors import UniPortraitError

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
# anna, bert; two prompts; two pictures of each
SINGLES = {
    (0, 0, 0): ["anna"],  # right
    (0, 0, 1): ["carl"],  # 0.6 like anna
    (0, 1, 0): ["bert", "carl"],  # more faces than people; carl is the nearer
    (0, 1, 1): [],  # no face
    (1, 0, 0): ["bert"],
    (1, 0, 1): ["carl"],  # 0.8 like bert
    (1, 1, 0): ["dora"],  # not like bert at all
    (1, 1, 1): ["bert"],
}


@pytest.fixture
def scorer(tmp_path, state):
    models = load_models(benchmark.write_models(tmp_path), CPU)
    return Scorer(models, FeatureCache(tmp_path / "cache.sqlite"), state, batch=3)


def pictures_of(tmp_path, pictures=SINGLES, **options):
    protocol = read_protocol(benchmark.write_protocol(tmp_path, **{"people": {"anna": 1, "bert": 2}, **options}))[0]
    return read_folder(benchmark.write_pictures(tmp_path / "pictures", pictures), protocol)


def by_place(scores: list[Score]) -> dict[tuple[int, ...], Score]:
    return {tuple(map(int, re.findall(r"\d{4}", score.picture.file.stem))): score for score in scores}


def test_one_person(scorer, tmp_path):
    scores = by_place(scorer.scores(pictures_of(tmp_path)))
    found = {place: score.face_sim for place, score in scores.items()}
    assert found == pytest.approx(
        {
            (0, 0, 0): 1, (0, 0, 1): 0.6, (0, 1, 0): 0.6, (0, 1, 1): 0,
            (1, 0, 0): 1, (1, 0, 1): 0.8, (1, 1, 0): 0, (1, 1, 1): 1,
        },
        abs=0.01,
    )  # fmt: skip
    assert [score.blending for score in scores.values()] == [None, None, pytest.approx(0.8, abs=0.01), *[None] * 5]
    assert scores[0, 1, 0].picture.kind == "action" and scores[0, 1, 0].picture.prompt == "a man who sings"
    summary = score_folder(scorer, "x", pictures_of(tmp_path), resamples=50)
    assert summary.numbers["face_sim"].value == pytest.approx(5 / 8, abs=0.01)
    assert summary.numbers["blending"].count == 1
    assert {kind: numbers["face_sim"].value for kind, numbers in summary.kinds.items()} == pytest.approx(
        {"style": 3.4 / 4, "action": 1.6 / 4}, abs=0.01
    )
    assert {name: numbers["face_sim"].value for name, numbers in summary.people.items()} == pytest.approx(
        {"anna": 2.2 / 4, "bert": 2.8 / 4}, abs=0.01
    )
    assert (summary.without_face, summary.too_few, summary.too_many) == (1, 1, 1)


def test_two_people(scorer, tmp_path):
    pictures = {
        (0, 0, 0): ["bert", "anna"],  # right, in another order
        (0, 0, 1): ["anna", "anna"],  # bert is missing: he gets what is left
        (0, 1, 0): ["anna"],  # bert has no face
        (0, 1, 1): ["carl", "anna", "dora"],  # carl is 0.8 like bert
    }
    prompts = "# style\n{people}\n# action\n{people} sing\n"
    scores = scorer.scores(pictures_of(tmp_path, pictures, size=2, prompts=prompts))
    assert [score.face_sim for score in scores] == pytest.approx([1, 0, 0, 0.8], abs=0.01)
    assert [score.blending for score in scores] == [
        pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01), None, pytest.approx(0.6 / 3, abs=0.01),
    ]  # fmt: skip
    assert scores[0].picture.people == ("anna", "bert")


def test_all_faces_or_the_largest(tmp_path, state):
    """FastComposer's own code looks at as many of the largest faces as there are people."""
    pictures = pictures_of(tmp_path, {(0, 0, 0): []}, people={"anna": 1})
    crowd = np.concatenate([painted.paint([painted.PEOPLE["dora"]], 96), np.full((128, 64, 3), 128, np.uint8)], axis=1)
    crowd[:64, -64:] = painted.paint([painted.PEOPLE["anna"]])[:, :64]
    Image.fromarray(crowd).save(pictures[0].file)
    models = load_models(benchmark.write_models(tmp_path), CPU)
    cache = FeatureCache(tmp_path / "cache.sqlite")
    found = [Scorer(models, cache, state, faces=faces).scores(pictures)[0] for faces in ("all", "largest")]
    assert [score.face_sim for score in found] == pytest.approx([1, 0], abs=0.01)
    assert [len(score.faces) for score in found] == [2, 1]
    assert [score.faces_found for score in found] == [2, 2]
    many = [score_folder(Scorer(models, cache, state, faces=f), "x", pictures).too_many for f in ("all", "largest")]
    assert many == [1, 1], "faces that are found, whichever count"


def test_a_picture_is_the_same_in_every_file(scorer, tmp_path):
    """PNG, JPEG, JPEG turned by EXIF, WebP with an alpha channel, BMP twice as large."""
    pictures = pictures_of(tmp_path, {(0, 0, 0): ["carl", "anna"]}, people={"anna": 1, "bert": 1})
    file = pictures[0].file
    picture = Image.open(file)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    variants = {
        "png": lambda path: picture.save(path),
        "jpg": lambda path: picture.save(path, quality=95),
        "jpeg": lambda path: picture.rotate(90, expand=True).save(path, quality=95, exif=exif),
        "webp": lambda path: picture.convert("RGBA").save(path, lossless=True),
        "bmp": lambda path: picture.resize((picture.width * 2, picture.height * 2)).save(path),
    }
    for ending, save in variants.items():
        scale = 2 if ending == "bmp" else 1
        folder = tmp_path / ending
        folder.mkdir()
        save(folder / f"{file.stem}.{ending}")
        pixels = read_picture(folder / f"{file.stem}.{ending}")[::scale, ::scale]
        assert np.abs(pixels.astype(int) - np.asarray(picture)).mean() < 3, ending
        (score,) = scorer.scores(read_folder(folder, read_protocol(tmp_path / "protocol.toml")[0]))
        assert (score.face_sim, score.blending) == pytest.approx((1, 0.6), abs=0.03), ending


def test_identical_pictures_have_identical_scores(scorer, tmp_path):
    pictures = pictures_of(tmp_path, {(0, 0, instance): ["carl", "anna"] for instance in (0, 1)})
    one, other = scorer.scores(pictures)
    assert (one.face_sim, one.blending) == (other.face_sim, other.blending)


def test_clip_t_taste_and_fid(tmp_path, state, clip_folder):
    draw = np.random.default_rng(0)
    torch.save({"0.weight": torch.from_numpy(draw.normal(size=(1, 16))), "0.bias": torch.zeros(1)}, tmp_path / "a.pth")
    pictures = pictures_of(tmp_path)
    extra = {"text_image": f"clip:{clip_folder}", "aesthetic": "laion:a.pth", "fid_features": "painted.load_features"}
    models = load_models(benchmark.write_models(tmp_path, **extra), CPU)
    scorer = Scorer(models, FeatureCache(tmp_path / "cache.sqlite"), state, batch=3)
    reference = benchmark.write_pictures(tmp_path / "reference", {**SINGLES, (0, 1, 1): ["dora"], (1, 1, 0): ["anna"]})
    summary = score_folder(scorer, "x", pictures, reference, resamples=50, fid_resamples=20)
    clip = models.text_image.run
    pixels = [np.asarray(Image.open(picture.file)) for picture in pictures]
    seen, said = clip.embed_pictures(pixels), clip.embed_texts([picture.prompt for picture in pictures])
    assert [score.clip_t for score in summary.scores] == pytest.approx((seen * said).sum(-1).tolist(), abs=1e-5)
    assert [score.aesthetic for score in summary.scores] == pytest.approx(models.aesthetic.run(seen).tolist(), abs=1e-5)
    features = models.fid_features.run
    others = [np.asarray(Image.open(file)) for file in sorted(reference.iterdir())]
    fid = summary.numbers["fid"]
    assert fid.value == pytest.approx(distance(fit(features(pixels)), fit(features(others))), rel=1e-6)
    assert fid.low < fid.value < fid.high
    same = shutil.copytree(pictures[0].file.parent, tmp_path / "same")
    fid = score_folder(scorer, "x", pictures, same).numbers["fid"]
    assert fid.value == pytest.approx(0, abs=1e-6) and fid.low is None
    assert "fid" not in score_folder(scorer, "x", pictures, pictures[0].file.parent).numbers, "to itself says nothing"
    (tmp_path / "one").mkdir()
    shutil.copy(pictures[0].file, tmp_path / "one")
    with pytest.raises(UniPortraitError, match="FID needs two pictures or more"):
        score_folder(scorer, "x", pictures, tmp_path / "one")


def test_several_photos_of_a_person_are_averaged(scorer, tmp_path):
    pictures = pictures_of(tmp_path, {(0, 0, 0): ["carl"]}, people={"anna": 2})
    painted.save(tmp_path / "photos" / "anna1.png", [painted.PEOPLE["bert"]])
    (score,) = scorer.scores(pictures)
    assert score.face_sim == pytest.approx((0.6 + 0.8) / 2**0.5, abs=0.01)


# What goes wrong


def test_a_reference_without_a_face_is_named(scorer, tmp_path):
    pictures = pictures_of(tmp_path)
    painted.save(tmp_path / "photos" / "bert1.png", [])
    with pytest.raises(UniPortraitError, match=r"No face found in .*bert1\.png, a reference of bert"):
        scorer.scores(pictures)


def test_a_picture_that_cannot_be_read_is_named_and_what_was_seen_is_kept(scorer, tmp_path):
    pictures = pictures_of(tmp_path)
    broken = pictures[-1].file
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(UniPortraitError, match=f"{broken.name} cannot be read as a picture"):
        scorer.scores(pictures)
    extractor = face_extractor(scorer.models)
    known = scorer.cache.known(extractor.identity)
    kept = [content in known for content in scorer.cache.contents([picture.file for picture in pictures])]
    assert kept == [True] * 6 + [False] * 2, "the first batch; dora and the broken one are in the second"


def test_a_photo_that_is_gone_is_named(scorer, tmp_path):
    pictures = pictures_of(tmp_path)
    pictures[-1].references[0][0].unlink()
    with pytest.raises(UniPortraitError, match=r"bert0\.png cannot be read \(No such file"):
        scorer.scores(pictures)


def test_half_of_what_fid_needs_is_an_error(tmp_path):
    models = load_models(benchmark.write_models(tmp_path), CPU)
    with pytest.raises(UniPortraitError, match="There is --fid-reference but no `fid_features`"):
        check_fid(models, tmp_path)
    models = load_models(benchmark.write_models(tmp_path, fid_features="painted.load_features"), CPU)
    with pytest.raises(UniPortraitError, match="There is `fid_features` .* but no --fid-reference"):
        check_fid(models, None)


def test_notes_are_on_what_was_measured(scorer, tmp_path):
    summary = score_folder(scorer, "x", pictures_of(tmp_path))
    text = " ".join(notes_on(scorer, [summary], None, 7))
    assert "Face Sim: all faces" in text and "--faces largest" in text and "FID" not in text
    largest = " ".join(notes_on(replace(scorer, faces="largest"), [summary], None, 7))
    assert "Not of the published protocol" not in largest
    assert "Face Sim" not in " ".join(notes_on(scorer, [replace(summary, numbers={})], None, 7))


def test_names_that_files_would_share_and_pictures_that_are_there_twice(tmp_path):
    with pytest.raises(UniPortraitError, match="are called a b and a_b"):
        named_folders(["a b=x", "a_b=y"])
    pictures = pictures_of(tmp_path)
    Image.open(pictures[0].file).save(pictures[0].file.with_suffix(".jpg"))
    with pytest.raises(UniPortraitError, match="0000.jpg and .*0000.png, which are one picture's name"):
        read_folder(pictures[0].file.parent, read_protocol(tmp_path / "protocol.toml")[0])


def test_names_and_protocol_that_do_not_match(tmp_path, caplog):
    protocol = read_protocol(benchmark.write_protocol(tmp_path, {"anna": 1, "bert": 1}))[0]
    folder = benchmark.write_pictures(tmp_path / "pictures", SINGLES)
    with pytest.raises(UniPortraitError, match="has no manifest.jsonl, so nothing says"):
        read_folder(folder)
    (folder / benchmark.name_of(0, 0, 0)).unlink()
    (folder / "other.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert len(read_folder(folder, protocol)) == 7
    assert "1 of 8 pictures of the protocol are missing" in caplog.text and "1 pictures are not scored" in caplog.text
    painted.save(folder / benchmark.name_of(0, 2, 0), [])
    with pytest.raises(
        UniPortraitError, match="0002_instance_0000.png and 0 others are not in the protocol test, which"
    ):
        read_folder(folder, protocol)
    with pytest.raises(UniPortraitError, match="is not a folder"):
        read_folder(tmp_path / "nowhere", protocol)
    with pytest.raises(UniPortraitError, match="has no pictures"):
        read_folder(tmp_path, protocol)
    shutil.rmtree(folder)
    painted.save(folder / "a.png", [])
    with pytest.raises(UniPortraitError, match="No picture in .* is called like subject_0000"):
        read_folder(folder, protocol)


def test_a_manifest_that_was_cut_off_is_scored_as_far_as_it_goes(tmp_path, caplog):
    from test_generate import run

    file = benchmark.write_protocol(tmp_path, {"anna": 1, "bert": 1})
    with fake_comfy() as server:
        folder = run(file, server)
    assert len(read_folder(folder)) == 8
    manifest = folder / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-60])
    with caplog.at_level(logging.WARNING):
        pictures = read_folder(folder)
    assert len(pictures) == 7 and "1 pictures are not scored" in caplog.text
    assert all(photo.is_file() for picture in pictures for photos in picture.references for photo in photos)
    pictures[0].file.unlink()
    painted.save(pictures[1].file, [painted.PEOPLE["dora"]])
    with caplog.at_level(logging.WARNING):
        assert len(read_folder(folder)) == 6
    assert "1 pictures are not as they were made" in caplog.text


# The cache


class CountingExtractor:
    name, identity = "counted", "counted:1"

    def __init__(self):
        self.seen = []

    def __call__(self, pictures):
        self.seen += [picture.shape for picture in pictures]
        return [{"vector": picture.mean((0, 1))} for picture in pictures]


def test_features_are_found_once_for_each_content_and_model(tmp_path, state):
    files = [painted.save(tmp_path / f"{n}.png", [painted.PEOPLE[n]]) for n in ("anna", "bert", "dora")]
    (tmp_path / "copy.png").write_bytes(files[0].read_bytes())
    extractor = CountingExtractor()

    def see(names, batch=2):
        cache = FeatureCache(tmp_path / "cache.sqlite")
        return extract(extractor, [tmp_path / f"{name}.png" for name in names], cache, batch, state)

    first = see(["anna", "bert", "dora", "copy"])
    assert len(extractor.seen) == 3 and len(first) == 4
    np.testing.assert_array_equal(first[0]["vector"], first[3]["vector"])
    np.testing.assert_array_equal(see(["dora", "anna"])[1]["vector"], first[0]["vector"])
    assert len(extractor.seen) == 3
    painted.save(files[1], [painted.PEOPLE["carl"]])
    os.utime(files[1], ns=(1, 1))
    assert (see(["bert"])[0]["vector"] != first[1]["vector"]).any() and len(extractor.seen) == 4
    extractor.identity = "counted:2"
    see(["anna"])
    assert len(extractor.seen) == 5


# The command


def score_command(tmp_path: Path, *launcher: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    arguments = ["-m", "evaluation", "score", f"mine={tmp_path / 'pictures'}", str(tmp_path / "other")]
    arguments += ["--protocol", str(tmp_path / "protocol.toml"), "--models", str(tmp_path / "models.toml")]
    arguments += ["--output", str(tmp_path / "report"), "--cache", str(tmp_path / "cache.sqlite"), "--batch", "2"]
    arguments += ["--fid-reference", str(tmp_path / "other"), "--fid-resamples", "5", *options]
    command = [sys.executable, *launcher, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "launcher",
    [(), ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
          "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0")],
    ids=["one process", "two processes"],
)  # fmt: skip
def test_a_report(tmp_path, launcher):
    pictures_of(tmp_path)
    shutil.copytree(tmp_path / "pictures", tmp_path / "other")
    benchmark.write_models(tmp_path, fid_features="painted.load_features")
    run = score_command(tmp_path, *launcher)
    assert run.returncode == 0, run.stderr
    report = tmp_path / "report"
    with (report / "scores.csv").open() as stream:
        rows = {(row["method"], row["published"]): row for row in csv.DictReader(stream)}
    mine = rows["mine", "false"]
    assert float(mine["face_sim"]) == pytest.approx(62.5, abs=0.5) and mine["face_sim_pictures"] == "8"
    assert float(mine["face_sim_low"]) < 62.5 < float(mine["face_sim_high"]) and float(mine["fid"]) == pytest.approx(0)
    assert rows["UniPortrait", "true"]["face_sim"] == "71.1" and ("other", "false") in rows
    with (report / "pictures.csv").open() as stream:
        pictures = list(csv.DictReader(stream))
    assert len(pictures) == 16 and pictures[2]["faces"] == "2" and pictures[3]["face_sim"] == "0.0"
    page = (report / "index.html").read_text("utf-8")
    shown = re.findall(r'src="([^"]+)"', page)
    assert shown and all(Image.open(report / name).size for name in shown)
    for words in ("Face Sim: best", "Face Sim: worst", "UniPortrait (published)", "style", "bert", "1 without a face"):
        assert words in page, words
    markdown = (report / "scores.md").read_text("utf-8")
    assert "| mine | 62." in markdown and "painted.load_recogniser" in markdown
    assert (report / "scores.tex").read_text("utf-8").startswith(r"\begin{tabular}")


def test_mistakes_at_the_command_line_are_told_in_a_sentence(tmp_path):
    pictures_of(tmp_path)
    benchmark.write_models(tmp_path, fid_features="painted.load_features")
    (tmp_path / "other").mkdir()
    run = score_command(tmp_path, options=("--batch", "0"))
    assert run.returncode == 1 and "--batch is 0, needed is 1 or more" in run.stderr
    run = score_command(tmp_path)
    assert run.returncode == 1 and "has no pictures" in run.stderr and "Traceback" not in run.stderr
