"""The core is tested as the plain package that it is, without a host."""

import sys
from pathlib import Path

# Last, so that the pack's `nodes` never hides another package of that name.
sys.path.append(str(Path(__file__).parents[2]))
