"""Draws the mini world, and trains its networks.

python -m miniworld look                         contact sheets of drawn people
python -m miniworld train                        all networks, from nothing; hours on a CPU, minutes on a GPU
python -m miniworld train --ablations            and stages I and II with parts left out
python -m miniworld train --preset tiny          a trial of it all, which means nothing, in a minute
python -m miniworld sample                       pictures of the base model
python -m miniworld photos OUT --people 2-4      photos in shards, on which `python -m training` runs
python -m miniworld numbers                      how much likeness is kept, on people never met; into docs/miniworld.md
python -m miniworld ship                         weights into the pack, where Load Mini World finds them
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

BUDGETS = ("steps", "seconds", "batch", "rate")  # what can be set for single networks


def main() -> int:
    options = _parse(sys.argv[1:])
    return options.run(options)


def _look(options: argparse.Namespace) -> int:
    from .contact_sheet import save_sheets

    save_sheets(options.out, options.size)
    return 0


def _sample(options: argparse.Namespace) -> int:
    import torch

    from .contact_sheet import save_sheet
    from .data.shards import scene_of
    from .files import Files
    from .sampling import sample
    from .world.captions import caption

    prompts = options.prompts or [caption(scene_of(number, "check")) for number in range(options.count)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures = sample(Files(options.out).base, prompts, options.seed, device)
    save_sheet(options.out / "samples.png", list(pictures), 8)
    (options.out / "samples.txt").write_text("\n".join(prompts) + "\n", "utf-8")
    return 0


def _photos(options: argparse.Namespace) -> int:
    from training.prepare.settings import Caching

    from .data.photos import Album, save_album
    from .files import Files

    fewest, _, most = options.people.partition("-")
    album = Album(options.count, (int(fewest), int(most or fewest)), options.photos, options.size)
    caching = None
    if options.cache:
        files = Files(options.cache)
        caching = Caching(files.base, files.clip_vision, files.backbone, options.size)
    save_album(album, options.out, options.workers or max(1, (os.cpu_count() or 2) - 2), caching)
    return 0


def _numbers(options: argparse.Namespace) -> int:
    from .files import SHIPPED, Files
    from .numbers.run import note_quality, run, tables, write_page
    from .reports import set_up_logging

    set_up_logging()
    files = Files(options.weights or SHIPPED)
    results = run(files, options.people, options.out)
    print(tables(results))
    if options.write:
        write_page(tables(results))
        note_quality(files, results)
    return 0


def _ship(options: argparse.Namespace) -> int:
    from .ship import ship

    print(f"{ship(options.out) / 1e6:.1f} MB")
    return 0


def _train(options: argparse.Namespace) -> int:
    import torch

    from .config import PRESETS
    from .files import Files
    from .recipes.job import Job
    from .recipes.lanes import RECIPES, preset_of, train_all
    from .recipes.stages import WITHOUT
    from .reports import set_up_logging
    from .ship import put

    set_up_logging()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    budgets = {key: _by_name(getattr(options, key)) for key in BUDGETS}
    if unknown := set().union(*budgets.values()) - PRESETS[options.preset].budgets.keys():
        known = ", ".join(PRESETS[options.preset].budgets)
        print(f"{', '.join(sorted(unknown))}: no such network, needed is one of {known}. Correct it.", file=sys.stderr)
        return 2
    preset = preset_of(options.preset, options.scale, budgets)
    if options.scenes or options.people:
        from dataclasses import replace

        preset = replace(preset, scenes=options.scenes or preset.scenes, people=options.people or preset.people)
    names = options.only or [name for name in RECIPES if options.ablations or name not in WITHOUT]
    if options.start and not (options.out / "state").is_dir():  # later calls go on where this one was
        put(options.start, options.out)
    command = shlex.join(["python", "-m", "miniworld", *sys.argv[1:]])
    job = Job(
        name="",
        preset=preset,
        budget=PRESETS[options.preset].budgets["unet"],
        seed=options.seed,
        device=device,
        data=options.data or options.out / "data",
        files=Files(options.out),
        command=command,
        compiled=options.compile,
        workers=options.workers or max(1, (os.cpu_count() or 2) - 2),
    )
    lanes = device.type == "cuda" if options.lanes is None else options.lanes
    failed = train_all(job, names, lanes)
    if failed:
        print(f"not finished: {', '.join(failed)}; the same command goes on where it was", file=sys.stderr)
    return int(bool(failed))


def _by_name(pairs: list[str]) -> dict[str, float]:
    """Numbers of networks, given as NAME=NUMBER."""
    return {name: float(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m miniworld", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="look | train | sample | photos | numbers | ship")
    command = commands.add_parser("look", help="draw contact sheets")
    command.set_defaults(run=_look)
    command.add_argument("--out", type=Path, default=Path("miniworld-out"), help="folder for the pictures")
    command.add_argument("--size", type=int, default=256, help="height of a picture in pixels")
    command = commands.add_parser("sample", help="pictures of the base model, as samples.png beside it")
    command.set_defaults(run=_sample)
    command.add_argument("prompts", nargs="*", help="what they show; by default captions of drawings not trained on")
    command.add_argument("--out", type=Path, default=Path("miniworld-out"), help="folder of the weights")
    command.add_argument("--count", type=int, default=32, help="how many, without prompts")
    command.add_argument("--seed", type=int, default=1)
    command = commands.add_parser("photos", help="photos of drawn people, as shards that `python -m training` reads")
    command.set_defaults(run=_photos)
    command.add_argument("out", type=Path, help="folder for the shards")
    command.add_argument("--count", type=int, default=20_000, help="how many")
    command.add_argument("--people", default="1", metavar="N[-M]", help="in a photo: 1, or 2-4")
    command.add_argument("--photos", type=int, default=6, help="of each person, on average")
    command.add_argument("--size", type=int, default=128, help="of a photo, in pixels")
    command.add_argument("--cache", type=Path, metavar="DIR", help="write features into them, by the weights in DIR")
    command.add_argument("--workers", type=int, help="processes that draw")
    command = commands.add_parser("numbers", help="measure likeness, blending, and whether prompts are followed")
    command.set_defaults(run=_numbers)
    command.add_argument("--people", type=int, default=200, help="on how many")
    command.add_argument("--weights", type=Path, help="folder of the weights; those that ship by default")
    command.add_argument("--out", type=Path, default=Path("miniworld-out"), help="folder whose ablations go along")
    command.add_argument("--write", action="store_true", help="into docs/miniworld.md and the weights' metadata")
    command = commands.add_parser("ship", help="put weights where the pack finds them, in half precision")
    command.set_defaults(run=_ship)
    command.add_argument("--out", type=Path, default=Path("miniworld-out"), help="folder of the weights")
    command = commands.add_parser("train", help="train all networks from nothing")
    command.set_defaults(run=_train)
    command.add_argument(
        "--preset", choices=("tiny", "small", "full"), default="small", help="sizes of pictures and networks"
    )
    command.add_argument("--only", nargs="+", metavar="NAME", help="train these networks only")
    command.add_argument("--ablations", action="store_true", help="train both stages without their parts, too")
    command.add_argument("--device", help="cuda or cpu; the fastest that is there by default")
    command.add_argument("--out", type=Path, default=Path("miniworld-out"), help="folder for the weights")
    command.add_argument(
        "--data", type=Path, help="folder for the drawings; `data` in the folder for the weights by default"
    )
    command.add_argument(
        "--from", dest="start", type=Path, metavar="DIR", help="go on from these weights, such as miniworld/weights"
    )
    command.add_argument("--steps", nargs="*", default=[], metavar="NAME=N", help="at most, of single networks")
    command.add_argument("--seconds", nargs="*", default=[], metavar="NAME=S", help="time, likewise")
    command.add_argument("--batch", nargs="*", default=[], metavar="NAME=N", help="pictures per step, likewise")
    command.add_argument("--rate", nargs="*", default=[], metavar="NAME=R", help="highest learning rate, likewise")
    command.add_argument("--scale", type=float, default=1.0, help="share of the preset's time for all networks")
    command.add_argument("--scenes", type=int, help="how many pictures to draw")
    command.add_argument("--people", type=int, help="how many people each recogniser learns")
    command.add_argument("--workers", type=int, help="processes that draw")
    command.add_argument(
        "--lanes", action=argparse.BooleanOptionalAction, help="train small networks side by side; on a GPU by default"
    )
    command.add_argument("--compile", action="store_true", help="torch.compile, which pays for long trainings only")
    command.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
