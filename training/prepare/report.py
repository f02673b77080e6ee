"""What a run came to: numbers as JSON, the same in words, and pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole_file
from .journal import write_json
from .listing import Listing
from .reasons import REASONS
from .sheet import contact_sheet, histogram

NAMED = 20  # examples of what is counted
NUMBERS, WORDS, SHEET, HISTOGRAM = "report.json", "report.md", "contact_sheet.jpg", "people.png"


def left_out(listing: Listing, entries: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Pictures that were left out by reason, in the order in which they are examined; reasons without any are not."""
    found = {
        reason: [
            *listing.left_out.get(reason, ()),
            *(name for entry in entries for name in entry["left_out"].get(reason, ())),
        ]
        for reason in REASONS
    }
    return {reason: names for reason, names in found.items() if names}


def common_cache(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What all shards have features of; None where some have none, or others."""
    first, *others = [entry["cache"] for entry in entries if entry["pictures"]]
    return first if all(other == first for other in others) else None


def summarize(listing: Listing, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The numbers of a run.

    Args:
        listing: what the source holds.
        entries: of the journal, all of them.
    """
    pictures = [picture for entry in entries for picture in entry["pictures"]]
    missing = left_out(listing, entries)
    people = Counter(len(picture["identity"]) for picture in pictures)
    photos = Counter(name for picture in pictures for name in picture["identity"] if name)
    sizes = np.array([min(picture["size"]) for picture in pictures])
    unlabelled = [key for entry in entries for key in entry["unlabelled"]]
    return {
        "pictures_found": len(pictures) + sum(map(len, missing.values())),
        "pictures_prepared": len(pictures),
        "left_out": {reason: _counted(names) for reason, names in missing.items()},
        "people_per_picture": {str(count): people[count] for count in sorted(people)},
        "faces": sum(count * number for count, number in people.items()),
        "background_faces": sum(entry["background_faces"] for entry in entries),
        "identities": len(photos),
        "identities_with_several_photos": sum(count > 1 for count in photos.values()),
        "names_not_used": _counted(unlabelled),
        "labels_without_picture": _counted(listing.unmatched),
        "shards_cut_off": list(listing.cut_off),
        "shorter_side": {f"{share}%": int(np.percentile(sizes, share)) for share in (0, 50, 100)},
        "shards": sum(bool(entry["pictures"]) for entry in entries),
        "bytes": sum(entry["bytes"] for entry in entries),
        "cache": common_cache(entries),
    }


def write_report(output: Path, numbers: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> None:
    """Write `report.json`, `report.md`, and the pictures in it, into the output folder."""
    write_json(output / NUMBERS, numbers, indent=1)
    with whole_file(output / SHEET) as file:
        contact_sheet(output, entries).save(file, "JPEG", quality=88)
    with whole_file(output / HISTOGRAM) as file:
        histogram(numbers["people_per_picture"], file)
    with whole_file(output / WORDS) as file:
        file.write("\n".join(_words(numbers)).encode("utf-8", "replace"))


def _counted(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "first": list(names[:NAMED])}


def _words(numbers: Mapping[str, Any]) -> list[str]:
    megabytes = numbers["bytes"] / 1e6
    cache = numbers["cache"]
    lines = [
        f"# {numbers['pictures_prepared']:,} of {numbers['pictures_found']:,} pictures prepared",
        "",
        f"{numbers['faces']:,} faces in {numbers['shards']:,} shards, {megabytes:,.0f} MB, "
        + (f"with features at {cache['resolution']} pixels." if cache else "without cached features."),
        f"{numbers['identities']:,} people with a name, {numbers['identities_with_several_photos']:,} of them with "
        f"several photos. {numbers['background_faces']:,} faces were too small to count.",
        "",
        "## Left out",
        "",
        "| reason | pictures | for example |",
        "|---|---|---|",
    ]
    for reason, names in numbers["left_out"].items():
        lines.append(f"| {reason}: {REASONS[reason]} | {names['count']:,} | {_examples(names)} |")
    for title, name in (
        ("Names that fit no face", "names_not_used"),
        ("Labels without a picture", "labels_without_picture"),
    ):
        if numbers[name]["count"]:
            lines += ["", f"**{title}**: {numbers[name]['count']:,}, for example {_examples(numbers[name])}."]
    if numbers["shards_cut_off"]:
        lines += ["", f"**Shards of the source that end early**: {', '.join(numbers['shards_cut_off'])}."]
    return [
        *lines,
        "",
        "## People per picture",
        "",
        f"![]({HISTOGRAM})",
        "",
        "## Some of them",
        "",
        f"![]({SHEET})",
        "",
    ]


def _examples(names: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names["first"][:3])
