"""`score`: folders in, a report out."""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from accelerate import PartialState

from uniportrait_core.errors import UniPortraitError

from ..metrics.bootstrap import FEWEST, RESAMPLES, Estimate, units_of
from ..models.registry import LOADERS, Models, load_models
from ..names import file_name
from ..pictures.folder import Picture, picture_files, read_folder
from ..protocol.protocol import read_protocol
from .cache import FeatureCache, default_cache
from .page import write_page
from .scores import ALL, Scorer
from .summary import BLENDING, FACE_SIM, FID, OF_A_PICTURE, Summary, fid_with_interval, summarise
from .tables import comma_separated, latex, markdown, parts_of, rows_of

logger = logging.getLogger("uniportrait")


def score(options: argparse.Namespace) -> None:
    """Score folders as the command line says, and write the report; `accelerate launch` runs it in many processes.

    Raises:
        UniPortraitError: bad input.
    """
    for option, least in (("batch", 1), ("resamples", 0), ("fid_resamples", 0)):
        if getattr(options, option) < least:
            raise UniPortraitError(
                f"--{option.replace('_', '-')} is {getattr(options, option)}, needed is {least} or more. Change it."
            )
    state = PartialState()
    if not state.is_main_process:
        logger.setLevel(logging.ERROR)
    protocol = read_protocol(options.protocol)[0] if options.protocol else None
    folders = named_folders(options.folders)
    pictures = {name: read_folder(folder, protocol) for name, folder in folders.items()}
    scorer = Scorer(
        load_models(options.models, state.device),
        FeatureCache(options.cache or default_cache()) if state.is_main_process else None,
        state,
        options.batch,
        options.faces,
    )
    reference = options.fid_reference
    check_fid(scorer.models, reference)
    summaries = [
        score_folder(scorer, name, found, reference, options.resamples, options.fid_resamples)
        for name, found in pictures.items()
    ]
    if state.is_main_process:
        notes = notes_on(scorer, summaries, reference, options.resamples)
        write_report(options.output, summaries, scorer.models, notes)
        logger.info("%s\nReport: %s", markdown(rows_of(summaries)), options.output / "index.html")


def score_folder(
    scorer: Scorer,
    name: str,
    pictures: Sequence[Picture],
    fid_reference: Path | None = None,
    resamples: int = RESAMPLES,
    fid_resamples: int = 0,
) -> Summary:
    """Score the pictures of one folder.

    Args:
        scorer: with the models.
        name: of the method.
        pictures: of the folder.
        fid_reference: folder to compare with, for FID; without it, or where it is the folder itself, there is none.
        resamples, fid_resamples: of the bootstrap.
    """
    logger.info("%s: %d pictures.", name, len(pictures))
    scores, fid = scorer.scores(pictures), None
    if fid_reference is not None and not pictures[0].file.parent.samefile(fid_reference):
        fid = _fid(scorer, pictures, fid_reference, fid_resamples)
    return summarise(name, scores, fid, resamples)


def check_fid(models: Models, reference: Path | None) -> None:
    """Raises UniPortraitError where FID has a network but no reference, or a reference but no network."""
    if (reference is None) != (models.fid_features is None):
        found, missing = "--fid-reference", "`fid_features` in the models file"
        if reference is None:
            found, missing = missing, "--fid-reference (`fid_reference` in a grid)"
        raise UniPortraitError(f"There is {found} but no {missing}, and FID needs both. Give both, or neither.")
    if reference is not None:
        picture_files(reference)


def named_folders(folders: Sequence[str]) -> dict[str, Path]:
    """Folders by the name for the tables: `NAME=FOLDER`, or their own."""
    named = {}
    for folder in folders:
        name, _, path = folder.rpartition("=")
        path = Path(path)
        name = name or path.resolve().name
        if same := [other for other in named if file_name(other) == file_name(name)]:
            raise UniPortraitError(
                f"{named[same[0]]} and {path} are called {same[0]} and {name}, of which files of a report would have "
                "the same names. Give other names: NAME=FOLDER."
            )
        named[name] = path
    return named


