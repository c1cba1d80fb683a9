"""Graphs of single neurons, on generated images in MNIST's format."""

import gzip
import json
import random
import shutil
import struct

import checkpoints
import pytest
from program import ROOT

CONFIGS = ROOT / "configs" / "graphs"
MNIST = sorted(path.stem for path in CONFIGS.glob("mnist-*.yaml"))
TABLES = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in MNIST)


def write(folder, split, count, packed):
    """`count` images: the digit d is a bright row of pixels, the second of them d + 2."""
    generator = random.Random(count)
    labels = bytes(generator.randrange(10) for _ in range(count))
    images = bytearray()
    for label in labels:
        image = bytearray(generator.randrange(60) for _ in range(28 * 28))
        image[28 * (label + 2) : 28 * (label + 3)] = bytes([200]) * 28
        images += image
    files = {
        "images-idx3-ubyte": struct.pack(">4I", 0x803, count, 28, 28) + images,
        "labels-idx1-ubyte": struct.pack(">2I", 0x801, count) + labels,
    }
    for name, content in files.items():
        path = folder / f"{split}-{name}"
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content)) if packed else path.write_bytes(content)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    write(folder, "train", 300, packed=True)
    write(folder, "t10k", 100, packed=False)
    return folder


@pytest.mark.parametrize("name", MNIST)
def test_trains_and_evaluates(rewire, data, name):
    config = CONFIGS / f"{name}.yaml"
    short = {"training__epochs": 1, "training__batch_size": 30, "training__drop_last": "false"}
    done = rewire("train", config, "--json", "--data", data.parent, **short).check()
    train, test = rewire.rows(f"runs/{name}")
    assert train["images"] == 300 and test["images"] == 100
    arguments = ["evaluate", config, "--checkpoint", done.json["checkpoint"], "--data", data.parent, "--json"]
    whole = rewire(*arguments, **short).check().json
    assert (whole["samples"], whole["loss"], whole["top1"]) == (100, test["loss"], test["top1"])
    assert whole["edges"] == train["edges"] == whole["macs"]
    pruned = rewire(*arguments, "--fast-eval", **short).check().json
    assert pruned["top1"] == whole["top1"] and pruned["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert pruned["edges"] <= whole["edges"]


def test_learned_wiring_learns_and_goes_on(rewire, data):
    def train(output, epochs):
        settings = {"training__batch_size": 10, "training__epochs": epochs, "training__schedule__kind": "constant"}
        config = CONFIGS / "mnist-learned-3.yaml"
        return rewire("train", config, "--json", "--output", output, "--data", data.parent, **settings).check().json

    assert train("whole", 4)["top1"] > 80
    train("parts", 2)
    assert train("parts", 4)["epochs"] == 4
    assert rewire.rows("parts") == rewire.rows("whole")
    assert all(row["edges_changed"] > 0 for row in rewire.rows("whole") if row["split"] == "train")


def test_is_drawn_profiled_and_exported(rewire, data):
    config = CONFIGS / "mnist-learned-1.yaml"
    profile = rewire("profile", config, "--json").check().json
    assert (profile["edges"], profile["macs"]) == (3555, 3555)
    rewire("visualize", config, "--to", "wiring.json").check()
    (layer,) = json.loads(rewire.path("wiring.json").read_text())["layers"]
    assert (layer["inputs"], layer["outputs"], len(layer["edges"])) == (1194, 410, 3555)
    assert all(source < target + 784 for source, target, _ in layer["edges"])
    for to in ("wiring.svg", "wiring.png", "wiring.dot"):
        rewire("visualize", config, "--to", to).check()
    rewire("visualize", config, "--to", "degrees.svg", "--show", "degrees").check()
    rewire("export", config, "--to", "model.pt", "--fast-eval").check()
    rewire("export", config, "--to", "model.safetensors").check()


def test_a_damaged_structure_is_refused(rewire, data):
    config = CONFIGS / "mnist-learned-1.yaml"
    short = {"training__epochs": 0}
    checkpoint = rewire("train", config, "--json", "--data", data.parent, **short).check().json["checkpoint"]
    for name in ("model.edges", "model.neurons"):
        damaged = rewire.path("damaged.pt")
        shutil.copy(rewire.path(checkpoint), damaged)
        checkpoints.spoil(damaged, name, bytes(400))  # a hundred times the number 0
        done = rewire("evaluate", config, "--checkpoint", damaged, "--data", data.parent).refused(4, "the structure of its neurons: ")
        assert f"expected each of its {name.removeprefix('model.')} once" in done.err
    other = {"model__groups": "[{name: hidden, neurons: 20, from: [inputs]}, {name: outputs, neurons: 10, from: [hidden]}]"}
    rewire("evaluate", config, "--checkpoint", checkpoint, "--data", data.parent, **other).refused(4, "mismatched: ")


def test_missing_images_name_the_cure(rewire):
    done = rewire("train", CONFIGS / "mnist-freewire.yaml").refused(3, "no such file, nor one without .gz")
    assert "`rewire fetch mnist --data data` brings the folder mnist" in done.err
    assert not (rewire.folder / "runs").exists()


def test_images_cut_short(rewire, data):
    path = data / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    rewire("train", CONFIGS / "mnist-freewire.yaml", "--data", data.parent).refused(
        3, f"{path}: 78415 bytes, expected 78416 (a header of 16, and 100 images of 784)"
    )


@pytest.mark.parametrize("name", TABLES)
def test_a_table_trains_and_evaluates(rewire, name):
    config = CONFIGS / f"{name}.yaml"
    done = rewire("train", config, "--json", training__epochs=150).check()
    tests = [row for row in rewire.rows(f"runs/{name}") if row["split"] == "test"]
    assert len(tests) == 150 and tests[-1]["loss"] < tests[0]["loss"]
    arguments = ["evaluate", config, "--checkpoint", done.json["checkpoint"], "--json"]
    whole, pruned = rewire(*arguments).check().json, rewire(*arguments, "--fast-eval").check().json
    assert (whole["loss"], whole["top1"]) == (tests[-1]["loss"], tests[-1]["top1"])
    assert pruned["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    rewire("visualize", config, "--to", "wiring.svg").check()
    rewire("predict", config, "--checkpoint", done.json["checkpoint"], "x.png").refused(2, "a table has no images")


def test_exclusive_or_is_learned(rewire):
    done = rewire("train", CONFIGS / "xor.yaml", "--json").check()
    assert done.json["top1"] == 100 and done.json["loss"] < 0.01
