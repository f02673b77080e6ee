"""python -m evaluation generate | score | ablate"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from uniportrait_core.errors import UniPortraitError

# Imported when they are run: `generate` needs no PyTorch, and starts at once.


def generate(options: argparse.Namespace) -> None:
    """Make the pictures of a protocol."""
    from .generate.run import generate as run

    run(options.protocol, options.servers, options.output)


def score(options: argparse.Namespace) -> None:
    """Measure folders of pictures."""
    from .score.run import score as run

    run(options)


def ablate(options: argparse.Namespace) -> None:
    """Draw curves over settings."""
    from .ablate.run import ablate as run

    run(options.grid, options.servers, options.output)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description="See docs/evaluation.md.")
    commands = parser.add_subparsers(required=True, metavar="generate | score | ablate")

    command = commands.add_parser("generate", help="make the pictures of a protocol on ComfyUI servers")
    command.set_defaults(run=generate)
    command.add_argument("protocol", type=Path, help="TOML file")
    command.add_argument("--servers", nargs="+", default=(), metavar="URL", help="in place of those in the file")
    command.add_argument("--output", type=Path, help="folder, in place of the one in the file")

    command = commands.add_parser("score", help="measure folders of pictures")
    command.set_defaults(run=score)
    command.add_argument("folders", nargs="+", metavar="FOLDER", help="or NAME=FOLDER, the name for the tables")
    command.add_argument("--models", type=Path, required=True, help="TOML file that names the models")
    command.add_argument("--output", type=Path, default=Path("evaluation-report"), help="folder for the report")
    command.add_argument("--protocol", type=Path, help="protocol file, for folders with FastComposer's file names")
    command.add_argument("--fid-reference", type=Path, metavar="FOLDER", help="pictures to compare with, for FID")
    command.add_argument("--faces", choices=("all", "largest"), default="all", help="which faces count")
    command.add_argument("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap; 0: none")
    command.add_argument("--fid-resamples", type=int, default=50, metavar="N", help="of FID's, 1 to 2 s each; 0: none")
    command.add_argument("--batch", type=int, default=16, metavar="N", help="pictures at a time")
    command.add_argument("--cache", type=Path, metavar="FILE", help="of features; else in the user's cache folder")

    command = commands.add_parser("ablate", help="draw curves over settings")
    command.set_defaults(run=ablate)
    command.add_argument("grid", type=Path, help="TOML file")
    command.add_argument("--servers", nargs="+", default=(), metavar="URL", help="in place of those in the protocol")
    command.add_argument("--output", type=Path, help="folder, in place of the one in the file")
    return parser.parse_args(arguments)


def main() -> int:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("uniportrait").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that lets what is running be cancelled
    options = parse(sys.argv[1:])
    try:
        options.run(options)
    except UniPortraitError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
