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
    _add(parser, "--workers", os.cpu_count() or 1, "processes that look for faces", type=_positive)
    _add_labels(parser.add_argument_group("captions and names"))
    _add_filters(parser.add_argument_group("what is good enough (others are left out and counted)"))
    _add_shards(parser.add_argument_group("shards"))
    _add_cache(parser.add_argument_group("features of the frozen networks"))


def _add_labels(group: Any) -> None:
    default = Labels()
    group.add_argument("--captions", type=Path, metavar="FILE", help="JSON Lines, a row for each picture")
    _add(group, "--file-column", default.file_column, "holds a picture's path below SOURCE", metavar="NAME")
    _add(group, "--caption-column", default.caption_column, "holds the caption", metavar="NAME")
    _add(group, "--identity", default.identity, "names of people: folders or a column have them", choices=IDENTITIES)
    _add(
        group,
        "--identity-column",
        default.identity_column,
        "holds a name, or for several people a list from left to right",
        metavar="NAME",
    )


def _add_filters(group: Any) -> None:
    default = Filters()
    _add(group, "--min-size", default.min_size, "shorter side of a picture", type=int)
    _add(group, "--min-face", default.min_face, "shorter side of a face; smaller ones are background", type=int)
    _add(group, "--max-people", default.max_people, "in a picture", type=_positive)
    sharpness = "variance of a face's Laplacian at 112 pixels; sharp ones have hundreds"
    _add(group, "--min-sharpness", default.min_sharpness, sharpness, type=float)
    _add(group, "--min-confidence", default.min_confidence, "of the detector, 0 to 1", type=float)


def _add_shards(group: Any) -> None:
    smaller = "shorter side from which pictures are made smaller; 0: never"
    _add(group, "--max-size", Settings.max_size, smaller, type=int)
    piece = "pictures of the source for one shard, the work of one process at a time"
    _add(group, "--shard-size", Settings.shard_size, piece, type=_positive)


def _add_cache(group: Any) -> None:
    group.add_argument("--cache", action="store_true", help="write them into the shards; may be added later")
    group.add_argument("--base", type=Path, metavar="DIR", help="base model in the layout of diffusers")
    group.add_argument("--clip-vision", type=Path, metavar="DIR", help="CLIP vision in the layout of transformers")
    group.add_argument("--face-backbone", type=Path, metavar="FILE", help="weight file")
    _add(group, "--resolution", Caching.resolution, "of training", type=_positive)
    group.add_argument("--buckets", action="store_true", help="for training with aspect-ratio buckets")
    _add(group, "--device", Caching.device, "of torch, or several with commas; auto: all of CUDA", metavar="NAME")


def _add(group: Any, name: str, default: Any, text: str, **options: Any) -> None:
    """An option that tells its default."""
    if "type" in options:
        options["metavar"] = "N"
    group.add_argument(name, default=default, help=f"{text} (default: {default})", **options)


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
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is given, needed is a whole number of 1 or more")
    return int(text)
