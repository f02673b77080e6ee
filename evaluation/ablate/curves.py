"""Figures of an ablation: likeness against prompt, one line through the points of a setting."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..metrics.bootstrap import Estimate
from ..score.summary import CLIP_T, FACE_SIM, Metric, Summary
from .grid import Curve, Point


def draw_curve(curve: Curve, measured: Sequence[tuple[Point, Summary]], stem: Path) -> list[Path]:
    """Draw a curve as SVG and PNG; up and right is better.

    Args:
        curve: what was varied.
        measured: its points, line by line, and what was measured at each.
        stem: of the files, without ending.

    Returns:
        The files.
    """
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for line in dict.fromkeys(point.line for point, _ in measured):
        points = [(point, summary) for point, summary in measured if point.line == line]
        x, y = ([_scaled(summary, metric) for _, summary in points] for metric in (CLIP_T, FACE_SIM))
        label = f"{curve.by.name} {line}" if curve.by else None
        axes.errorbar(
            [value for value, _, _ in x],
            [value for value, _, _ in y],
            xerr=_bars(x),
            yerr=_bars(y),
            fmt="o-",
            elinewidth=0.5,
            capsize=2,
            label=label,
        )
        for (point, _), (across, *_), (up, *_) in zip(points, x, y, strict=True):
            axes.annotate(point.label, (across, up), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set_xlabel(f"{CLIP_T.name} (the prompt) →")
    axes.set_ylabel(f"{FACE_SIM.name} (likeness) →")
    axes.set_title(curve.along.name)
    axes.grid(alpha=0.3)
    if curve.by:
        axes.legend()
    files = [stem.with_name(f"{stem.name}.{ending}") for ending in ("svg", "png")]
    for file in files:
        figure.savefig(file, dpi=150)
    return files


def _scaled(summary: Summary, metric: Metric) -> tuple[float, float, float]:
    """Value and how far the interval reaches to each side."""
    found = summary.numbers.get(metric.key, Estimate(float("nan")))
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    return found.value * metric.scale, (found.value - low) * metric.scale, (high - found.value) * metric.scale


def _bars(scaled: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    return [[max(reach[side], 0) for reach in scaled] for side in (1, 2)]
