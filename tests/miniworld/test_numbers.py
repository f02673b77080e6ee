"""What is measured of the world, and the tables of it; and the weights that ship, as far as a test of seconds shows."""

import numpy as np
import pytest
import torch

from miniworld.files import SHIPPED, Files
from miniworld.numbers.artist import Artist
from miniworld.numbers.follow import ASKED, Reader
from miniworld.numbers.likeness import Judge, Scale, photo_of
from miniworld.numbers.measure import DRAWN, Measured, Studio, drawings
from miniworld.numbers.run import write_page
from miniworld.numbers.table import likeness, likeness_table, prompt_table, scale_of
from miniworld.numbers.trials import trials
from miniworld.world.picture import faces
from miniworld.world.seeds import TEST


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(Files(SHIPPED))


def measured(scores, company, blending=None, followed=1.0) -> Measured:
    """Pictures with these lowest similarities, of people who are each in one."""
    people = [tuple(range(company * n, company * (n + 1))) for n in range(len(scores))]
    return Measured(
        people, list(scores), list(scores), [blending] * len(scores),
        {question: [followed] * len(scores) for question in ASKED}, [0.1] * len(scores),
    )  # fmt: skip


def results(way: float) -> dict:
    drawn = {company: measured([0.9] * 8, company, 0.2) for company in (1, 2, 3)}
    return {DRAWN: drawn, "way": {company: measured([way] * 8, company, 0.3, 0.5) for company in (1, 2, 3)}}


def test_shares_lie_between_two_people_and_one():
    assert Scale(0.1, 0.9).share(0.1) == 0 and Scale(0.1, 0.9).share(0.9) == 1
    assert Scale(0.1, 0.9).share(0.5) == pytest.approx(0.5)
    found = scale_of(measured([0.8, 1.0], 1))
    assert (found.other, found.same) == pytest.approx((0.1, 0.9))


def test_likeness_is_that_of_the_person_who_is_hit_worst():
    assert likeness(results(0.5), "way", 2).value == pytest.approx(0.5)
    assert likeness(results(0.9), "way", 3).value == pytest.approx(1.0)


def test_the_tables_say_all_of_it():
    table = likeness_table(results(0.5)).splitlines()
    assert table[0] == "|  | one person | lower of two | lowest of three | blending of two | of three |"
    assert table[2].startswith("| drawings | 100") and table[3].startswith("| way | 50")
    assert "| 30 (30 to 30) |" in table[3]
    assert prompt_table(results(0.5)).splitlines()[3].count("50") >= len(ASKED) + 1


def test_the_page_gets_the_tables_and_keeps_the_rest(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- numbers: begin -->\nold\n<!-- numbers: end -->\nafter\n", "utf-8")
    write_page("| new |\n", page)
    assert "old" not in page.read_text("utf-8")
    write_page("| newer |\n", page)
    text = page.read_text("utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "| newer |" in text and "| new |" not in text


@pytest.mark.parametrize("company", [1, 2, 3])
def test_trials_show_everybody_once_and_nobody_of_training(company):
    found = trials(company, 200)
    people = [seed for trial in found for seed in trial.people]
    assert len(people) == len(set(people)) > 200 - company and set(people) <= set(TEST[:200])
    assert all(len(trial.people) == company for trial in found)


def test_the_detector_finds_everybody(judge):
    off = []
    for trial in trials(2, 20):
        found, wanted = judge.faces(trial.drawing(128)), faces(trial.scene, 128)
        assert len(found) == len(wanted)
        off += [np.abs(a.landmarks - b.landmarks).max() for a, b in zip(found, wanted, strict=True)]
    assert np.median(off) < 2.5  # pixels


def test_the_measuring_recogniser_tells_people_apart():
    scale = scale_of(Studio(Files(SHIPPED), 40).measure(trials(1, 40), drawings(128)))
    assert scale.same > scale.other + 0.3


def test_two_photos_of_one_person_are_alike(judge):
    first, second, other = (judge.person(photo_of(*who)) for who in ((TEST[0], 0), (TEST[0], 1), (TEST[1], 0)))
    assert first @ second > first @ other + 0.2


def test_what_drawings_show_is_read_off_them(judge):
    reader, right = Reader(Files(SHIPPED)), []
    for trial in trials(1, 30):
        picture = trial.drawing(128)
        right.append(reader.followed(picture, judge.faces(picture), trial.scene))
    for question in ("place", "number", "clothes", "clothes_colour", "hat"):
        assert np.mean([answers[question] for answers in right]) > 0.6, question
    nobody = reader.followed(trial.drawing(128), [], trial.scene)
    assert nobody["number"] == nobody["hat"] == 0


def test_masks_side_by_side_are_in_place_of_the_router():
    """People who change places with their masks are drawn in each other's: the picture of two who are one is one."""
    artist = Artist(Files(SHIPPED))
    first, second = artist.encode(torch.randint(255, (1, 2, 224, 224, 3), dtype=torch.uint8))[0]
    pictures = [
        artist.draw(["two people"], torch.stack(people)[None], [1], masked=masked)[0]
        for people, masked in (((first, second), True), ((second, first), True), ((first, first), True))
    ]
    alone = artist.draw(["two people"], first[None, None], [1])[0]
    assert np.abs(pictures[2].astype(int) - alone).max() <= 1
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 20
    asked = Artist(Files(SHIPPED), router=Files(SHIPPED).router)
    assert asked.draw(["two people"], torch.stack((first, second))[None], [1], masked=True)[1].maps() == []


def test_a_seed_draws_the_same_picture_whatever_is_drawn_beside_it():
    files = Files(SHIPPED)
    artist = Artist(files, router=files.router)
    people = artist.encode(torch.randint(255, (2, 2, 224, 224, 3), dtype=torch.uint8))
    both, record = artist.draw(["two people"] * 2, people, [1, 2])
    alone, _ = artist.draw(["two people"], people[1:], [2])
    assert np.abs(both[1].astype(int) - alone[0]).max() <= 1
    assert len(record.maps()) == 20