def notes_on(scorer: Scorer, summaries: Sequence[Summary], fid_reference: Path | None, resamples: int) -> list[str]:
    """How what stands in the tables was measured, in sentences for the report."""
    measured = {key for summary in summaries for key in summary.numbers}
    notes = []
    models = {part: getattr(scorer.models, part) for part in LOADERS}
    used = ", ".join(f"{part} {model.spec} ({model.identity[-8:]})" for part, model in models.items() if model)
    notes.append(f"Models: {used}.")
    if FACE_SIM.key in measured:
        which = "all faces of a picture" if scorer.faces == ALL else "as many of the largest faces as people"
        notes.append(
            f"Face Sim: {which}, each person's most similar face; the lowest counts, below 0 and no face count 0."
        )
        if scorer.faces == ALL:
            notes.append(
                "Not of the published protocol: where a picture has more faces than people, FastComposer's code looks "
                "at the largest only. Published rows are to be compared with `--faces largest`."
            )
    if BLENDING.key in measured:
        notes.append(
            "BS: mean cosine of the pairs of faces in a picture, below 0 counts 0; of pictures with two faces or more."
        )
    if FID.key in measured:
        notes.append(f"FID: to {fid_reference}; none of that folder itself.")
    notes.append(
        f"In brackets: 95 % intervals from {resamples} bootstrap resamples of people, or of pictures where there are "
        f"fewer than {FEWEST} people."
    )
    notes.append(
        "Published rows are quoted from arXiv 2408.05939v2, with other prompts if yours are not FastComposer's."
    )
    return notes


def write_report(folder: Path, summaries: Sequence[Summary], models: Models, notes: Sequence[str]) -> None:
    """Write the tables in all forms, the scores of every picture, and the page."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of(summaries)
    text = [f"# Evaluation\n\n{markdown(rows)}", "".join(f"- {note}\n" for note in notes)]
    for summary in summaries:
        text.append(
            f"## {summary.name}\n\n{summary.count} pictures; {summary.without_face} without a face, {summary.too_few} "
            f"with fewer faces than people, {summary.too_many} with more.\n\n"
            f"{markdown(parts_of(summary.kinds), 'kind of prompt')}\n{markdown(parts_of(summary.people), 'person')}"
        )
        for part, name in ((summary.kinds, "kind"), (summary.people, "person")):
            file = folder / f"{file_name(summary.name)}-by-{name}.csv"
            file.write_text(comma_separated(parts_of(part), name), "utf-8")
    (folder / "scores.md").write_text("\n".join(text), "utf-8")
    (folder / "scores.csv").write_text(comma_separated(rows), "utf-8")
    (folder / "scores.tex").write_text(latex(rows) + "".join(f"% {note}\n" for note in notes), "utf-8")
    _write_pictures(folder / "pictures.csv", summaries)
    write_page(folder, summaries, models, notes)


def _fid(scorer: Scorer, pictures: Sequence[Picture], reference: Path, resamples: int) -> Estimate | None:
    features = scorer.vectors([picture.file for picture in pictures])
    wanted = scorer.vectors(picture_files(reference))
    if features is None or wanted is None:
        return None
    if min(len(features), len(wanted)) < 2:
        raise UniPortraitError(
            f"FID needs two pictures or more on both sides, there are {len(features)} and {len(wanted)}. Give more, or "
            "leave out --fid-reference."
        )
    units = units_of([picture.people for picture in pictures])
    return fid_with_interval(features, wanted, units, resamples, scorer.state.device)


def _write_pictures(file: Path, summaries: Sequence[Summary]) -> None:
    keys = [metric.key for metric in OF_A_PICTURE]
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["method", "file", "kind", "people", "prompt", "faces", *keys])
        for summary in summaries:
            for entry in summary.scores:
                about = entry.picture
                values = ["" if getattr(entry, key) is None else getattr(entry, key) for key in keys]
                people = " ".join(about.people)
                rows.writerow(
                    [summary.name, about.file.name, about.kind, people, about.prompt, entry.faces_found, *values]
                )
