"""A run of `prepare`: list, examine, cache, index, report."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from uniportrait_core.errors import UniPortraitError

from ..data.geometry import check_resolution
from ..data.index import FILE, index_content
from .detectors import detector_record, make_detector
from .folder_source import list_folder
from .journal import FOLDER as JOURNAL
from .journal import Journal, write_json
from .listing import Listing, pieces
from .piece import SHARD, PieceWriter
from .report import common_cache, left_out, summarize, write_report
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
    make_detector(settings.detector)  # before the listing, which takes long, and once instead of in every process
    add_features = adding_features(caching, output) if caching is not None else None
    listing = _list(settings, output)
    journal = Journal(output)
    journal.begin(_deciding(settings, listing))
    (output / FILE).unlink(missing_ok=True)  # no training on what is being changed

    entries = _examine(settings, output, listing, journal, workers)
    if not any(entry["pictures"] for entry in entries):
        raise _nothing_left(settings, listing, entries)
    if add_features is not None:
        entries = add_features(entries, journal)

    write_json(output / FILE, index_of(entries))
    numbers = summarize(listing, entries)
    write_report(output, numbers, entries)
    return numbers


def is_prepared(source: str) -> bool:
    """Whether a source is a finished folder of shards; at an address it is taken for one."""
    return "://" in source or (Path(source) / FILE).is_file()


def prepared(source: str, detector: str | None, workers: int = 1) -> str:
    """A folder of shards for training: the source itself, or what is prepared from it, once, beside it.

    Args:
        source: a finished folder of shards, here or at an address for fsspec; or a folder of pictures with captions.
        detector: as in `Settings`; needed for pictures only.

    Raises:
        UniPortraitError: see `prepare`; or pictures without a detector.
    """
    if is_prepared(source):
        return source
    folder = Path(source)
    if not folder.is_dir():
        raise UniPortraitError(f"{source} was not found. Give folders that are there at data.shards.")
    if (folder / JOURNAL).is_dir():
        raise UniPortraitError(
            f"{source} is a folder of shards that `python -m training prepare` has not finished. Give the same command "
            "again, which goes on where it was."
        )
    output = folder.with_name(f"{folder.name}-prepared")
    if not (output / FILE).is_file():
        if detector is None:
            raise UniPortraitError(
                f"{source} holds no {FILE}, and pictures can be prepared with a face detector only. Give a detector, "
                "or run `python -m training prepare` and give its output folder."
            )
        prepare(Settings(folder, detector), output, workers)
    return str(output)


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


def _examine(settings: Settings, output: Path, listing: Listing, journal: Journal, workers: int) -> list[Entry]:
    """Write the shards that are not there yet. Returns the entries of all, in order."""
    numbered = list(pieces(listing.entries, settings.shard_size))
    entries = {number: entry for number, _ in numbered if (entry := journal.entry(number))}
    waiting = [piece for piece in numbered if piece[0] not in entries]
    threads = max((os.cpu_count() or 1) // workers, 1)
    setups = [partial(PieceWriter, settings, output, threads)] * workers
    total = len(listing.entries)
    with _bar("looking for faces", total, total - sum(len(piece) for _, piece in waiting)) as bar:
        entries |= _work(journal, waiting, setups, bar)
    return [entries[number] for number, _ in numbered]


def adding_features(caching: Caching, output: Path) -> Callable[[list[Entry], Journal], list[Entry]]:
    """What writes features into the shards that have none, or others, as far as the networks are there."""
    from .features import FeatureWriter, cache_record, devices  # diffusers takes seconds to load

    check_resolution(caching.resolution)
    record = cache_record(caching)
    setups = [partial(FeatureWriter, caching, record, output, device) for device in devices(caching.device)]

    def add_features(entries: list[Entry], journal: Journal) -> list[Entry]:
        waiting = [entry for entry in entries if entry["pictures"] and entry["cache"] != record]
        total, left = (sum(len(entry["pictures"]) for entry in some) for some in (entries, waiting))
        with _bar("caching features", total, total - left) as bar:
            changed = _work(journal, waiting, setups, bar)
        return [changed.get(entry["number"], entry) for entry in entries]

    return add_features


def _bar(title: str, total: int, ready: int) -> tqdm:
    return tqdm(total=total, initial=ready, desc=title, unit="picture", smoothing=0.05)


def _work(journal: Journal, jobs: Sequence, setups: Sequence[Callable], bar: tqdm) -> dict[int, Entry]:
    """Do jobs, and note each in the journal."""
    entries = {}
    for entry in work(jobs, setups[: len(jobs)], bar.update):
        journal.write(entry)
        entries[entry["number"]] = entry
    return entries


def index_of(entries: Sequence[Entry]) -> dict[str, Any]:
    """What `index.json` holds of finished shards, by their entries in the journal."""
    filled = (entry for entry in entries if entry["pictures"])
    shards = [(SHARD.format(entry["number"]), entry["bytes"], entry["pictures"]) for entry in filled]
    return index_content(shards, common_cache(entries))


def _nothing_left(settings: Settings, listing: Listing, entries: Sequence[Entry]) -> UniPortraitError:
    reasons = left_out(listing, entries)
    counts = ", ".join(f"{len(names)} {reason}" for reason, names in reasons.items())
    return UniPortraitError(
        f"None of the {sum(map(len, reasons.values()))} pictures in {settings.source} is good enough: {counts}. Give "
        "other pictures or another detector, or lower --min-size, --min-face, --min-sharpness or --min-confidence."
    )
