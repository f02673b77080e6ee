"""Networks of the mini world, trained for two steps."""

from dataclasses import replace

import pytest

from jobs_of_miniworld import job
from miniworld.config import TINY
from miniworld.files import Files
from miniworld.recipes.lanes import RECIPES, train_all
from miniworld.recipes.stages import WITHOUT


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Files:
    """All networks after two steps."""
    folder = tmp_path_factory.mktemp("miniworld")
    budgets = {name: replace(budget, steps=2, batch=4) for name, budget in TINY.budgets.items()}
    preset = replace(TINY, scenes=24, people=6, photos=2, checks=6, budgets=budgets)
    names = [name for name in RECIPES if name not in WITHOUT]
    assert train_all(job(folder, preset=preset), names, lanes=False) == []
    return Files(folder)
