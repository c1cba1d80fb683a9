"""The package as it stands in the source tree, and the benchmark; the library from REWIRE_LIBRARY or
build/. With REWIRE_INSTALLED the package that pip installed."""

import os
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "apps" / "bench"))
if not os.environ.get("REWIRE_INSTALLED"):
    sys.path.insert(0, str(SOURCE / "apps" / "python"))

import rewire  # noqa: E402, F401  (registers torch.ops.rewire.*)
