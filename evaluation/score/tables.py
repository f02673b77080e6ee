"""Tables of summaries, in Markdown, CSV and LaTeX, with the published rows beside one's own."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..metrics.bootstrap import Estimate
from ..settings import read_settings
from .summary import METRICS, Metric, Numbers, Summary

PUBLISHED = Path(__file__).with_name("published.toml")
ARROWS = {"higher": "↑", "lower": "↓", "": ""}
DASH = "–"
LATEX_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "": ""}
LATEX_WORDS = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
LATEX_CHARACTERS = {**LATEX_WORDS, "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: of the method, the kind of prompt or the person.
        numbers: by key of the metric.
        published: whether they are quoted, not measured.
    """

    name: str
    numbers: Numbers
    published: bool = False


def published_rows(people: int, file: Path = PUBLISHED) -> list[Row]:
    """The published rows for pictures of so many people."""
    rows = []
    for table in read_settings(file).tables("row"):
        keys = [metric for metric in METRICS if metric.key in table.values]
        table.only(("name", "people", *(metric.key for metric in METRICS)))
        if table.get("people", int) == people:
            numbers = {metric.key: Estimate(table.get(metric.key, float) / metric.scale) for metric in keys}
            rows.append(Row(table.get("name", str), numbers, published=True))
    return rows


def rows_of(summaries: Sequence[Summary]) -> list[Row]:
    """One row for each folder, then the published ones that belong beside them."""
    own = [Row(summary.name, summary.numbers) for summary in summaries]
    sizes = sorted({len(score.picture.people) for summary in summaries for score in summary.scores})
    rows = [(size, row) for size in sizes for row in published_rows(size)]
    if len(sizes) > 1:  # a method has a row for each
        rows = [(size, replace(row, name=f"{row.name}, pictures of {size}")) for size, row in rows]
    return own + [row for _, row in rows]


def parts_of(parts: Mapping[str, Numbers]) -> list[Row]:
    """One row for each kind of prompt, or each person."""
    return [Row(name, numbers) for name, numbers in parts.items()]


def columns_of(rows: Sequence[Row]) -> list[Metric]:
    """The metrics that some own row has."""
    return [metric for metric in METRICS if any(metric.key in row.numbers for row in rows if not row.published)]


def markdown(rows: Sequence[Row], first: str = "method") -> str:
    """A table in Markdown: means, and the intervals in brackets."""
    columns = columns_of(rows)
    head = [first, *(f"{metric.name} {ARROWS[metric.better]}".strip() for metric in columns)]
    lines = [head, ["---"] * len(head)]
    lines += [[_name(row).replace("|", r"\|"), *_cells(row, columns)] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex(rows: Sequence[Row], first: str = "method") -> str:
    """A table in LaTeX, for the package booktabs; the best of each column is bold."""
    columns = columns_of(rows)
    best = {metric.key: _best(rows, metric) for metric in columns}
    head = " & ".join([first, *(f"{metric.name}{LATEX_ARROWS[metric.better]}" for metric in columns)])
    lines = [rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    for row in rows:
        cells = [_latex_cell(row.numbers.get(metric.key), metric, best[metric.key]) for metric in columns]
        lines.append(rf"{' & '.join([_escaped(_name(row)), *cells])} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def comma_separated(rows: Sequence[Row], first: str = "method") -> str:
    """A table in CSV, scaled as in the others: each metric with the ends of its interval and its number of pictures."""
    columns = columns_of(rows)
    names = [f"{metric.key}{part}" for metric in columns for part in ("", "_low", "_high", "_pictures")]
    lines = [[first, "published", *names]]
    for row in rows:
        cells = []
        for metric in columns:
            found = row.numbers.get(metric.key, Estimate(math.nan))
            numbers = (found.value, found.low, found.high)
            cells += ["" if _missing(number) else repr(round(number * metric.scale, 6)) for number in numbers]
            cells.append(str(found.count or ""))
        lines.append([row.name, str(row.published).lower(), *cells])
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()


def cell(found: Estimate | None, metric: Metric) -> str:
    """A number with its interval, in words of text."""
    if found is None or _missing(found.value):
        return DASH
    text = _number(found.value, metric)
    if found.low is None or found.high is None:
        return text
    return f"{text} [{_number(found.low, metric)}, {_number(found.high, metric)}]"


def _cells(row: Row, columns: Sequence[Metric]) -> list[str]:
    return [cell(row.numbers.get(metric.key), metric) for metric in columns]


def _name(row: Row) -> str:
    return f"{row.name} (published)" if row.published else row.name


def _number(value: float, metric: Metric) -> str:
    return f"{value * metric.scale:.{metric.decimals}f}"


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _best(rows: Sequence[Row], metric: Metric) -> float:
    values = [row.numbers[metric.key].value for row in rows if metric.key in row.numbers]
    values = [value for value in values if not _missing(value)]
    return (min if metric.better == "lower" else max)(values, default=math.nan)


def _latex_cell(found: Estimate | None, metric: Metric, best: float) -> str:
    if found is None or _missing(found.value):
        return "--"
    text = cell(found, metric)
    number, _, interval = text.partition(" ")
    number = rf"\textbf{{{number}}}" if found.value == best else number
    return rf"{number} {{\scriptsize {interval}}}" if interval else number


def _escaped(text: str) -> str:
    return "".join(LATEX_CHARACTERS.get(character, character) for character in text)
