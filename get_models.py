"""Gets the model files that the pack's workflows need, each into its folder of ComfyUI.

    python get_models.py --comfyui /path/to/ComfyUI                     all of them, about 6 GB
    python get_models.py --comfyui /path/to/ComfyUI --licence-free      without those for research only
    python get_models.py --comfyui /path/to/ComfyUI --list              only say what would be got, and the licences

A file that is there and right stays; one that is there and another is named, and stays unless --overwrite is given.
What was interrupted goes on from where it was. HF_TOKEN, HF_ENDPOINT and the other settings of huggingface_hub are
respected. The exit code is 0 when all files are there, 1 when some could not be had, 2 when nothing was tried.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))  # which the Python of a portable ComfyUI would not look in

from model_files.archive import unpack  # noqa: E402
from model_files.table import ModelFile, choose, read_table  # noqa: E402
from model_files.transfer import difference, digest_of, disk_trouble, download, find  # noqa: E402
from uniportrait_core.errors import UniPortraitError  # noqa: E402


def main(arguments: Sequence[str] | None = None, table: Sequence[ModelFile] | None = None) -> int:
    """Run the command line. `table` stands in for the published files; returns the exit code."""
    table = read_table() if table is None else table
    options = parse(arguments, [file.name for file in table])
    files, left_out = choose(table, options.only, options.licence_free)
    try:
        models = models_folder(options.comfyui) if options.comfyui else named_folder(options.models)
        describe(files, left_out, models)
        print(flush=True)
        if options.list:
            return 0
        if not files:
            raise UniPortraitError("Nothing is left to get. Leave out --licence-free, or name another file at --only.")
        require_hub_library()
    except UniPortraitError as problem:
        print(problem, file=sys.stderr)
        return 2
    failed = [file.name for file in files if not succeeds(file, models, options.overwrite)]
    there = f"{len(files) - len(failed)} of {len(files)} files are there"
    print(f"\n{there}; not: {', '.join(failed)}." if failed else f"\n{there}. Press R in ComfyUI to refresh its nodes.")
    return int(bool(failed))


def parse(arguments: Sequence[str] | None, names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--comfyui", type=Path, metavar="DIR", help="the folder of ComfyUI, with `models` in it")
    place.add_argument("--models", type=Path, metavar="DIR", help="the models folder itself, where it lies elsewhere")
    free = "leave out what is for research only, and take YuNet instead of insightface's detector"
    parser.add_argument("--licence-free", action="store_true", help=free)
    only = "get this file only; may be given several times"
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME", help=only)
    parser.add_argument("--list", action="store_true", help="say what would be got, and get nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there and are wrong")
    return parser.parse_args(arguments)


def models_folder(comfyui: Path) -> Path:
    """The models folder of a ComfyUI, or of a base directory of one, which has no main.py.

    Raises UniPortraitError where there is none.
    """
    models = comfyui.expanduser().resolve() / "models"
    if not models.is_dir() or not any((models.parent / sign).exists() for sign in ("main.py", "custom_nodes")):
        inner = next((path.parent for path in sorted(models.parent.glob("*/main.py"))), None)
        advice = f"Did you mean {inner}?" if inner else "Give the folder that main.py and models lie in."
        raise UniPortraitError(f"{comfyui} is no folder of ComfyUI: it has no `models` beside a main.py. {advice}")
    return models


def named_folder(models: Path) -> Path:
    if not models.expanduser().is_dir():
        raise UniPortraitError(f"{models} is no folder. Give the models folder that ComfyUI was started with.")
    return models.expanduser().resolve()


def describe(files: Sequence[ModelFile], left_out: Sequence[ModelFile], models: Path) -> None:
    """Print what goes where under which licence, and what is left out."""
    print(f"Into {models}:")
    for file in files:
        print(f"\n  {file.folder}{'' if file.members else '/' + file.name} ({file.about})")
        print(f"    from {file.address}\n    licence: {file.licence}")
    if left_out:
        print("\nLeft out, as for research only:")
    for file in left_out:
        print(f"\n  {file.name} ({file.licence})\n    what does not run without it: {file.without}")


def require_hub_library() -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UniPortraitError(
            f"huggingface_hub is not installed in the Python that runs this, {sys.executable}. Install it by "
            f'`"{sys.executable}" -m pip install huggingface_hub`, or run this with ComfyUI\'s Python, which has it.'
        )


def succeeds(file: ModelFile, models: Path, overwrite: bool) -> bool:
    """Get one file and say how it went."""
    try:
        outcome = (get_archive if file.members else get_file)(file, models / file.folder, overwrite)
    except UniPortraitError as problem:
        print(f"{file.name}: {problem}", file=sys.stderr, flush=True)
        return False
    print(f"{file.name}: {outcome}", flush=True)
    return True


def get_file(file: ModelFile, folder: Path, overwrite: bool) -> str:
    source, target = find(file), folder / file.name
    with disk_trouble(target):
        problem = difference(target, source) if target.exists() else ""
    if target.exists() and not problem:
        return "is there already, and right"
    if problem and not overwrite:
        raise kept(target, problem)
    download(source, target)
    return f"is in {folder}"


def get_archive(file: ModelFile, folder: Path, overwrite: bool) -> str:
    with disk_trouble(folder):
        there = [folder / name for name in file.members if (folder / name).exists()]
        wrong = [path for path in there if digest_of(path) != file.members[path.name]]
    if wrong and not overwrite:
        raise kept(wrong[0], "its hash is another than that of the published one")
    if folder / file.needed in there and not wrong:
        return "is there already, and right"
    archive = folder.with_name(f"{folder.name}.zip")
    download(find(file), archive)
    try:
        with disk_trouble(folder):
            unpack(archive, folder, file.members)
    finally:
        archive.unlink(missing_ok=True)
    return f"is in {folder}"


def kept(path: Path, problem: str) -> UniPortraitError:
    return UniPortraitError(
        f"{path} is there, but is not the published file: {problem}. It was kept; run this again with --overwrite to "
        "replace it."
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nStopped. The next call goes on from here.", file=sys.stderr)
        sys.exit(130)
