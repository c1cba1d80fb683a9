"""What `import rewire` does where the library is missing or broken."""

import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "apps" / "python"


def import_with(library):
    """The last line that `import rewire` prints with REWIRE_LIBRARY set."""
    environment = {**os.environ, "REWIRE_LIBRARY": str(library), "PYTHONPATH": str(PACKAGE)}
    run = subprocess.run(
        [sys.executable, "-c", "import rewire"], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 1
    return run.stderr.strip().splitlines()[-1]


def test_missing_library(tmp_path):
    path = tmp_path / "librewire.so"
    expected = f"ImportError: rewire: REWIRE_LIBRARY={path} is no file: point it at librewire.so"
    assert import_with(path) == expected


def test_library_that_does_not_load(tmp_path):
    path = tmp_path / "librewire.so"
    path.write_bytes(b"not a library")
    line = import_with(path)
    assert line.startswith(f"ImportError: rewire: {path} does not load with torch ")
    assert "rebuild it for this torch (" in line


def test_loading_twice_registers_once():
    import importlib

    import rewire

    assert importlib.reload(rewire).__version__ == rewire.__version__
