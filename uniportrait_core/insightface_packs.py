"""Finding insightface's model packs on disk, in the layouts that users have.

A pack is a folder with a detection model. The archive of some packs holds a folder of the pack's name, others only the
files, so that a pack is found one level deep or two: `models/buffalo_l/`, `models/antelopev2/antelopev2/`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

DETECTION_FILES = ("det_*.onnx", "scrfd*.onnx")
MANIFEST = "manifest.json"  # packs of insightface 2 name their files in it


def find_packs(roots: Iterable[Path]) -> dict[str, Path]:
    """Detection models by name of their pack; of two packs with one name, the first counts.

    Args:
        roots: folders such as ComfyUI's `models/insightface`.

    Returns:
        What `InsightFaceDetector` takes, by name.
    """
    packs: dict[str, Path] = {}
    for root in roots:
        for folder in _subfolders(root / "models"):
            for place in (folder, *_subfolders(folder)):
                if source := detection_source(place):
                    packs.setdefault(folder.name, source)
    return packs


def places(roots: Iterable[Path], name: str) -> list[Path]:
    """Where a pack is looked for, for an error that says so."""
    return [place for root in roots for place in (root / "models" / name, root / "models" / name / "*")]


def detection_source(folder: Path) -> Path | None:
    """A folder's detection model, the folder itself if it has a manifest, or None."""
    files = (file for pattern in DETECTION_FILES for file in sorted(folder.glob(pattern)))
    return next(files, folder if (folder / MANIFEST).is_file() else None)


def _subfolders(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.glob("*")) if path.is_dir())
