"""Two browsers and a program at one server: nothing leaks between what they queue, to the bit.

The short form of `tests/many_at_once.py`, with some of its graphs.

Environment:
    COMFYUI_PATH: folder of the ComfyUI to test in.
    UNIPORTRAIT_STANDINS: models folder that `tests/standins/build.py` wrote.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from crowd.alone import outcomes_alone
from crowd.judge import judge
from crowd.outcome import ERROR, SUCCESS
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
