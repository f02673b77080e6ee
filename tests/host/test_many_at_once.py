"""Two browsers and a program at one server: nothing leaks between what they queue, to the bit.

The short form of `tests/many_at_once.py`, with some of its graphs.

Environment:
    COMFYUI_PATH: folder of the ComfyUI to test in.
    UNIPORTRAIT_STANDINS: models folder that `tests/standins/build.py` wrote.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

from crowd.alone import outcomes_alone
from crowd.graphs import Order
from crowd.judge import judge
from crowd.outcome import ERROR, INTERRUPTED, SUCCESS, Outcome
from crowd.play import Play, Queued
from crowd.schedule import QUEUE, actions
from crowd.server import played
from servers import standin_models

pytestmark = pytest.mark.slow

SEED = 1
KINDS = ("several", "mapped", "failing", "saved", "encoded")
ACTIONS = 34
BROWSERS = 2


@pytest.mark.browser
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each graph alone needs a system that can fork processes")
def test_everything_is_as_it_is_alone() -> None:
    host, models = Path(os.environ["COMFYUI_PATH"]), standin_models()
    begun = itertools.count()
    played_ = played(host, models, SEED, BROWSERS, lambda: next(begun) < ACTIONS, KINDS, most_seeds=1)
    counts = played_.counts()
    assert counts[f"all {SUCCESS}"] >= 8 and counts[f"all {ERROR}"] >= 1, counts
    assert judge(played_, outcomes_alone(played_.orders(), host, models)) == []


def test_a_seed_says_all_that_is_done() -> None:
    first, second, other = ([*itertools.islice(actions(seed, 3), 200)] for seed in (1, 1, 2))
    assert first == second != other
    assert {action.who for action in first if action.what == QUEUE} == {0, 1, 2}


ALONE = Outcome(SUCCESS, shown={"latent": ["a"], "map": ["b"]}, seen={"apply step 1": ["c"], "apply step 2": ["d"]})
NO_MEMORY = Outcome(ERROR, "sample: No memory for matmul", {"map": ["b"]})


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (ALONE, ""),
        (replace(ALONE, seen={"apply step 2": ["d"]}), ""),
        (replace(ALONE, shown={"latent": ["a"], "map": ["a"]}), "other bits at map"),
        (replace(ALONE, shown={"map": ["b"]}), "other bits at latent"),
        (replace(ALONE, seen={"apply step 2": ["c"]}), "was shown what is not of it: apply step 2"),
        (replace(ALONE, seen={"record step 1": ["c"]}), "was shown what is not of it: record step 1"),
        (Outcome(INTERRUPTED), "ended with interrupted"),
        (NO_MEMORY, ""),
        (replace(NO_MEMORY, error="sample: KeyError"), "not for want of memory"),
        (replace(NO_MEMORY, shown={"map": ["a"]}), "other bits at map"),
        (None, "was never run"),
    ],
)
def test_what_the_judge_sees(found: Outcome | None, wrong: str) -> None:
    order = Order("mapped", memory=("sample", 1) if found and found.ended == ERROR else None)
    nothing = {"kinds": {}, "held": 0, "altered": 0, "loaded": 0, "tensors": 5, "rss": 100}
    played_ = Play([Queued(order, 0, "id", found=found)], left=[(nothing, nothing)])
    problems = judge(played_, {order.alone: ALONE})
    assert len(problems) == bool(wrong) and all(wrong in problem for problem in problems)
    if found is None or found.ended == INTERRUPTED:
        assert judge(replace(played_, queued=[Queued(order, 0, "id", True, found)]), {order.alone: ALONE}) == []
    growing = [(nothing, {**nothing, "rss": size}) for size in (50, 100, 120)]
    assert judge(Play(left=growing), {}) == ["memory has grown from 0 to 0 MB"]
    for name in ("held", "altered", "loaded", "tensors"):
        assert len(judge(Play(left=[(nothing, nothing), (nothing, {**nothing, name: 6})]), {})) == 1
