"""An installed rewire: its program runs, and a project of its own finds and uses the library."""

import os
import re
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
    assert status in (done.returncode, None), done.stdout + done.stderr
    return done.stdout + done.stderr


def configure(prefix, build, *options, status=0):
    return run("cmake", "-S", HERE, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", *options, status=status)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """A tree that was installed elsewhere and then moved here; its path has a space."""
    first = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", BUILD, "--prefix", first)
    return Path(shutil.move(first, tmp_path_factory.mktemp("moved") / "my rewire"))


@pytest.fixture(scope="module")
def model(prefix, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.pt"
    run(prefix / "bin" / "rewire", "export", ROOT / "configs" / "digits" / "learned.yaml", "--to", path)
    return path


@pytest.fixture(scope="module")
def built_with():
    """The Python whose torch the build has."""
    return re.search("^REWIRE_PYTHON:[A-Z]+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)[1]


def fake_python(folder, script):
    """A program that can be asked for its torch, and what it says is `script`'s to decide."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_program_runs_where_it_was_moved(prefix):
    assert "train" in run(prefix / "bin" / "rewire", "--help")


def test_library_takes_the_cuda_runtime_of_torchs_wheel(prefix, built_with, monkeypatch):
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    [library] = prefix.rglob("librewire.so")
    if "libcudart" not in run("readelf", "-d", library):
        pytest.skip("the build has no CUDA")
    loaded = re.search(r"libcudart\S+ => (.*) \(0x", run("ldd", library))
    wheels = run(built_with, "-c", "import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))")
    assert loaded and Path(loaded[1]).resolve().is_relative_to(Path(wheels.strip()).resolve() / "nvidia")


def test_project_calls_an_operator_and_runs_an_exported_model(prefix, model, tmp_path):
    configure(prefix, tmp_path / "build")
    run("cmake", "--build", tmp_path / "build")
    assert run(tmp_path / "build" / "consumer", model) == "-1\n[1, 10]\n"


def test_program_of_the_readme(prefix, model, tmp_path):
    [program] = re.findall(r"```cpp\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "consumer.cpp").write_text(program)
    shutil.copy(HERE / "CMakeLists.txt", tmp_path)
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "build")
    assert run(tmp_path / "build" / "consumer", model) == "[1, 10]\n[3]\n"


def test_project_that_found_torch_before_uses_that(prefix, model, built_with, tmp_path):
    torch = run(built_with, "-c", "import torch; print(torch.utils.cmake_prefix_path)").strip()
    nobody = fake_python(tmp_path, "exit 1")
    message = configure(prefix, tmp_path / "build", "-DTORCH_FIRST=ON", f"-DTorch_DIR={torch}/Torch",
                        f"-DREWIRE_PYTHON={nobody}", status=None)
    if "the consumer found Torch" not in message:
        pytest.skip(f"find_package(Torch) fails without Rewire: {message[-300:]}")
    assert "Build files have been written" in message, message
    run("cmake", "--build", tmp_path / "build")
    assert run(tmp_path / "build" / "consumer", model) == "-1\n[1, 10]\n"


def test_fitting_torch_of_a_named_python_is_taken(prefix, built_with, tmp_path):
    python = fake_python(tmp_path, f'touch "$0.asked"; exec "{built_with}" "$@"')
    message = configure(prefix, tmp_path / "build", f"-DREWIRE_PYTHON={python}", "-DASK_TWICE=ON")
    assert "asked once: Rewire_FOUND=1" in message
    assert python.with_name("python.asked").exists()


@pytest.mark.parametrize("twice", ["OFF", "ON"])
def test_another_torch_is_refused(prefix, tmp_path, twice):
    python = fake_python(tmp_path, "echo /nowhere; echo 1.13.1")
    message = configure(prefix, tmp_path / "build", f"-DREWIRE_PYTHON={python}", f"-DASK_TWICE={twice}",
                        status=1)
    assert ("asked once: Rewire_FOUND=0" in message) == (twice == "ON")
    assert "torch 1.13.1 was found" in " ".join(message.split())
    assert "another Python with REWIRE_PYTHON" in " ".join(message.split())


def test_python_without_torch_leaves_an_optional_rewire_unfound(prefix, tmp_path):
    python = fake_python(tmp_path, "exit 3")
    message = configure(prefix, tmp_path / "build", f"-DREWIRE_PYTHON={python}", "-DASK_TWICE=ON", status=1)
    assert "asked once: Rewire_FOUND=0" in message
    assert "cannot import torch (3)" in " ".join(message.split()) and "make deps" not in message
