"""A run of `prepare`: list, examine, cache, index, report."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from uniportrait_core.errors import UniPortraitError

from ..data.index import FILE, index_content
from .detectors import detector_record, make_detector
from .features import FeatureWriter, cache_record, devices
from .folder_source import list_folder
from .journal import Journal, write_json
from .listing import Listing, pieces
from .piece import SHARD, PieceWriter
from .report import left_out, summarize, write_report
from .settings import Caching, Settings
from .shard_source import list_shards, shards_in
from .workers import work

Entry = dict[str, Any]


def prepare(settings: Settings, output: Path, workers: int = 1, caching: Caching | None = None) -> dict[str, Any]:
    """Make shards of a source, or go on with a run that was stopped.

    Args:
        settings: what goes into the shards.
        output: their folder.
        workers: processes that look for faces.
        caching: write features into the shards as well; shards that have others are written anew.

    Returns:
        The numbers of the report.

    Raises:
        UniPortraitError: the source is not fit, no picture is good, the output folder is another run's, or the disk is
            full.
    """
    record = caching and cache_record(caching)
    make_detector(settings.detector)  # before the listing, which takes long, and once instead of in every process
    listing = _list(settings, output)
    journal = Journal(output)
    journal.begin(_deciding(settings, listing))
    (output / FILE).unlink(missing_ok=True)  # no training on what is being changed

    numbered = list(pieces(listing.entries, settings.shard_size))
    entries = {number: entry for number, _ in numbered if (entry := journal.entry(number))}
    waiting = [piece for piece in numbered if piece[0] not in entries]
    threads = max((os.cpu_count() or 1) // workers, 1)
    setups = [partial(PieceWriter, settings, output, threads)] * workers
    ready = len(listing.entries) - sum(len(piece) for _, piece in waiting)
    entries |= _run(journal, waiting, setups, "looking for faces", len(listing.entries), ready)
    if not any(entry["pictures"] for entry in entries.values()):
        raise _nothing_left(settings, listing, list(entries.values()))

    if caching is not None:
        filled = [entry for entry in entries.values() if entry["pictures"]]
        waiting = sorted((entry for entry in filled if entry["cache"] != record), key=lambda entry: entry["number"])
        setups = [partial(FeatureWriter, caching, record, output, device) for device in devices(caching.device)]
        total, left = (sum(len(entry["pictures"]) for entry in some) for some in (filled, waiting))
        entries |= _run(journal, waiting, setups, "caching features", total, total - left)

    ordered = [entries[number] for number in sorted(entries)]
    write_json(output / FILE, _index(ordered))
    numbers = summarize(listing, ordered)
    write_report(output, numbers, ordered)
    return numbers


def prepared(source: Path, detector: str | None, workers: int = 1) -> Path:
    """A folder of shards for training: the source itself, or what is prepared from it, once, beside it.

    Args:
        source: a finished folder of shards, or a folder of pictures with captions.
        detector: as in `Settings`; needed for pictures only.

    Raises:
        UniPortraitError: see `prepare`; or pictures without a detector.
    """
    if (source / FILE).is_file():
        return source
    output = source.with_name(f"{source.name}-prepared")
    if not (output / FILE).is_file():
        if detector is None:
            raise UniPortraitError(
                f"{source} holds no {FILE}, and pictures can be prepared with a face detector only. Give a detector, "
                "or run `python -m training prepare` and give its output folder."
            )
        prepare(Settings(source, detector), output, workers)
    return output


def _list(settings: Settings, output: Path) -> Listing:
    source = settings.source
    if not source.exists():
        raise UniPortraitError(f"{source} was not found. Give a folder of pictures, or of shards (.tar).")
    if source.resolve() in (output.resolve(), *output.resolve().parents):
        raise UniPortraitError(
            f"The output folder {output} lies in the source {source}, whose pictures would change with every run. "
            "Choose a folder beside it."
        )
    shards = shards_in(source)
    return list_shards(shards, settings.labels) if shards else list_folder(source, settings.labels)


def _deciding(settings: Settings, listing: Listing) -> dict[str, Any]:
    """Settings and pictures as they are compared when a run goes on; where things lie may change."""
    labels = {name: value for name, value in asdict(settings.labels).items() if name != "file"}
    return {
        "detector": detector_record(settings.detector),
        **labels,
        **asdict(settings.filters),
        "max_size": settings.max_size,
        "shard_size": settings.shard_size,
        "pictures": len(listing.entries),
        "digest": listing.digest,
    }


def _run(
    journal: Journal, jobs: Sequence, setups: Sequence[Callable], title: str, total: int, ready: int
) -> dict[int, Entry]:
    """Do jobs with a progress bar, and note each in the journal."""
    entries = {}
    if jobs:
        with tqdm(total=total, initial=ready, desc=title, unit="picture", smoothing=0.05) as bar:
            for entry in work(jobs, setups[: len(jobs)], bar.update):
                journal.write(entry)
                entries[entry["number"]] = entry
    return entries


def _index(entries: Sequence[Entry]) -> dict[str, Any]:
    filled = [entry for entry in entries if entry["pictures"]]
    caches = [entry["cache"] for entry in filled]
    shards = [(SHARD.format(entry["number"]), entry["bytes"], entry["pictures"]) for entry in filled]
    return index_content(shards, caches[0] if all(cache == caches[0] for cache in caches) else None)


def _nothing_left(settings: Settings, listing: Listing, entries: Sequence[Entry]) -> UniPortraitError:
    reasons = left_out(listing, entries)
    counts = ", ".join(f"{len(names)} {reason}" for reason, names in reasons.items())
    return UniPortraitError(
        f"None of the {sum(map(len, reasons.values()))} pictures in {settings.source} is good enough: {counts}. Give "
        "other pictures or another detector, or lower --min-size, --min-face, --min-sharpness or --min-confidence."
    )
