"""Standard streams that are closed, full or a terminal, and a locale that writes numbers with commas."""

import os
import pty
import re
import shutil
import subprocess

import pytest
import torch


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(rewire, trained, closed):
    options = rewire.options("train", rewire.config, "--output", "run", "--json")
    rewire.run(["sh", "-c", f'exec "$@" {closed}', "sh", *options]).check()
    assert rewire.rows("run") == trained.rows("run")
    torch.load(rewire.checkpoint("run"), weights_only=True)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nobody_reads(rewire, stream):
    read, write = os.pipe()
    os.close(read)
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: write}
    command = rewire.options("train", rewire.config, "--output", "run", "--json", training__epochs=1)
    done = subprocess.run(command, cwd=rewire.folder, env=rewire.environment, timeout=60, **streams)
    os.close(write)
    assert done.returncode == 0
    assert len(rewire.rows("run")) == 2


def test_a_terminal_gets_a_progress_bar(rewire):
    master, slave = pty.openpty()
    command = rewire.options("train", rewire.config, "--output", "run", training__epochs=1)
    process = subprocess.Popen(
        command, cwd=rewire.folder, env=rewire.environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait(60) == 0
    assert "epoch 1/1 ━".encode() in shown and b"images/s" in shown and b" left" in shown


def test_without_a_terminal_there_is_none(trained):
    assert "\r" not in trained.result.err and "━" not in trained.result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["check", "small.yaml"],
        ["check", "small.yaml", "--json"],
        ["export", "small.yaml", "--to", "model.pt", "--json"],
        ["train", "small.yaml", "--output", "run", "--json", "--set", "training.epochs=1"],
    ],
)
def test_standard_output_on_a_full_disk(rewire, arguments):
    done = rewire.run(["sh", "-c", 'exec "$@" > /dev/full', "sh", *rewire.options(*arguments)]).check(1)
    lines = done.err.splitlines()
    assert lines[-1] == "rewire: standard output: No space left on device"
    assert lines.count(lines[-1]) == 1
    if "train" in arguments and "--json" in arguments:
        assert len(rewire.rows("run")) == 2  # the training itself is done


def test_standard_error_on_a_full_disk(rewire, trained):
    command = ["sh", "-c", 'exec "$@" 2> /dev/full', "sh"]
    rewire.run([*command, *rewire.options("train", rewire.config, "--output", "run")]).check()
    assert rewire.rows("run") == trained.rows("run")


@pytest.fixture(scope="module")
def commas(tmp_path_factory):
    """The environment of a locale in which one half is 0,5."""
    if not shutil.which("localedef"):
        pytest.skip("no localedef")
    folder = tmp_path_factory.mktemp("locales")
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "UTF-8", folder / "de_DE.UTF-8"], capture_output=True, text=True
    )
    environment = {"LOCPATH": str(folder), "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
    found = subprocess.run(
        ["locale", "decimal_point"], env=os.environ | environment, capture_output=True, text=True
    )
    if found.stdout != ",\n":
        pytest.skip(f"no locale with a comma: {made.stderr.strip()}")
    return environment


def test_a_locale_with_commas(rewire, trained, commas):
    rewire.environment |= commas
    done = rewire.train("run", training__pictures="true").check()
    assert rewire.rows("run") == trained.rows("run")
    assert done.json["top1"] == trained.result.json["top1"]
    assert not re.search(r"\d,\d", done.err)
    assert re.search(r"top1 \d+\.\d\d %", done.err)
    config = rewire.path("run", "config.yaml").read_text()
    assert config == trained.path("run", "config.yaml").read_text().replace("pictures: false", "pictures: true")
    checked = rewire("check", rewire.config, training__optimizer__lr="0.125").check()
    assert "lr: 0.125\n" in checked.out
    rewire("check", rewire.config, training__optimizer__lr="'0,125'").refused(2, "expected a number")
    shown = rewire("evaluate", rewire.config, "--checkpoint", rewire.checkpoint("run"), "--json").check()
    assert shown.json["loss"] == trained.result.json["loss"]
    assert not re.search(r"\d,\d", shown.err)
    for output in ("with.safetensors", "without.safetensors"):
        if output.startswith("without"):
            rewire.environment |= {"LC_ALL": "C"}
        rewire("export", rewire.config, "--to", output).check()
    assert (rewire.folder / "with.safetensors").read_bytes() == (rewire.folder / "without.safetensors").read_bytes()
