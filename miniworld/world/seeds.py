"""Which people are used for what. The ranges never meet, so that nobody is measured whom a network was trained on."""

BASE = range(0, 1_000_000)
"""People on whom the base models and both stages are trained."""

MEASURING = range(1_000_000, 2_000_000)
"""People on whom the networks are trained that only measure."""

TEST = range(2_000_000, 3_000_000)
"""People on whom results are measured."""

DEMO = range(3_000_000, 4_000_000)
"""People of the demo and of the example photos."""
