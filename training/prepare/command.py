"""The command line of `prepare`."""

import argparse
import os
from pathlib import Path
from typing import Any

from .settings import IDENTITIES, Caching, Filters, Labels, Settings

DESCRIPTION = """\
Makes WebDataset shards for training of photos with captions: aligned faces, boxes, landmarks, captions, names, and with
--cache what the frozen networks make of them. Stopped at any moment, the same command goes on where it was.

SOURCE is one of
  a folder of pictures, each with a .txt of the same name beside it, or with a row in --captions FILE;
  a folder of shards (.tar), or one, with pictures and a .txt or .json of the same key.
"""


def add_prepare(commands: Any) -> None:
    """Add `prepare` to the commands of a parser (`add_subparsers`); its namespace has `run`."""
    parser = commands.add_parser(
        "prepare",
        help="photos with captions become shards for training",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run)
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder of the shards, the index and the report")
    parser.add_argument("--detector", required=True, help="yunet:FILE or insightface:FOLDER, the folder of a pack")
    parser.add_argument("--workers", type=_positive, default=os.cpu_count(), help="processes (default: all cores)")
    _add_labels(parser.add_argument_group("captions and names"))
    _add_filters(parser.add_argument_group("what is good enough (others are left out and counted)"))
    _add_shards(parser.add_argument_group("shards"))
    _add_cache(parser.add_argument_group("features of the frozen networks"))


def _add_labels(group: Any) -> None:
    default = Labels()
    group.add_argument("--captions", type=Path, metavar="FILE", help="JSON Lines, a row for each picture")
    group.add_argument("--file-column", default=default.file_column, help="path below SOURCE (default: %(default)s)")
    group.add_argument("--caption-column", default=default.caption_column, help="of rows (default: %(default)s)")
    group.add_argument(
        "--identity",
        choices=IDENTITIES,
        default=default.identity,
        help="names of people: from each picture's folder, or from a column (default: %(default)s)",
    )
    group.add_argument(
        "--identity-column",
        default=default.identity_column,
        help="a name, or for several people a list from left to right (default: %(default)s)",
    )


def _add_filters(group: Any) -> None:
    default = Filters()
    group.add_argument("--min-size", type=int, default=default.min_size, help="shorter side (default: %(default)s)")
    group.add_argument(
        "--min-face",
        type=int,
        default=default.min_face,
        help="shorter side of a face; smaller ones are background (default: %(default)s)",
    )
    group.add_argument("--max-people", type=_positive, default=default.max_people, help="(default: %(default)s)")
    group.add_argument(
        "--min-sharpness",
        type=float,
        default=default.min_sharpness,
        help="variance of a face's Laplacian at 112 pixels; sharp ones have hundreds (default: %(default)s)",
    )
    group.add_argument(
        "--min-confidence", type=float, default=default.min_confidence, help="of the detector (default: %(default)s)"
    )


def _add_shards(group: Any) -> None:
    group.add_argument(
        "--max-size",
        type=int,
        default=Settings.max_size,
        help="pictures whose shorter side is longer are made smaller; 0: never (default: %(default)s)",
    )
    group.add_argument(
        "--shard-size",
        type=_positive,
        default=Settings.shard_size,
        help="pictures of the source for one shard, the work of one process at a time (default: %(default)s)",
    )


def _add_cache(group: Any) -> None:
    group.add_argument("--cache", action="store_true", help="write them into the shards; may be added later")
    group.add_argument("--base", type=Path, metavar="DIR", help="base model in the layout of diffusers")
    group.add_argument("--clip-vision", type=Path, metavar="DIR", help="CLIP vision in the layout of transformers")
    group.add_argument("--face-backbone", type=Path, metavar="FILE", help="weight file")
    group.add_argument(
        "--resolution", type=_positive, default=Caching.resolution, help="of training (default: %(default)s)"
    )
    group.add_argument("--buckets", action="store_true", help="for training with aspect-ratio buckets")
    group.add_argument(
        "--device", default=Caching.device, help="of torch, or several with commas between (default: %(default)s)"
    )


def _run(options: argparse.Namespace) -> None:
    from .report import WORDS
    from .run import prepare  # loads torch and diffusers, which `--help` need not wait for

    caching = _caching(options)
    labels = Labels(
        options.captions, options.file_column, options.caption_column, options.identity, options.identity_column
    )
    filters = Filters(
        options.min_size, options.min_face, options.max_people, options.min_sharpness, options.min_confidence
    )
    settings = Settings(options.source, options.detector, labels, filters, options.max_size, options.shard_size)
    numbers = prepare(settings, options.output, options.workers, caching)
    reasons = ", ".join(f"{names['count']:,} {reason}" for reason, names in numbers["left_out"].items())
    people = ", ".join(f"{count:,} of {number}" for number, count in numbers["people_per_picture"].items())
    print(f"{numbers['pictures_prepared']:,} of {numbers['pictures_found']:,} pictures prepared. People: {people}.")
    print(f"Left out: {reasons or 'nothing'}. Have a look at {options.output / WORDS}.")


def _caching(options: argparse.Namespace) -> Caching | None:
    from uniportrait_core.errors import UniPortraitError

    if not options.cache:
        return None
    needed = {"--base": options.base, "--clip-vision": options.clip_vision, "--face-backbone": options.face_backbone}
    if missing := [name for name, value in needed.items() if value is None]:
        raise UniPortraitError(f"--cache was given without {' and '.join(missing)}. Give the networks to encode with.")
    return Caching(*needed.values(), options.resolution, options.buckets, options.device)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number
