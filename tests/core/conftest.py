"""The core is tested as the plain package that it is, without a host."""

import os
import sys
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"  # Triton's kernels run on the CPU; it wants to know before it is imported

# Last, so that the pack's `nodes` never hides another package of that name.
sys.path.append(str(Path(__file__).parents[2]))
