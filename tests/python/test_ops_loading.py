"""What `import rewire` does where the library is missing or broken."""

import importlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import rewire

PACKAGE = Path(rewire.__file__).resolve().parents[1]


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


def shared_library(path, source):
    """Compiles a library of this C++ source, or skips the test."""
    compiler = shutil.which("c++")
    if not compiler:
        pytest.skip("no C++ compiler")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-x", "c++", "-", "-o", path], input=source, text=True, check=True
    )
    return path


def test_library_for_another_torch(tmp_path):
    """It asks for a symbol that this torch does not have."""
    source = "namespace c10 { void of_another_torch(); }  void* p = (void*)&c10::of_another_torch;"
    path = shared_library(tmp_path / "librewire.so", source)
    assert import_with(path) == (
        f"ImportError: rewire: {path} does not load with torch {torch.__version__}; "
        f"rebuild it for this torch ({path}: undefined symbol: _ZN3c1016of_another_torchEv)"
    )


def test_another_library(tmp_path):
    path = shared_library(tmp_path / "librewire.so", "int nothing;")
    assert import_with(path) == f"ImportError: rewire: {path} registers no operators: is it librewire.so?"


def test_an_exported_model_without_the_library(tmp_path):
    """torch names the operator that it misses; README.md names the library that has it."""
    path = tmp_path / "model.pt"

    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.ops.rewire.keep_strongest(x, 2)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.*` is deprecated")
        torch.jit.script(Model()).save(path)
    run = subprocess.run(
        [sys.executable, "-c", f"import torch; torch.jit.load({str(path)!r})"], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "Unknown builtin op: rewire::keep_strongest." in run.stderr.splitlines()
    mapped = next(line for line in open("/proc/self/maps") if "librewire.so" in line)
    library = mapped[mapped.index("/") :].rstrip()  # a path may have spaces
    load = f"import torch; torch.ops.load_library({library!r}); torch.jit.load({str(path)!r})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", load], check=True)


def test_loading_twice_registers_once():
    assert importlib.reload(rewire).__version__ == rewire.__version__
