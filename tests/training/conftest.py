"""Training is tested without a host, as the plain package that it is."""

import sys
from pathlib import Path

# Last, so that the pack's `nodes` never hides another package of that name.
sys.path.append(str(Path(__file__).parents[2]))
