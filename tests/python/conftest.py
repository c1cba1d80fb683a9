"""The package as it stands in the source tree, and the benchmark; the library from REWIRE_LIBRARY or
build/."""

import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(SOURCE / "apps" / "python"), str(SOURCE / "apps" / "bench")]

import rewire  # noqa: E402, F401  (registers torch.ops.rewire.*)
