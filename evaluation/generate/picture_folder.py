"""The folder that a protocol's pictures go to: pictures, manifest, photos and workflow, all that scoring needs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
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
PARTS = ("subject_*.part", f"{WORKFLOW}.*.part", f"{REFERENCES}/evaluation_*.part")  # left by a kill; others' stay


class PictureFolder:
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
    def opened(self) -> Iterator[PictureFolder]:
        """For the time of a `with` block nobody else may write here. Raises UniPortraitError where somebody does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self.folder / ".lock", timeout=0).acquire()
        except Timeout:
            raise UniPortraitError(
                f"Another `generate` is writing to {self.folder}. Wait for it, or give another output."
            ) from None
        with lock:
            mend_manifest(self.folder)
            for pattern in PARTS:
                for left_over in self.folder.glob(pattern):
                    left_over.unlink()
            yield self

    def missing(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks whose pictures are not here, or not as they were made. The photos of all others are put back.

        Raises:
            UniPortraitError: there are pictures of another protocol, workflow or photo; nothing is written then. Or a
                photo cannot be read, now and not in an hour.
        """
        everybody = {person for task in tasks for person in task.people}
        for person in everybody:
            self.photos(person)
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
        with self._writing("what is to be scored"):
            _write(self.folder / WORKFLOW, json.dumps(self.workflow.nodes, indent=1).encode())
            for person in everybody:
                self._keep_references(person)
        return missing

    def photos(self, person: Person) -> tuple[Photo, ...]:
        """What is sent to servers of a person; read once."""
        with self._lock:
            if person not in self._photos:
                self._photos[person] = read_photos(person.photos)
            return self._photos[person]

    def photos_to_send(self, task: Task) -> list[tuple[Photo, ...]]:
        """Of each person the photos that the workflow takes; none where it draws from words alone."""
        return [self.photos(person) for person in task.people] if self.workflow.photos else []

    def key(self, task: Task) -> str:
        """What tells pictures apart: a hash of the workflow with all that is filled in, and of whom it is to show."""
        nodes = self.workflow.fill(_names(self.photos_to_send(task)), task.prompt, task.seed)
        people = [person.name for person in task.people]
        photos = _names(self.photos(person) for person in task.people)
        content = json.dumps([self.workflow.output, nodes, people, photos, task.kind], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def keep(self, task: Task, made: Made, server: str, seconds: float) -> None:
        """Put a picture into the folder, then into the manifest.

        Raises:
            GoneError: it is cut off.
            UniPortraitError: it cannot be written here.
        """
        try:
            Image.open(io.BytesIO(made.content)).load()
        except (OSError, SyntaxError, ValueError) as error:
            raise GoneError(f"sent a picture that is not whole ({error})") from error
        file = task.stem + Path(made.name).suffix.lower()
        record = Record(
            file=file,
            sha256=content_hash(made.content),
            key=self.key(task),
            case=task.case,
            prompt_number=task.prompt_number,
            instance=task.instance,
            people=tuple(person.name for person in task.people),
            references=tuple(_reference_names(self.photos(person)) for person in task.people),
            prompt=task.prompt,
            kind=task.kind,
            seed=task.seed,
            server=server,
            seconds=round(seconds, 3),
        )
        with self._writing(file):
            _write(self.folder / file, made.content)
            with self._lock:
                append_record(self.folder, record)

    def _keep_references(self, person: Person) -> None:
        """Copies of somebody's photos in the folder, so that it can be scored anywhere."""
        photos = self.photos(person)
        for photo, name in zip(photos, _reference_names(photos), strict=True):
            file = self.folder / name
            if not file.exists():
                file.parent.mkdir(exist_ok=True)
                _write(file, photo.content)

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UniPortraitError(
                f"{what} cannot be kept in {self.folder} ({error.strerror or error}). Make room or give another output "
                "and run this again: what is there is kept."
            ) from error

    def _is_whole(self, record: Record) -> bool:
        try:
            return file_hash(self.folder / record.file) == record.sha256
        except OSError:
            return False

    def _another(self, found: str) -> UniPortraitError:
        return UniPortraitError(
            f"{self.folder} holds {found} ({MANIFEST}). Give another output, or delete this folder to start anew."
        )


def _names(photos: Iterable[Sequence[Photo]]) -> list[list[str]]:
    return [[photo.name for photo in of_one] for of_one in photos]


def _reference_names(photos: Sequence[Photo]) -> tuple[str, ...]:
    return tuple(f"{REFERENCES}/{photo.name}" for photo in photos)


def _write(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    part = file.with_name(f"{file.name}.{threading.get_ident()}.part")
    part.write_bytes(content)
    os.replace(part, file)
