"""Reading one picture out of a shard."""

import io
import tarfile

import fsspec
import numpy as np

from .index import Shard, damaged


def read_members(shard: Shard, place: np.ndarray) -> tuple[str, dict[str, bytes]]:
    """Read a picture with all that belongs to it, in one request.

    Args:
        shard: where it is.
        place: offset and length in bytes, (2,).

    Returns:
        Its key, and the content of its members by extension: `json`, `jpg` or `png`, `face0.png`, …, `safetensors`.

    Raises:
        UniPortraitError: the shard cannot be read, ends too early, or holds something else there.
    """
    offset, length = (int(number) for number in place)
    files, path = fsspec.url_to_fs(shard.address)
    try:
        content = files.cat_file(path, start=offset, end=offset + length)
        if len(content) != length:  # fewer at a lost end; more from a server that does not know of ranges
            raise damaged(shard, f"not readable at byte {offset:,} ({len(content):,} bytes came instead of {length:,})")
        return _members(content)
    except (OSError, tarfile.TarError, ValueError) as error:
        raise damaged(shard, f"not readable at byte {offset:,} ({error})") from error


def _members(content: bytes) -> tuple[str, dict[str, bytes]]:
    members: dict[str, bytes] = {}
    key = ""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        for member in tar:
            folder, slash, name = member.name.rpartition("/")
            stem, _, extension = name.partition(".")
            key = f"{folder}{slash}{stem}"
            members[extension] = tar.extractfile(member).read()
    if "json" not in members:
        raise ValueError("no picture begins there")
    return key, members
