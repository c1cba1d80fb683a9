"""An installed rewire: its program runs, and a project of its own finds and uses the library."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = Path(os.environ.get("REWIRE_BUILD", ROOT / "build"))

pytestmark = pytest.mark.slow


def run(*command, status=0):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def configure(prefix, build, *options, status=0):
    return run("cmake", "-S", HERE, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", *options, status=status)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """A tree that was installed elsewhere and then moved here; its path has a space."""
    first = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", BUILD, "--prefix", first)
    return Path(shutil.move(first, tmp_path_factory.mktemp("moved") / "my rewire"))


def test_program_runs_where_it_was_moved(prefix):
    assert "train" in run(prefix / "bin" / "rewire", "--help")


def test_project_calls_an_operator_and_runs_an_exported_model(prefix, tmp_path):
    model = tmp_path / "model.pt"
    run(prefix / "bin" / "rewire", "export", ROOT / "configs" / "digits" / "learned.yaml", "--to", model)
    configure(prefix, tmp_path / "build")
    run("cmake", "--build", tmp_path / "build")
    assert run(tmp_path / "build" / "consumer", model) == "-1\n[1, 10]\n"


def test_another_torch_is_refused(prefix, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho /nowhere\necho 1.13.1\n")
    python.chmod(0o755)
    message = configure(prefix, tmp_path / "build", f"-DREWIRE_PYTHON={python}", status=1)
    assert "1.13.1" in message and "another Python with REWIRE_PYTHON" in " ".join(message.split())
