"""The command line of both stages."""

import argparse
from pathlib import Path
from typing import Any

HELP = {
    "single": "stage I: ID embedding, for pictures of one person",
    "multi": "stage II: ID routing, for pictures of several people",
}


def add_stages(commands: Any) -> None:
    """Add `single` and `multi` to the commands of a parser (`add_subparsers`); their namespaces have `run`."""
    for stage, said in HELP.items():
        parser = commands.add_parser(
            stage,
            help=said,
            description=f"Trains {said}. Stopped at any moment, the same command goes on where it was.",
        )
        parser.add_argument("config", type=Path, help="TOML file; training/configs has examples")
        parser.set_defaults(run=_run, stage=stage)

    parser = commands.add_parser(
        "export",
        help="a checkpoint becomes weights",
        description="Exports the weights of a checkpoint, such as runs/single/checkpoint-00010000, beside it.",
    )
    parser.add_argument("config", type=Path, help="TOML file of the training")
    parser.add_argument("checkpoint", type=Path, help="folder of the checkpoint")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from .course import export_checkpoint

    print(f"Exported to {export_checkpoint(options.config, options.checkpoint)}.")


def _run(options: argparse.Namespace) -> None:
    from .course import run_stage  # loads torch and diffusers, which `--help` need not wait for

    print(f"Exported to {run_stage(options.config, options.stage)}.")
