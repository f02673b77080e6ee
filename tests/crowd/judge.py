"""Whether each got what they get alone, and nothing was left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .graphs import Order
from .outcome import ERROR, INTERRUPTED, Outcome, difference
from .play import Play, Queued

GROWTH = 0.1  # of the memory of the process from the first calm after a prompt to the last, at most


def judge(played: Play, alone: Mapping[Order, Outcome]) -> list[str]:
    """What was wrong, in words; every line says whose it was."""
    problems = list(played.problems)
    for number, one in enumerate(played.queued):
        if one.found is None:
            wrong = "" if one.disturbed else "was never run"
        else:
            wrong = _difference(one, alone[one.order.alone])
        if wrong:
            problems.append(f"prompt {number}, {one.order}: {wrong}")
    return problems + _grown(played.left)


def _difference(one: Queued, alone: Outcome) -> str:
    found = one.found
    ran_out = one.order.memory and found.ended == ERROR
    if ran_out and not found.error.startswith(f"{one.order.memory[0]}: No memory for "):
        return f"ended with {found.error!r}, and not for want of memory"
    if ran_out or (found.ended == INTERRUPTED and one.disturbed):
        # What came until then.
        shown = {name: alone.shown.get(name, []) for name in found.shown}
        return difference(found, Outcome(found.ended, found.error, shown, alone.seen))
    return difference(found, alone)


def _grown(left: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    problems, (_, first) = [], left[0]
    for number, (before, after) in enumerate(left):
        states = (("before", before), ("after", after))
        problems += [
            f"calm {number}, {when} all was freed: {state[name]} {name}"
            for when, state in states
            for name in ("held", "altered")
            if state[name]
        ]
        there = {name: count for name, count in after["kinds"].items() if count != first["kinds"].get(name)}
        if there or after["loaded"] or after["tensors"] > first["tensors"]:
            numbers = f"{after['loaded']} models, {after['tensors']} tensors instead of {first['tensors']}"
            problems.append(f"calm {number}: after all was freed there are {numbers}, and {there}")
    warm = [after["rss"] for _, after in left[1:]]  # before the first prompt the host had yet to load libraries
    if warm and warm[-1] > warm[0] * (1 + GROWTH):
        problems.append(f"memory has grown from {warm[0] / 1e6:.0f} to {warm[-1] / 1e6:.0f} MB")
    return problems
