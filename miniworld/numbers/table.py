"""The numbers as tables, with 95 % intervals."""

from collections.abc import Sequence

import numpy as np

from evaluation.metrics.bootstrap import RESAMPLES, Estimate, mean_with_interval, units_of

from .follow import ASKED
from .likeness import Scale
from .measure import COMPANIES, DRAWN, Measured

Results = dict[str, dict[int, Measured]]
COMPANY_NAMES = {1: "one person", 2: "lower of two", 3: "lowest of three"}
HEADS = {"clothes_colour": "colour"}


def scale_of(drawn: Measured) -> Scale:
    """0 % and 100 %: what the drawings' faces score against everybody else's photo, and against their own."""
    return Scale(float(np.mean([value for value in drawn.other if value is not None])), float(np.mean(drawn.mean)))


def estimate(values: Sequence[float | None], people: Sequence[tuple[int, ...]]) -> Estimate:
    """Mean and interval of the pictures that have a value; people are what is drawn anew."""
    known = [(value, who) for value, who in zip(values, people, strict=True) if value is not None]
    units = units_of([tuple(map(str, who)) for _, who in known])
    return mean_with_interval([value for value, _ in known], units, RESAMPLES)


def likeness(results: Results, way: str, company: int) -> Estimate:
    """Of the person who is hit worst, as a share of a drawing's."""
    measured, scale = results[way][company], scale_of(results[DRAWN][company])
    return estimate([scale.share(value) for value in measured.lowest], measured.people)


def likeness_table(results: Results) -> str:
    """Likeness and blending, way by way."""
    heads = [*COMPANY_NAMES.values(), "blending of two", "of three"]
    rows = []
    for way in results:
        cells = [_percent(likeness(results, way, company)) for company in COMPANIES]
        for company in COMPANIES[1:]:
            measured = results[way][company]
            cells.append(_percent(estimate(measured.blending, measured.people)))
        rows.append([way, *cells])
    return _table(["", *heads], rows)


def prompt_table(results: Results) -> str:
    """Shares of what was asked for, over all numbers of people, way by way."""
    rows = []
    for way, by_company in results.items():
        people = [who for company in COMPANIES for who in by_company[company].people]
        answers = {q: [v for company in COMPANIES for v in by_company[company].followed[q]] for q in ASKED}
        mean = np.mean([answers[question] for question in ASKED], axis=0).tolist()
        rows.append([way, *(_percent(estimate(values, people)) for values in (*answers.values(), mean))])
    return _table(["", *(HEADS.get(question, question) for question in ASKED), "all"], rows)


def _percent(found: Estimate) -> str:
    if found.count == 0:
        return "-"
    interval = "" if found.low is None else f" ({100 * found.low:.0f} to {100 * found.high:.0f})"
    return f"{100 * found.value:.0f}{interval}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
