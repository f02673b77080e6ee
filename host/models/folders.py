"""Where the pack's files live in ComfyUI's models and output folders."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import folder_paths

from ...uniportrait_core.errors import UniPortraitError, named
from ...uniportrait_core.ordinary_file import check_ordinary
from .get_command import or_get

WEIGHTS = "uniportrait"
FACES = "uniportrait_faces"
INSIGHTFACE = "insightface"
FACE_DETECTION = "face_detection"
IP_ADAPTER = "ipadapter"
MINI_WORLD = Path(__file__).resolve().parents[2] / "miniworld" / "weights"
"""The drawn world's weights, which come with the pack."""
OF_MINI_WORLD = "mini-world"  # what names of its files in the host's lists begin with
LONGEST_NAME = 200  # bytes of a file's name; systems allow 255, and a counter and the ending are to come
FACE_EXTENSIONS = {".safetensors", ".sft"}


def register_folders() -> None:
    """Tell the host the pack's model folders; folders that a user's configuration already names stay."""
    models = Path(folder_paths.models_dir)
    _register(WEIGHTS, models / WEIGHTS, folder_paths.supported_pt_extensions)
    _register(WEIGHTS, MINI_WORLD / WEIGHTS, folder_paths.supported_pt_extensions)
    _register(FACES, models / FACES, FACE_EXTENSIONS)
    _register(FACES, faces_output_folder(), FACE_EXTENSIONS)
    # These are shared with other packs, whose listing stays as it is.
    _register(INSIGHTFACE, models / INSIGHTFACE, set())
    _register(FACE_DETECTION, models / FACE_DETECTION, {".onnx"})
    _register(IP_ADAPTER, models / IP_ADAPTER, folder_paths.supported_pt_extensions)


def faces_output_folder() -> Path:
    """Where identities are saved."""
    return Path(folder_paths.get_output_directory()) / FACES


def model_file(folder: str, name: str, input_name: str) -> Path:
    """Full path of a file chosen in a combo.

    Raises:
        UniPortraitError: there is no such file; the host does not check combo values on all versions.
    """
    if problem := not_found(folder, {input_name: name}):
        raise UniPortraitError(problem)
    return Path(folder_paths.get_full_path(folder, name))


def not_found(folder: str, chosen: Mapping[str, object]) -> str:
    """Which files are not there, and how to get them; nothing where all are.

    Args:
        chosen: names of files by input. An input that another node feeds, which the host gives as None, is passed over.
    """
    if odd := [at for at, name in chosen.items() if name is not None and not isinstance(name, str)]:
        kind = type(chosen[odd[0]]).__name__
        return f"{odd[0]} is of type {kind}, needed is the name of a file. Choose one of the list."
    listed = folder_paths.get_filename_list(folder)
    missing = {name: input_name for input_name, name in chosen.items() if name is not None and name not in listed}
    if not missing:
        return ""
    files_at = " and ".join(f"'{named(name, 80)}' at {input_name}" for name, input_name in missing.items())
    were, files = ("was", "the file") if len(missing) == 1 else ("were", "the files")
    places = " or ".join(folder_paths.get_folder_paths(folder))
    return (
        f"{files_at} {were} not found in {places}. Put {files} there{or_get(*missing)}, then press R to refresh the "
        "node."
    )


def content_hash(path: Path) -> str:
    """Of a file of any size, for a node that runs again when it changes; the name where it cannot be read."""
    digest = hashlib.sha256()
    try:
        check_ordinary(path)
        with open(path, "rb") as file:
            while part := file.read(1_000_000):
                digest.update(part)
    except OSError:
        return path.name
    return digest.hexdigest()


def save_stem(prefix: str) -> Path:
    """Path, without counter and extension, for a new identity file.

    Raises:
        UniPortraitError: `prefix` leads out of the folder of saved faces, or names no file.
    """
    root = faces_output_folder().resolve()
    try:
        stem = (root / prefix.strip()).resolve()
        plain = prefix.isprintable() and all(len(part.encode()) <= LONGEST_NAME for part in stem.parts)
    except (ValueError, OSError, RuntimeError):  # signs that no name can have, or links in a circle
        plain = False
    if not plain or not prefix.strip() or stem == root or not stem.is_relative_to(root):
        raise UniPortraitError(
            f"filename_prefix '{named(prefix, 80)}' does not name a file inside {root}. Use a plain name, or "
            f"name/name, of at most {LONGEST_NAME} letters each."
        )
    return stem


def _register(key: str, folder: Path, extensions: set[str]) -> None:
    folder_paths.add_model_folder_path(key, str(folder))
    # A key that is new to the host starts with no extensions, which would list every file.
    folder_paths.folder_names_and_paths[key][1].update(extensions)
