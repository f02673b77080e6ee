"""Files that somebody made wrong on purpose: that call things, that unpack to much more than they are, that lead
elsewhere."""

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]

BOMB = 300_000_000  # bytes that a few hundred kilobytes unpack to
MARK = "code has run"  # file that a trap's code writes beside the trap
NAMES = (
    "a\nb", "a\r\x1b[31mb", "..", "...", "it's", 'a"b', "{0}", "%s%n", "ä ö", "\u202eabc", "CON", "a" * 200, "-rf", " ",
    "a\udcffb",
)  # fmt: skip
"""Names of files, without an ending, that some program somewhere takes for something else."""


class Call:
    """An object that is a call to whoever unpickles it trustfully."""

    def __init__(self, function: Callable, *arguments: object):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable, tuple]:
        return self.function, self.arguments


def calling(tensors: Tensors, dice: Random, mark: Path) -> bytes:
    """A pickle, of any form, that writes `mark` when it is read trustfully."""
    code = f"open({str(mark)!r}, 'w').close()"
    call = dice.choice(
        [Call(os.system, f"touch '{mark}'"), Call(exec, code), Call(eval, code), Call(open, str(mark), "w"),
         Call(os.mkdir, str(mark)), Call(getattr, "x", "upper"), Call(Path.touch, mark)]
    )  # fmt: skip
    place = dice.choice(["instead", "value", "key"])
    content: Any = {"instead": call, "value": {**tensors, "x": call}, "key": {**tensors, ("x", call): 1}}[place]
    if dice.random() < 0.3:
        return pickle.dumps(content, protocol=dice.choice([2, 4]))
    return _saved(content, dice.random() < 0.5)


def odd_content(tensors: Tensors, dice: Random) -> bytes:
    """What a PyTorch file may hold, and weights are not."""
    key = dice.choice(list(tensors))
    value = tensors[key]
    wide = dice.choice([10, 10_000, 100_000_000])
    odd = dice.choice(
        [lambda: torch.zeros(1).expand(wide, *value.shape), lambda: value.to("meta"), lambda: value.float().to_sparse(),
         lambda: torch.nn.Parameter(value.float()), lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
         lambda: torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8),
         lambda: torch.empty(wide, device="meta"),
         lambda: value.float().mT if value.ndim > 1 else value, lambda: None, lambda: 3, lambda: [value],
         lambda: "text", lambda: {"deeper": {"deeper": value}}, lambda: torch.sparse_coo_tensor(size=(wide, 1))]
    )  # fmt: skip
    kept = {other: tensor for other, tensor in tensors.items()}
    content = dice.choice([lambda: {**kept, key: odd()}, odd, lambda: [kept], lambda: (kept, kept), lambda: {1: kept}])
    return _saved(content(), dice.random() < 0.7)


def endless_content(tensors: Tensors, dice: Random) -> bytes:
    """Dictionaries that hold themselves, or each other so often that no list of what they hold comes to an end."""
    circle: dict[str, Any] = dict(tensors)
    circle["again"] = circle
    twice: dict[str, Any] = dict(tensors)
    for _ in range(60):
        twice = {"a": twice, "b": twice}
    deep: dict[str, Any] = dict(tensors)
    for _ in range(300):
        deep = {"a": deep}
    return _saved(dice.choice([circle, twice, deep]), dice.random() < 0.5)


def packed(tensors: Tensors, dice: Random) -> bytes:
    """A PyTorch file whose parts are compressed, which PyTorch itself never does; or with odd names in it."""
    if dice.random() < 0.3:
        return bomb(next(key for key in tensors))
    source = zipfile.ZipFile(io.BytesIO(_saved(tensors, True)))
    target, method = io.BytesIO(), dice.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
    with zipfile.ZipFile(target, "w", method) as out:
        for info in source.infolist():
            name = info.filename if dice.random() < 0.97 else dice.choice(["../../x", "/x", "a\nb", info.filename * 9])
            out.writestr(name, source.read(info) * dice.choice([1, 1, 1, 1, 1, 1, 1, 3]))
    return target.getvalue()


def odd_header(tensors: Tensors, dice: Random, metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file whose header says what cannot be, or says it oddly."""
    from safetensors.torch import save

    whole = save({key: value.contiguous() for key, value in tensors.items()}, metadata)
    length = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    keys = [key for key in header if key != "__metadata__"]
    entry = header[dice.choice(keys)]
    begin, end = entry["data_offsets"]
    offsets = [[end, begin], [begin, end + 4], [begin, 2**63], [-4, end], [begin], [begin, end, 0], ["0", "4"], None,
               [begin + 0.5, end], [0, end - begin], [begin, begin]]  # fmt: skip
    shapes = [[2**40, 2**40], [-1], [2**63], [1] * 200, None, "4", [0.5], [[4]], [2**64, 0]]
    where = dice.choice(["data_offsets", "shape", "dtype", "gone", "metadata", "raw", "length"])
    if where == "data_offsets":
        entry[where] = dice.choice(offsets)
    elif where == "shape":
        entry[where] = dice.choice(shapes)
    elif where == "dtype":
        entry[where] = dice.choice(["F4", "U8", "F64", "BOOL", "", None, 7, "F32\n", "C64", "F8_E4M3"])
    elif where == "gone":
        del entry[dice.choice(list(entry))]
    elif where == "metadata":
        odd = [None, 7, [], {"format": None}, {"format": {}}, {"format": ["pt"]}, {}, "x"]
        odd += [{**(metadata or {}), name: value} for name in metadata or ("uniportrait.format",) for value in ODD_TEXT]
        header["__metadata__"] = dice.choice(odd)
    text = json.dumps(header).encode()
    if where == "raw":
        text = dice.choice([b"[" * 200_000, b"{}", b"[]", b"null", text.replace(b'"', b"'"), text[:-1] + b',"":{}}',
                            text + b" " * 5_000_000, b'{"a":' * 50_000, text.replace(b"F32", b"\xff\xfe")])  # fmt: skip
    told = dice.choice([0, 1, 2**32, 2**63, 2**64 - 1, len(text) + 8]) if where == "length" else len(text)
    return struct.pack("<Q", told) + text + data


ODD_TEXT = ("", "0", "-1", "2", "1e3", "1_000", "1000000000", "9" * 5_000, "nan", "\n", "[", "{}", "null", "x" * 9_000)


def place_oddly(path: Path, sound: Path, dice: Random) -> str:
    """Put at `path` something that is no ordinary file; returns what."""
    what = dice.choice(["circle", "nowhere", "folder", "device", "pipe", "unreadable"])
    if what == "circle":
        path.symlink_to(path.name)
    elif what == "nowhere":
        path.symlink_to(sound.with_name("is not there"))
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to(dice.choice(["/dev/zero", "/dev/null", "/dev/random"]))
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"")
        path.chmod(0)
    return what


def _saved(content: object, as_zip: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=as_zip)
    return file.getvalue()


@cache
def bomb(key: str) -> bytes:
    """A file of a tensor of zeros, packed."""
    source = zipfile.ZipFile(io.BytesIO(_saved({key: torch.zeros(1)}, True)))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for info in source.infolist():
            is_data = "/data/" in info.filename and info.filename.endswith("/0")
            out.writestr(info.filename, bytes(BOMB) if is_data else source.read(info))
    return target.getvalue()
