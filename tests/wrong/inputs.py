"""Values for the inputs of nodes: sound ones, and wrong ones of every kind that a wire may bring."""

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import torch
from torch import Tensor

Pool = dict[str, Any]
"""A sound value for each type of socket."""

NUMBERS = (0, 1, -1, 0.5, 3, 64, 65, 2**31, 2**63, 2**64, 10**400, -(10**25), 1e-300, 1e300, math.nan, math.inf,
           -math.inf, True, False, "1", "nan", "", None)  # fmt: skip
TEXTS = ("", " ", "\n", "\x00", "a\nb", "x" * 100_000, "../x", "../../x", "/x", "a/../../x", "C:\\x", "..", ".", "con",
         "\ud800", "%date:yyyy%", "%width%", "{0}", "1, 5, 10-12", "0", "1-999999999999", "9" * 5_000, "-3", "average",
         "each", "3-1", "1,,2", "a" * 300, "a" * 200 + "/" + "b" * 200, "~/x", "$HOME", "a\\..\\..\\x", "link/x",
         "x.safetensors", "..." * 9, "\u202ex", "äß日本", None, 3, [], {"a": 1}, b"x")  # fmt: skip


def image_like(dice: Random) -> object:
    """Pictures, masks and latents in every wrong shape, type and place; some of them merely unusual."""
    shape = dice.choice(
        [(1, 64, 64, 3), (2, 40, 50, 3), (0, 64, 64, 3), (1, 0, 64, 3), (1, 64, 64, 0), (1, 64, 64, 1), (1, 64, 64, 4),
         (64, 64, 3), (64, 64), (), (3,), (1, 3, 64, 64), (1, 1, 64, 64, 3), (1, 31, 64, 3), (1, 32, 32, 3),
         (1, 1, 1, 3), (1, 32, 5_000, 3), (1, 5_000, 33, 3), (40, 32, 32, 3), (1, 4, 8, 8), (1, 8, 8), (2, 1, 8, 8),
         (1, 16, 8, 8), (3, 4, 16, 8), (1, 4, 0, 8), (1, 4, 1, 1), (1, 4, 1, 8, 8)]
    )  # fmt: skip
    make: tuple[Callable[[], object], ...] = (
        lambda: torch.rand(shape), lambda: torch.rand(shape), lambda: torch.rand(shape),
        lambda: torch.rand(shape).half(), lambda: torch.rand(shape).bfloat16(), lambda: torch.rand(shape).double(),
        lambda: (torch.rand(shape) * 255).byte(), lambda: torch.rand(shape) > 0.5, lambda: torch.ones(shape).long(),
        lambda: torch.rand(shape).to(torch.complex64), lambda: torch.rand(shape, device="meta"),
        lambda: torch.full(shape, math.nan), lambda: torch.full(shape, math.inf), lambda: torch.full(shape, 1e30),
        lambda: torch.full(shape, -5.0), lambda: torch.rand(shape).to_sparse(),
        lambda: torch.rand(shape).requires_grad_(), lambda: torch.rand(shape).numpy(),
        lambda: torch.rand(shape).tolist(),
        lambda: torch.rand(()).expand(shape),
        lambda: torch.rand(shape[::-1]).movedim(0, -1) if shape else torch.rand(1),
        lambda: [torch.rand(shape)], lambda: torch.zeros(shape),
        lambda: torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 3)]),
    )  # fmt: skip
    return dice.choice(make)()


def people_like(sound: tuple, dice: Random) -> object:
    """People whose parts are not what they should be."""
    person = sound[0]
    tokens = dice.choice([torch.rand(person.cond.shape), torch.rand(8, 24), image_like(dice), torch.rand(16, 0), None])
    changes = dice.choice(
        [{"cond": tokens}, {"uncond": tokens}, {"cond": tokens, "uncond": tokens}, {"weight": dice.choice(NUMBERS)},
         {"mask": image_like(dice)}, {"thumbnail": image_like(dice)}, {"embedding": image_like(dice)},
         {"mask": torch.rand(9, 5)}, {"mask": torch.zeros(9, 5)}, {"embedding": torch.rand(512)},
         {"words": dice.choice(["in red", 3, image_like(dice)])}, {"words": replace(sound[1].words, tokens=tokens)}]
    )  # fmt: skip
    changed = replace(person, **changes)
    return dice.choice([(changed,), (*sound, changed), (changed, changed), sound * 20, (), [], [person], person,
                        (person, None), None, "Anna", sound[::-1]])  # fmt: skip


def latent_like(sound: dict, dice: Random) -> object:
    mask = dice.choice([None, image_like(dice), torch.rand(1, 64, 64), torch.rand(1, 1, 8, 8)])
    index = dice.choice([None, [0], [0, 1, 2], [], ["a"], -1, [math.nan], [10**30]])
    return dice.choice(
        [{}, {"samples": image_like(dice)}, {"samples": None}, {**sound, "noise_mask": mask}, [sound], None,
         {**sound, "batch_index": index}, {**sound, "uniportrait_reference": True}, sound["samples"],
         {**sound, "samples": torch.zeros(dice.choice([1, 2, 5]), dice.choice([1, 3, 4, 16]), 8, 8)}]
    )  # fmt: skip


def conditioning_like(sound: list, dice: Random) -> object:
    return dice.choice(
        [[], None, [[image_like(dice), {}]], [[sound[0][0], None]], [["x", {}]], [[sound[0][0]]], sound * 2, "a prompt",
         [[sound[0][0], {"mask": image_like(dice)}]], [[torch.rand(1, 0, 768), {}]], [[torch.rand(1, 77, 5), {}]]]
    )  # fmt: skip


def wrong_value(kind: str, socket: Any, pool: Pool, dice: Random) -> object:
    """A value for a socket of this type that nobody who follows the schema would send, most of the time."""
    if dice.random() < 0.2:
        return dice.choice([*pool.values(), None, "", 0, object(), [], {}, Odd()])
    if kind in ("FLOAT", "INT"):
        edges = (
            socket.min,
            socket.max,
            socket.min - 1,
            socket.max + 1,
            socket.min - 1e-9,
            (socket.min + socket.max) / 2,
        )
        return dice.choice([*NUMBERS, *edges, *edges, torch.tensor(0.5), torch.rand(3), torch.rand((), device="meta")])
    if kind == "COMBO":
        return dice.choice([*TEXTS, *(socket.options or ()), *(socket.options or ())])
    if kind in ("STRING", "BOOLEAN"):
        return dice.choice(TEXTS if kind == "STRING" else NUMBERS)
    if kind in ("IMAGE", "MASK"):
        return image_like(dice)
    likes = {"UNIPORTRAIT_FACE_ID": people_like, "LATENT": latent_like, "CONDITIONING": conditioning_like}
    if kind in likes:
        return likes[kind](pool[kind], dice)
    return dice.choice([*pool.values(), None, "", 3, [], Odd(), image_like(dice)])


class Odd:
    """An object that no node knows."""


def finite(value: object) -> bool:
    """Whether all numbers in what a node gives are finite, as far as it is made of tensors, lists and people."""
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, tuple | list):
        return all(map(finite, value))
    if hasattr(value, "cond") and hasattr(value, "uncond"):
        return finite(value.cond) and finite(value.uncond)
    return True
