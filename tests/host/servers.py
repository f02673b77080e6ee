"""What the tests that start servers of their own have in common."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def standin_models() -> Path:
    """The models folder with stand-in weights; a test without it is skipped."""
    models = os.environ.get("UNIPORTRAIT_STANDINS")
    if not models:
        pytest.skip("UNIPORTRAIT_STANDINS is not set: there are no weights to run with")
    return Path(models)
