"""A zip archive of model files, unpacked without trust in what it says."""

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from uniportrait_core.errors import UniPortraitError

LARGEST = 512 * 1024**2  # bytes of one unpacked file; the largest of buffalo_l has 174 MB
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def unpack(archive: Path, folder: Path, members: Mapping[str, str]) -> None:
    """Write the expected files of an archive into a folder, each whole or not at all; other files are left out.

    Args:
        members: names of the files, and their sha256. Those that are in the folder already are replaced.

    Raises:
        UniPortraitError: the archive is damaged, lacks one of them, or holds what an honest one does not: places
            outside of the folder, links, twice the same file, more than `LARGEST` bytes, other content. No file with
            such content is left behind.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            chosen = _expected(opened.infolist(), members, archive)
            folder.mkdir(parents=True, exist_ok=True)
            for name, digest in members.items():
                _write(opened, chosen[name], folder / name, digest)
    except DAMAGED as error:
        raise UniPortraitError(f"{archive.name} is damaged ({error}). Run this again to get it anew.") from error


def _expected(infos: list[zipfile.ZipInfo], members: Mapping[str, str], archive: Path) -> Mapping[str, zipfile.ZipInfo]:
    chosen: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = PurePosixPath(info.filename).name
        if problem := _suspicious(info) or ("is in it twice" if name in chosen else ""):
            raise UniPortraitError(
                f"{archive.name} was not unpacked: {info.filename!r} {problem}. It is not the archive that is meant; "
                "get it by hand from its publisher's page."
            )
        if name in members:
            chosen[name] = info
    if missing := sorted(set(members) - set(chosen)):
        raise UniPortraitError(
            f"{archive.name} was not unpacked: it has no {', '.join(missing)}. It is not the archive that is meant; "
            "get it by hand from its publisher's page."
        )
    return chosen


def _suspicious(info: zipfile.ZipInfo) -> str:
    # ZipInfo has turned the backslashes of Windows into slashes there; elsewhere they are part of a name.
    name = info.orig_filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or parts[:1] == ("/",) or ":" in name:
        return "leads out of the folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.file_size > LARGEST:
        return f"would have {info.file_size:,} bytes"
    return ""


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, digest: str) -> None:
    part, hasher = target.with_name(f"{target.name}.part"), hashlib.sha256()
    try:
        with opened.open(info) as member, part.open("wb") as file:  # gives no more than the size that was checked
            while block := member.read(1024**2):
                hasher.update(block)
                file.write(block)
        if hasher.hexdigest() != digest:
            raise UniPortraitError(
                f"{target.name} of the archive is not the file that is meant: its hash is {hasher.hexdigest()}, "
                f"{digest} is needed. Run this again, or get it by hand from its publisher's page."
            )
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
