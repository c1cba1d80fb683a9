"""CIFAR-10 from a folder of generated records."""

import random
import re

import pytest
from program import ROOT

CONFIGS = ROOT / "configs" / "cifar10"
# The published experiment, small enough for a test.
SMALL = {
    "model__dim": 36, "model__layers": 3, "model__downsample_dim": 4, "model__feature_dim": 16,
    "training__epochs": 1, "training__batch_size": 16,
}


def records(count, seed):
    generator = random.Random(seed)
    return b"".join(bytes([generator.randrange(10)]) + generator.randbytes(3072) for _ in range(count))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(records(10, number))
    (folder / "test_batch.bin").write_bytes(records(21, 6))
    return folder


# Of other kinds: keys that a kind lacks cannot be set.
SMALLER = {
    "discrete": {key: SMALL[key] for key in SMALL if key != "model__layers"},
    "continuous": {**{key: SMALL[key] for key in SMALL if key != "model__layers"}, "model__tolerance": 0.1},
    "static": SMALL,
    "mobilenetv1": {"training__epochs": 1, "training__batch_size": 25},
}


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_trains_and_evaluates(rewire, data, name):
    config = CONFIGS / f"{name}.yaml"
    settings = SMALLER[name.split("-")[0]]
    for other in re.findall(r"runs/([\w-]+)/", config.read_text())[:1]:
        rewire("train", CONFIGS / f"{other}.yaml", "--data", data.parent, **settings).check()
    done = rewire("train", config, "--json", "--data", data.parent, **settings).check()
    assert done.json["epochs"] == 1
    train, test = rewire.rows(f"runs/{name}")
    assert train["images"] == 50 and test["images"] == 21
    evaluated = rewire(
        "evaluate", config, "--checkpoint", done.json["checkpoint"], "--data", data.parent, "--json", **settings
    ).check().json
    assert evaluated["samples"] == 21
    assert evaluated["loss"] == test["loss"]
    assert ("; published " in done.err) == ("expect:" in config.read_text())


def test_the_data_folder_may_come_from_the_environment(rewire, data):
    rewire.environment["REWIRE_DATA"] = str(data.parent)
    rewire("train", CONFIGS / "static-dnw.yaml", **SMALL).check()


def test_missing_data_names_the_cure(rewire):
    done = rewire("train", CONFIGS / "static-dnw.yaml", **SMALL).refused(3, "no such file; ")
    assert "data/cifar-10-batches-bin/data_batch_1.bin: " in done.err
    assert "`rewire fetch cifar10 --data data` brings the folder cifar-10-batches-bin" in done.err
    assert not (rewire.folder / "runs").exists()


def test_a_file_cut_by_a_byte(rewire, data):
    path = data / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    rewire("train", CONFIGS / "static-dnw.yaml", "--data", data.parent, **SMALL).refused(
        3, f"{path}: 30729 bytes, expected a positive multiple of 3073"
    )


@pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_4.bin", "test_batch.bin"])
def test_a_missing_batch(rewire, data, name):
    (data / name).unlink()
    done = rewire("train", CONFIGS / "static-dnw.yaml", "--data", data.parent, **SMALL)
    done.refused(3, f"{data / name}: no such file; `rewire fetch cifar10 --data ")
    assert not rewire.path("runs").exists()


def test_a_label_that_is_none(rewire, data):
    path = data / "test_batch.bin"
    broken = bytearray(path.read_bytes())
    broken[2 * 3073] = 10
    path.write_bytes(broken)
    rewire("train", CONFIGS / "static-dnw.yaml", "--data", data.parent, **SMALL).refused(
        3, f"{path}: record 2, offset 6146: label 10, expected 0 to 9"
    )
