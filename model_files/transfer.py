"""One file from the Hugging Face hub or from any HTTPS server: resumed, sized, hashed, moved when it is whole.

What has come of a file lies beside its place as `<name>.<hash>.part`, so that a later call goes on from there, and
never with another version of the file. huggingface_hub is imported when it is needed, not before. It says where a file
lies and reads it; its own download to a folder neither resumes in a later call nor compares hashes.
"""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from uniportrait_core.errors import UniPortraitError

from .table import ModelFile

HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
MARGIN = 64 * 1024**2  # bytes that stay free on the disk


@dataclass(frozen=True)
class Source:
    """Where a file is read from, and what tells that it came right.

    Attributes:
        size: in bytes; None where the server does not say.
        digest: sha256 of the content, or, in 40 digits, git's hash of it; None where the server gives neither.
        page: for messages, where a person looks at the file.
    """

    url: str
    headers: Mapping[str, str]
    size: int | None
    digest: str | None
    page: str


def find(file: ModelFile) -> Source:
    """Ask the hub for size and hash of a file; of one that lies elsewhere the table knows them.

    Raises:
        UniPortraitError: the hub, or the file on it, cannot be reached.
    """
    if not file.repository:
        return Source(file.url, {"Accept-Encoding": "identity"}, file.size, file.sha256, file.page)
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(file.repository, file.path, revision=file.revision)
    with network_trouble(url, file.page):
        found = get_hf_file_metadata(url)
    if not found.commit_hash:
        raise UniPortraitError(
            f"{url} answers, but not as a Hugging Face hub does. Look at HF_ENDPOINT and at proxies in between."
        )
    # From this commit on nothing can change between the question and the download, nor between two parts of it.
    url = hf_hub_url(file.repository, file.path, revision=found.commit_hash)
    digest = found.etag if HASH.fullmatch(found.etag or "") else None
    return Source(url, {**build_hf_headers(), "Accept-Encoding": "identity"}, found.size, digest, file.page)


def difference(path: Path, source: Source) -> str:
    """What of a file on the disk is not as it should be, in words; nothing where all is right."""
    size = path.stat().st_size
    if source.size not in (None, size):
        return f"it has {size:,} bytes, {source.size:,} are needed"
    digest = source.digest and digest_of(path, git=len(source.digest) == 40)
    return "" if digest == source.digest else f"its hash is {digest}, {source.digest} is needed"


def digest_of(path: Path, git: bool = False) -> str:
    """The sha256 of a file, or the hash by which git names its content."""
    hasher = hashlib.sha1(b"blob %d\0" % path.stat().st_size) if git else hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024**2):
            hasher.update(block)
    return hasher.hexdigest()


def download(source: Source, target: Path) -> None:
    """Get a file, going on from what an earlier call left of it. What is at `target` is replaced when all has come.

    Raises:
        UniPortraitError: it cannot be had, or what came is not what it should be.
    """
    part = target.with_name(f"{target.name}.{(source.digest or 'unknown')[:12]}.part")
    with disk_trouble(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if part.exists() and (source.digest is None or part.stat().st_size > (source.size or 0)):
            part.unlink()  # without a hash nobody can tell whether the rest belongs to it
        _check_space(part.parent, (source.size or 0) - size_of(part))
        try:
            with network_trouble(source.url, source.page, part):
                while not _has_all(source, part, target.name):
                    pass
        finally:
            if not size_of(part):
                part.unlink(missing_ok=True)
        if problem := difference(part, source):
            part.unlink()
            raise UniPortraitError(
                f"What came from {source.url} is not the file that is meant: {problem}. It was thrown away; run this "
                "again, and if that does not help, look at proxies and mirrors in between."
            )
        os.replace(part, target)
        for old in target.parent.glob(f"{target.name}.*.part"):
            old.unlink()


def _has_all(source: Source, part: Path, name: str) -> bool:
    """Read on from where `part` ends. False where the connection broke, but something came."""
    come = size_of(part)
    try:
        with part.open("ab") as file:
            _read(source, file, come, name)
    except network_errors() as error:
        if getattr(error, "response", None) is None and size_of(part) > come:
            return False
        raise
    return True


def _read(source: Source, file: BinaryIO, come: int, name: str) -> None:
    from huggingface_hub.file_download import http_get

    # Shows the progress, and tries again by itself where it takes an error for a passing one.
    http_get(
        source.url,
        file,
        resume_size=come,
        headers=dict(source.headers),
        expected_size=source.size,
        displayed_filename=name,
    )


def size_of(path: Path) -> int:
    """In bytes; 0 where there is no such file."""
    return path.stat().st_size if path.exists() else 0


def _check_space(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted + MARGIN > free:
        raise UniPortraitError(
            f"{wanted / 1e6:,.0f} MB more are needed in {folder}, and {free / 1e6:,.0f} MB are free. Make room, or put "
            "the folder on another disk; what has come so far is kept."
        )


@contextmanager
def network_trouble(url: str, page: str, part: Path | None = None) -> Iterator[None]:
    """Say in words what the hub's library raises. A part that the server would not add to is removed."""
    try:
        yield
    except network_errors() as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status == 416 and part is not None:
            part.unlink(missing_ok=True)
        raise UniPortraitError(_advice(status, url, page, error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        if part is not None:  # it ended in good order with another size than was announced
            part.unlink(missing_ok=True)
        raise UniPortraitError(
            f"What came from {url} has not the size that was announced ({str(error).splitlines()[0]}). It was thrown "
            "away; run this again, and if that does not help, look at proxies and mirrors in between."
        ) from error


def network_errors() -> tuple[type[Exception], ...]:
    """What the hub's library raises. Its HTTP client is requests or httpx, depending on its version, and only the
    errors of the former are OSErrors."""
    from huggingface_hub.utils import HfHubHTTPError

    clients = [kind for kind in HfHubHTTPError.__mro__ if kind.__module__ != "builtins"]
    return (*clients, ConnectionError, TimeoutError)


def _advice(status: int | None, url: str, page: str, error: Exception) -> str:
    if status in (401, 403):
        return (
            f"{url} is not open to everybody (status {status}). Log in at {page}, accept what is asked there, and set "
            "HF_TOKEN to a token of yours that may read it."
        )
    if status == 404:
        return f"Nothing is at {url} (status 404). Look at {page} for where the file has gone, and get it by hand."
    if status is not None:
        return f"{url} answers with status {status}. Run this again later; what has come so far is kept."
    return (
        f"{urlsplit(url).netloc or url} cannot be reached, or the connection broke ({type(error).__name__}). Look at "
        "the network and at HF_ENDPOINT, then run this again; what has come so far is kept."
    )


@contextmanager
def disk_trouble(target: Path) -> Iterator[None]:
    """Say in words what the operating system raises about a file."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        advice = "Make room on this disk" if full else "Look at its rights and at who uses it"
        raise UniPortraitError(
            f"{error.filename or target} could not be written ({error.strerror}). {advice}, then run this again; what "
            "has come so far is kept."
        ) from error
