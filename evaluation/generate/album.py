"""The folder that a protocol's pictures go to: pictures, manifest, photos and workflow, all that scoring needs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from PIL import Image

from uniportrait_core.errors import UniPortraitError

from ..pictures.manifest import MANIFEST, Record, append_record, mend_manifest, read_manifest
from ..pictures.reading import content_hash, file_hash
from ..protocol.people import Person
from ..protocol.protocol import Task
from .comfy import GoneError, Made
from .photos import Photo, read_photos
from .workflow import Workflow

REFERENCES = "references"
WORKFLOW = "workflow.json"


class Album:
    """Keeps pictures: each is in the folder, whole, before its record is in the manifest, and only then is it there."""

    def __init__(self, folder: Path, workflow: Workflow):
        """
        Args:
            folder: made if need be.
            workflow: that makes the pictures.
        """
        self.folder = folder
        self.workflow = workflow
        self._photos: dict[Person, tuple[Photo, ...]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def opened(self) -> Iterator[Album]:
        """For the time of a `with` block nobody else may write here. Raises UniPortraitError where somebody does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UniPortraitError(
                f"Another `generate` is writing to {self.folder}. Wait for it, or give another output."
            ) from None
        with lock:
            mend_manifest(self.folder)
            _write(self.folder / WORKFLOW, json.dumps(self.workflow.nodes, indent=1).encode())
            yield self

    def missing(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks whose pictures are not here, or not as they were made.

        Raises:
            UniPortraitError: there are pictures of another protocol, workflow or photo.
        """
        there = {}
        for record in read_manifest(self.folder):
            there[Path(record.file).stem] = record
        if strange := sorted(there.keys() - {task.stem for task in tasks}):
            raise self._another(f"{len(strange)} pictures that the protocol does not list, such as {strange[0]}")
        missing = []
        for task in tasks:
            record = there.get(task.stem)
            if record is not None and record.key != self.key(task):
                raise self._another(f"{record.file}, made by other settings, photos, prompt or seed")
            if record is None or not self._is_whole(record):
                missing.append(task)
        return missing

    def photos(self, person: Person) -> tuple[Photo, ...]:
        """What is sent to servers of a person; read once."""
        with self._lock:
            if person not in self._photos:
                self._photos[person] = read_photos(person.photos)
            return self._photos[person]

    def key(self, task: Task) -> str:
        """What tells pictures apart: a hash of the workflow with all that is filled in."""
        photos = [[photo.name for photo in self.photos(person)] for person in task.people]
        nodes = self.workflow.fill(photos, task.prompt, task.seed)
        content = json.dumps([self.workflow.output, nodes], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def keep(self, task: Task, made: Made, server: str, seconds: float) -> None:
        """Put a picture into the folder, then into the manifest. Raises GoneError where it is cut off."""
        try:
            Image.open(io.BytesIO(made.content)).load()
        except (OSError, SyntaxError, ValueError) as error:
            raise GoneError(f"sent a picture that is not whole ({error})") from error
        file = task.stem + Path(made.name).suffix.lower()
        _write(self.folder / file, made.content)
        record = Record(
            file=file,
            sha256=content_hash(made.content),
            key=self.key(task),
            case=task.case,
            prompt_number=task.prompt_number,
            instance=task.instance,
            people=tuple(person.name for person in task.people),
            references=tuple(self._references(person) for person in task.people),
            prompt=task.prompt,
            kind=task.kind,
            seed=task.seed,
            server=server,
            seconds=round(seconds, 3),
        )
        with self._lock:
            append_record(self.folder, record)

    def _references(self, person: Person) -> tuple[str, ...]:
        """Copies of somebody's photos in the folder, so that it can be scored anywhere."""
        names = []
        for photo in self.photos(person):
            file = self.folder / REFERENCES / photo.name
            if not file.exists():
                file.parent.mkdir(exist_ok=True)
                _write(file, photo.content)
            names.append(f"{REFERENCES}/{photo.name}")
        return tuple(names)

    def _is_whole(self, record: Record) -> bool:
        try:
            return file_hash(self.folder / record.file) == record.sha256
        except OSError:
            return False

    def _another(self, found: str) -> UniPortraitError:
        return UniPortraitError(
            f"{self.folder} holds {found} ({MANIFEST}). Give another output, or delete this folder to start anew."
        )


def _write(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    part = file.with_name(f"{file.name}.{threading.get_ident()}.part")
    part.write_bytes(content)
    os.replace(part, file)
