"""Options, help, and experiments that are refused before anything is done."""

import os
import re

import pytest
from program import ROOT

COMMANDS = ["train", "evaluate", "predict", "export", "check", "quickstart"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(rewire, command):
    done = rewire(command, "--help").check()
    assert "--set" in done.out and "--threads" in done.out
    assert done.err == ""


def test_help_names_every_command(rewire):
    out = rewire("--help").check().out
    assert all(command in out for command in COMMANDS)
    assert rewire("--version").check().out.startswith("rewire ")


@pytest.mark.parametrize(
    "arguments, text",
    [
        ([], "A subcommand is required (see rewire --help)"),
        (["trian"], "no command 'trian' (see rewire --help)"),
        (["train"], "CONFIG is required (see rewire train --help)"),
        (["check", "small.yaml", "--frob"], "--frob (see rewire check --help)"),
        (["check", "small.yaml", "--threads", "0"], "--threads"),
        (["check", "small.yaml", "--threads", "two"], "--threads"),
        (["check", "small.yaml", "--execution", "fast"], "--execution"),
        (["check", "small.yaml", "--device", "tpu"], "expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        (["check", "small.yaml", "--device", "cuda:99"], "--device cuda:99: "),
        (["train", "small.yaml", "--device", "cuda:x"], "cuda or cuda:N, got 'cuda:x'"),
        (["check", "small.yaml", "--set", "seed"], "--set: expected KEY=VALUE, got 'seed'"),
        (["check", "small.yaml", "extra"], "extra"),
        (["evaluate", "small.yaml"], "--checkpoint is required"),
        (["predict", "small.yaml", "--checkpoint", "x.pt"], "IMAGE"),
        (["export", "small.yaml"], "--to is required"),
        (["export", "small.yaml", "--to", "model.onnx"], "ends in .pt (TorchScript) or .safetensors"),
    ],
)
def test_wrong_usage(rewire, arguments, text):
    rewire(*arguments).refused(2, text)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("  optimizer:", "  optimiser:", "small.yaml:18:3: training.optimiser: unknown key (did you mean 'optimizer'?)"),
        ("epochs: 3", "epochs: '3'", "small.yaml:16:11: training.epochs: expected an integer, got the string '3'"),
        ("epochs: 3", "epochs: -3", "small.yaml:16:11: training.epochs: expected a number in [0, 1000000], got -3"),
        ("  epochs: 3\n", "", "small.yaml:16:3: training: missing key 'epochs'"),
        ("  epochs: 3\n", "\tepochs: 3\n", "small.yaml:16:1: a tab; YAML is indented with spaces"),
        ("name: small", "name: small\nname: big", "small.yaml:2:1: duplicate key 'name', first on line 1"),
        ("kind: dnw", "kind: dwn", "small.yaml:14:18: model.wiring.kind: unknown value 'dwn' (did you mean 'dnw'?)"),
    ],
)
def test_wrong_experiments(rewire, old, new, message):
    text = rewire.config.read_text()
    assert old in text
    rewire.config.write_text(text.replace(old, new, 1))
    done = rewire("check", "small.yaml").refused(2, message)
    assert done.err == message + "\n"


def test_files_that_are_no_experiment(rewire):
    (rewire.folder / "empty.yaml").write_text("")
    (rewire.folder / "binary.yaml").write_bytes(bytes(range(256)))
    (rewire.folder / "large.yaml").write_text("#" * (1 << 20) + "\n")
    (rewire.folder / "deep.yaml").write_text("[" * 600)
    (rewire.folder / "folder.yaml").mkdir()
    os.mkfifo(rewire.folder / "fifo.yaml")
    for name, message in {
        "empty": "expected a map of keys",
        "binary": "not a text file",
        "large": "larger than 1 MiB",
        "deep": "nested more than 64 levels deep",
        "folder": "not a file",
        "fifo": "not a file",
        "absent": "no such file",
    }.items():
        done = rewire("check", f"{name}.yaml").refused(2, message)
        assert done.err.startswith(f"{name}.yaml:")


def test_check_prints_an_experiment_that_check_accepts(rewire):
    first = rewire("check", "small.yaml", seed=7, training__topk="[1, 3]").check()
    assert "seed: 7\n" in first.out and "topk: [1, 3]\n" in first.out
    (rewire.folder / "again.yaml").write_text(first.out)
    again = rewire("check", "again.yaml").check()
    assert again.out == first.out
    assert first.err.count("\n") == again.err.count("\n") == 1
    assert " edges of which " in first.err and "multiply-accumulates" in first.err


def test_check_describes_the_model(rewire):
    result = rewire("check", "small.yaml", "--json").check().json
    assert result["edges"] == 68 * 68 - int(0.6 * 68 * 68)
    assert result["edges_in_use"] <= result["edges"]
    assert result["parameters"] > 68 * 68
    assert result["macs"] > 0


@pytest.mark.parametrize("kind", ["complete", "dnw", "dnw_no_update", "random", "fine_tune", "reg_td", "td"])
def test_every_kind_of_wiring_builds(rewire, kind):
    rewire("check", "small.yaml", model__wiring=f"{{kind: {kind}, prune_rate: 0}}").check()


def test_check_opens_no_data(rewire):
    rewire(
        "check", "small.yaml", "--data", "/nowhere",
        data="{kind: cifar10, root: absent, normalize: {mean: [0, 0, 0], std: [1, 1, 1]}}",
    ).check()


def test_the_page_on_experiments_names_every_key_and_choice():
    fields = (ROOT / "csrc/config/fields.h").read_text()
    calls = re.findall(r'v\.(?:field|required|choice|sections?)\((.*?)\);', fields, re.DOTALL)
    named = {word for call in calls for word in re.findall(r'"(\w+)"', call)}
    assert len(named) > 60
    page = re.sub(r"```.*?```", "", (ROOT / "configs/README.md").read_text(), flags=re.DOTALL)
    written = {word for code in re.findall(r"`([^`]+)`", page) for word in re.findall(r"\w+", code)}
    assert named - written == set()


def test_the_page_on_experiments_shows_one_that_holds(rewire, tmp_path):
    page = (ROOT / "configs/README.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    assert "base: configs/base/static.yaml" in example
    file = tmp_path / "mine.yaml"
    file.write_text(example.replace("configs/", f"{ROOT}/configs/"))
    out = rewire("check", file, "--data", tmp_path).out
    assert "prune_rate: 0.99" in out and "milestones: [15, 23]" in out
