"""Tables in all forms: what is measured beside what was published."""

import csv
import io
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluation.metrics.bootstrap import Estimate
from evaluation.pictures.folder import Picture
from evaluation.score.page import choose
from evaluation.score.scores import Score
from evaluation.score.summary import BLENDING, FACE_SIM, summarise
from evaluation.score.tables import Row, comma_separated, latex, markdown, published_rows, rows_of

ROWS = [
    Row("a|b_c", {"face_sim": Estimate(0.7114, 0.7, 0.722, 40), "fid": Estimate(55.26)}),
    Row("d & e", {"face_sim": Estimate(0.5), "blending": Estimate(math.nan)}),
    Row("f", {"face_sim": Estimate(0.9)}, published=True),
]


def test_markdown():
    head, _, one, two, three = markdown(ROWS).splitlines()
    assert head == "| method | Face Sim ↑ | FID ↓ | BS ↓ |"
    assert one == r"| a\|b_c | 71.1 [70.0, 72.2] | 55.3 | – |"
    assert two == "| d & e | 50.0 | – | – |" and three == "| f (published) | 90.0 | – | – |"


def test_latex_escapes_and_the_best_is_bold():
    lines = latex(ROWS).splitlines()
    assert lines[4] == r"a|b\_c & 71.1 {\scriptsize [70.0, 72.2]} & \textbf{55.3} & -- \\"
    assert lines[5] == r"d \& e & 50.0 & -- & -- \\" and lines[6] == r"f (published) & \textbf{90.0} & -- & -- \\"


def test_latex_has_a_word_for_every_special_character():
    (line,) = [line for line in latex([Row(r"a\b^c~d", {"fid": Estimate(1.0)})]).splitlines() if line.startswith("a")]
    assert line.startswith(r"a\textbackslash{}b\textasciicircum{}c\textasciitilde{}d &")


def test_comma_separated():
    one, two, three = csv.DictReader(io.StringIO(comma_separated(ROWS)))
    assert (one["face_sim"], one["face_sim_low"], one["face_sim_pictures"]) == ("71.14", "70.0", "40")
    assert two["fid"] == two["blending"] == "" and three["published"] == "true"


def test_published_rows():
    one, two = ({row.name: row.numbers for row in published_rows(size)} for size in (1, 2))
    found = [one["UniPortrait"]["face_sim"], two["UniPortrait"]["face_sim"], two["SD1.5"]["blending"]]
    assert [estimate.value for estimate in found] == pytest.approx([0.711, 0.673, 0.203]) and not published_rows(3)
    ablation = [numbers["face_sim"].value for name, numbers in one.items() if "Table 3" in name]
    assert ablation == pytest.approx([0.455, 0.583, 0.614, 0.645, 0.684])


def test_a_published_method_has_a_row_for_each_size():
    def folder(size: int) -> SimpleNamespace:
        picture = SimpleNamespace(people=("a",) * size)
        return SimpleNamespace(name=str(size), numbers={}, scores=[SimpleNamespace(picture=picture)])

    names = [row.name for row in rows_of([folder(1), folder(2)])]
    assert "UniPortrait, pictures of 1" in names and "UniPortrait, pictures of 2" in names
    assert len(set(names)) == len(names) and "UniPortrait" in [row.name for row in rows_of([folder(2)])]


def test_intervals_are_of_the_people_who_have_a_value():
    """Of eight people whose pictures have Face Sim, four have BS: too few to draw people."""
    names = [f"{number}" for number in range(8)]
    scores = [
        Score(Picture(Path(), "", "all", (name,), ()), face_sim=place / 8, blending=place / 8 if place < 4 else None)
        for place, name in enumerate(names)
        for _ in range(9)
    ]
    numbers = summarise("x", scores, None, 300).numbers
    alone = summarise("x", [score for score in scores if score.blending is not None], None, 300).numbers
    assert numbers["blending"] == alone["blending"]
    assert numbers["blending"].high - numbers["blending"].low < numbers["face_sim"].high - numbers["face_sim"].low


class Scored:
    def __init__(self, face_sim: float | None, blending: float | None = None):
        self.face_sim, self.blending = face_sim, blending


def test_the_best_the_median_and_the_worst_are_shown():
    scores = [Scored(number / 30) for number in range(30)] + [Scored(None)]
    shown = {sort: [round(s.face_sim * 30) for s in chosen] for sort, chosen in choose(scores, FACE_SIM).items()}
    assert shown == {"best": [29, 28, 27, 26], "median": [16, 15, 14, 13], "worst": [3, 2, 1, 0]}
    low = choose([Scored(1, number / 10) for number in range(4)], BLENDING)
    assert [low[sort][0].blending for sort in ("best", "worst")] == [0, 0.3], "of BS the lowest is best"
    assert list(choose([Scored(0.5)], FACE_SIM)) == ["all"]
