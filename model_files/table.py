"""The model files that the README and the workflows name: where they come from, where they go, under which licence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TABLE = Path(__file__).with_name("files.json")


@dataclass(frozen=True)
class ModelFile:
    """One file, or one archive of files.

    Attributes:
        name: as nodes and workflows name it; the file's own name, for an archive the folder that it becomes.
        folder: below ComfyUI's `models`.
        about: size, for people.
        licence: for people.
        research_only: whether the licence allows nothing else.
        without: what does not run without it; of those for research only.
        instead_of: name of another one that this one stands in for where that is left out.
        repository, path, revision: where it lies on the Hugging Face hub, which knows its size and hash.
        url, size, sha256: of what lies elsewhere; size in bytes.
        members: of an archive, the files that it holds and their sha256.
        needed: of an archive, the one file that this pack reads.
    """

    name: str
    folder: str
    about: str
    licence: str
    research_only: bool = False
    without: str = ""
    instead_of: str = ""
    repository: str = ""
    path: str = ""
    revision: str = "main"
    url: str = ""
    size: int | None = None
    sha256: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    needed: str = ""

    @property
    def address(self) -> str:
        """For a browser, whichever mirror of the hub is asked."""
        return self.url or f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.path}"

    @property
    def page(self) -> str:
        """Where the file's conditions are read and accepted."""
        return f"https://huggingface.co/{self.repository}" if self.repository else self.url


def read_table(table: Path = TABLE) -> tuple[ModelFile, ...]:
    """All model files, in the order of the README's table."""
    return tuple(ModelFile(**entry) for entry in json.loads(table.read_text("utf-8")))


def choose(
    files: Sequence[ModelFile], names: Sequence[str] = (), licence_free: bool = False
) -> tuple[list[ModelFile], list[ModelFile]]:
    """The files to get, and those that are left out because they are for research only.

    Args:
        names: the files that are wished for; none means all that the workflows need.
        licence_free: leave out what is for research only, and take what stands in for it.
    """
    wished = [file for file in files if file.name in names] if names else list(files)
    left_out = [file for file in wished if licence_free and file.research_only]
    gone = {file.name for file in left_out}
    return [
        file
        for file in wished
        if file.name not in gone and (not file.instead_of or file.name in names or file.instead_of in gone)
    ], left_out
