"""Damage to the bytes of a file: what disks, downloads and editors do. All is drawn from a given generator."""

from collections.abc import Callable
from random import Random

LONGEST = 3_000  # bytes that are added or overwritten at once
TELLING = 400  # bytes at both ends of a file, where headers and tables are, which are damaged more often than the rest


def cut(data: bytes, dice: Random) -> bytes:
    """Only the beginning is there."""
    return data[: _place(data, dice)]


def beheaded(data: bytes, dice: Random) -> bytes:
    """Only the end is there."""
    return data[_place(data, dice) :]


def grown(data: bytes, dice: Random) -> bytes:
    """Something follows: noise, zeros, or the file once more."""
    return data + dice.choice([dice.randbytes(dice.randint(1, LONGEST)), bytes(dice.randint(1, LONGEST)), data])


def flipped(data: bytes, dice: Random) -> bytes:
    """Some bits are the other way round, anywhere or where the format is told."""
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 8, 64])):
        changed[_place(data, dice)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def overwritten(data: bytes, dice: Random) -> bytes:
    """A stretch is something else: zeros, ones, noise, or another stretch of the file."""
    place, length = _place(data, dice), dice.randint(1, LONGEST)
    other = dice.randrange(len(data))
    stretch = dice.choice(
        [bytes(length), b"\xff" * length, dice.randbytes(length), data[other : other + length], b"\x7f" * 8]
    )
    return data[:place] + stretch + data[place + len(stretch) :]


def shifted(data: bytes, dice: Random) -> bytes:
    """A stretch is missing, or is there twice."""
    place, length = _place(data, dice), dice.randint(1, LONGEST)
    return data[:place] + (data[place + length :] if dice.random() < 0.5 else data[max(place - length, 0) :])


def as_text(data: bytes, _: Random) -> bytes:
    """Line ends as a transfer in text mode makes them."""
    return data.replace(b"\n", b"\r\n")


def something_else(_: bytes, dice: Random) -> bytes:
    """What lies at an address in place of the file, or nothing at all."""
    page = b"<!DOCTYPE html><html><title>404</title></html>"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 130756328\n"
    return dice.choice(
        [b"", page, pointer, b"{}", b"\x80", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), dice.randbytes(50)]
    )


DAMAGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    cut, beheaded, grown, flipped, flipped, flipped, overwritten, overwritten, shifted, as_text, something_else,
)  # fmt: skip


def damaged(data: bytes, dice: Random) -> tuple[bytes, str]:
    """A damaged copy, and what was done to it."""
    done = []
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        how = dice.choice(DAMAGES)
        data = how(data or b"\0", dice)
        done.append(how.__name__)
    return data, ", ".join(done)


def _place(data: bytes, dice: Random) -> int:
    end = min(TELLING, len(data))
    return dice.choice([dice.randrange(len(data)), dice.randrange(end), len(data) - 1 - dice.randrange(end)])
