"""The programs in apps/python/examples, for a few steps."""

import random
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "apps" / "python" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not in the wheel")


@pytest.fixture
def run(monkeypatch, capsys):
    def run(name, *arguments):
        torch.manual_seed(0)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_example_is_short_and_tested():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"fifteen_lines.py", "resnet18_cifar10.py", "transformer.py"}
    assert all(len((EXAMPLES / name).read_text().splitlines()) < 60 for name in names)
    lines = (EXAMPLES / "fifteen_lines.py").read_text().splitlines()[1:]
    assert len([line for line in lines if line and not re.match("import argparse|parser", line)]) == 15


@pytest.mark.slow
def test_digits_in_fifteen_lines(run):
    shown = run("fifteen_lines.py", "--steps", 300)
    right, edges = re.fullmatch(r"([\d.]+)% of the test images right, by (.*) edges\n", shown).groups()
    assert float(right) > 70 and edges == "[185, 29]"


@pytest.mark.slow
def test_a_transformer_dense_and_sparse(run):
    shown = run("transformer.py", "--steps", 2)
    rows = re.findall(r"^(\S+) +([\d.]+) s a step, loss ([\d.]+)$", shown, re.M)
    assert [name for name, *_ in rows][:3] == ["dense", "learned", "fixed"]
    assert all(float(seconds) > 0 and float(loss) < 10 for _, seconds, loss in rows)


def records(count):
    generator = random.Random(0)
    return b"".join(bytes([generator.randrange(10)]) + generator.randbytes(3072) for _ in range(count))


@pytest.mark.slow
def test_resnet18_on_cifar10(run, tmp_path):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        (folder / name).write_bytes(records(20))
    shown = run("resnet18_cifar10.py", "--steps", 2, "--data", tmp_path)
    assert re.search(r"[\d.]+% of 20 test images right, by 1115760 edges of 11157504\n$", shown)


def test_resnet18_says_what_is_missing(run, tmp_path):
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    with pytest.raises(SystemExit) as caught:
        run("resnet18_cifar10.py", "--data", tmp_path)
    message = str(caught.value)
    assert message == (
        f"{tmp_path}/cifar-10-batches-bin/data_batch_*.bin: no such file; "
        f"`rewire fetch cifar10 --data {tmp_path}` brings the folder cifar-10-batches-bin"
    )
