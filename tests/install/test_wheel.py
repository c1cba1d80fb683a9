"""The wheel: installed into an environment of its own, it runs there without the sources."""

import email
import os
import re
import shutil
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("REWIRE_BUILD", ROOT / "build"))
TESTS = ("conftest.py", "formula.py", "test_demo.py", "test_layers.py", "test_ops_loading.py")

# What torch brings, CUDA and the C++ runtime; the rest a wheel carries.
FROM_OUTSIDE = re.compile(r"(libtorch|libtorch_cpu|libc10|libgomp|libcudart|libstdc\+\+|libgcc_s|libc|libm|"
                          r"ld-linux-x86-64)(-[0-9a-f]+)?\.so[.0-9]*")

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cached(name):
    return re.search(f"^{name}:[A-Z]+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)[1]


@pytest.fixture(scope="module")
def wheel():
    """Of the torch and with the CUDA that the build has."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    options = (f"TORCH={cached('REWIRE_PYTHON')}", f"CUDA={cached('REWIRE_CUDA')}", f"BUILD={BUILD}")
    shutil.rmtree(BUILD / "wheel", ignore_errors=True)
    run("make", "wheel", *options, cwd=ROOT, env=environment)
    [path] = (BUILD / "wheel").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An environment with the wheel, and torch, numpy and pytest by a link to where they are."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "torch.pth").write_text(str(Path(torch.__file__).parents[1]))
    run(folder / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def library(python):
    return Path(run(python, "-c", "import rewire; print(rewire.__path__[0])").strip()) / "lib" / "librewire.so"


def test_says_what_it_is_for(wheel):
    assert wheel.name.endswith("-py3-none-linux_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        fields = email.message_from_bytes(archive.read(metadata))
        assert not [name for name in archive.namelist() if not name.startswith("rewire")]
    minor = ".".join(torch.__version__.split(".")[:2])
    assert fields.get_all("Requires-Dist") == [f"torch=={minor}.*"]
    [version] = re.findall(r"project\(rewire VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    assert fields["Version"] == version


def test_needs_nothing_from_outside_but_torch_cuda_and_the_runtime_of_cpp(library):
    carried = {path.name for path in library.parent.iterdir()}
    for path in library.parent.glob("*.so*"):
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", path)))
        assert {name for name in needed - carried if not FROM_OUTSIDE.fullmatch(name)} == set(), path
    folders = re.search(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", run("readelf", "-d", library))[1].split(":")
    assert all(folder.startswith("$ORIGIN") for folder in folders)


def test_runs_where_no_source_is(python, library, tmp_path):
    assert library.is_relative_to(python.parents[1])
    for name in TESTS:
        shutil.copy(ROOT / "tests" / "python" / name, tmp_path)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("REWIRE_", "PYTHON"))}
    environment = kept | {"REWIRE_INSTALLED": "1"}
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path, cwd=tmp_path, env=environment)


def test_a_project_in_cpp_finds_it(python, library, tmp_path):
    """As torch, the package brings what find_package needs."""
    run("cmake", "-S", ROOT / "tests" / "install", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={library.parents[1]}",
        f"-DREWIRE_PYTHON={python}")
    run("cmake", "--build", tmp_path)
    assert (tmp_path / "consumer").is_file()
