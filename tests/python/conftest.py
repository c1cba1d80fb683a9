"""The package as it stands in the source tree; the library from REWIRE_LIBRARY or build/."""

import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "apps" / "python"))

import rewire  # noqa: E402, F401  (registers torch.ops.rewire.*)
