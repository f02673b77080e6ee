"""`python -m training COMMAND`."""

import argparse
import sys
from collections.abc import Sequence

from uniportrait_core.errors import UniPortraitError

from .prepare.command import add_prepare
from .run.command import add_stages

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what users are meant to read goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Trains UniPortrait.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_prepare(commands)
    add_stages(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except UniPortraitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
