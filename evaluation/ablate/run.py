"""`ablate`: a grid of settings in, pictures, tables and curves out. What is there already is not made again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState

from uniportrait_core.errors import UniPortraitError

from ..generate.run import make_pictures
from ..generate.workflow import read_workflow
from ..metrics.bootstrap import RESAMPLES
from ..models.registry import load_models
from ..names import file_name
from ..pictures.folder import read_folder
from ..protocol.protocol import Protocol, read_protocol
from ..score.cache import FeatureCache, default_cache
from ..score.run import check_fid, notes_on, score_folder, write_report
from ..score.scores import Scorer
from .curves import draw_curve
from .grid import points_of, read_grid

logger = logging.getLogger("uniportrait")


def ablate(file: Path, servers: Sequence[str] = (), output: Path | None = None) -> list[Path]:
    """Make and score the pictures of every point, and draw the curves.

    Args:
        file: the ablation file.
        servers: addresses, in place of those in the protocol file.
        output: folder, in place of the one in the file.

    Returns:
        The figures.

    Raises:
        UniPortraitError: as `generate` and `score`.
    """
    grid = read_grid(file)
    output = output or grid.output
    protocol, settings = read_protocol(grid.protocol)
    workflow = read_workflow(settings.table("workflow"), len(protocol.groups[0]))
    servers = servers or settings.texts("servers")
    points = {curve: points_of(curve) for curve in grid.curves}
    plans = {  # all of them before the first picture, so that a wrong place is an error now
        point.folder: (with_photos(protocol, point.photos, point.label), workflow.with_settings(point.values))
        for found in points.values()
        for point in found
    }
    state = PartialState()
    scorer = Scorer(load_models(grid.models, state.device), FeatureCache(default_cache()), state)
    check_fid(scorer.models, grid.fid_reference)
    figures = []
    for curve, found in points.items():
        measured = []
        for point in found:
            folder = output / point.folder
            make_pictures(*plans[point.folder], servers, folder)
            name = " ".join(filter(None, (curve.along.name, point.line, point.label)))
            measured.append((point, score_folder(scorer, name, read_folder(folder), grid.fid_reference, RESAMPLES)))
        report = output / f"{file_name(curve.along.name)}-report"
        summaries = [summary for _, summary in measured]
        write_report(report, summaries, scorer.models, notes_on(scorer, summaries, grid.fid_reference, RESAMPLES))
        figures += draw_curve(curve, measured, output / file_name(curve.along.name))
        logger.info("%s: %s, %s", curve.along.name, figures[-1], report / "index.html")
    return figures


def with_photos(protocol: Protocol, count: int | None, label: str) -> Protocol:
    """The protocol with only so many photos of each person. Raises UniPortraitError where somebody has fewer."""
    if count is None:
        return protocol
    everybody = {person for group in protocol.groups for person in group}
    if short := sorted(person.name for person in everybody if len(person.photos) < count):
        raise UniPortraitError(
            f"{short[0]} has fewer than {count} photos, which the point {label} needs. Add photos, or take the point "
            "out."
        )
    groups = tuple(
        tuple(replace(person, photos=person.photos[:count]) for person in group) for group in protocol.groups
    )
    return replace(protocol, groups=groups)
