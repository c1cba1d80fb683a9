"""Sparse ResNets and what their training is made of, on generated CIFAR records."""

import os
import signal

import pytest
import torch
from program import BUILD, ROOT, wait_until
from test_cifar10 import records

torch.ops.load_library(os.environ.get("REWIRE_LIBRARY", BUILD / "librewire.so"))

CONFIG = f"""\
base: {ROOT}/configs/base/cifar10.yaml
name: resnet
model: {{kind: resnet, depth: 18, wiring: {{kind: dnw, prune_rate: 0.8}}}}
training:
  epochs: 1
  batch_size: 8
  optimizer: {{lr: 0.01, no_decay: [bn]}}
execution: sparse
"""
# The training of the published ones, and all that they leave to choose.
FULL = {
    "training__epochs": 2, "training__accumulate": 2, "training__drop_last": "true",
    "training__label_smoothing": 0.1, "training__mixup": 0.2,
    "training__schedule": "{kind: cosine, per: epoch, warmup_epochs: 1}",
}  # fmt: skip
DECISIVE = FULL | {"training__precision": "bfloat16"}
# 25 images are three batches of 8, and one image, of which no norm on a map of 1x1 learns.
WHOLE = {"training__drop_last": "true"}


@pytest.fixture
def resnet(rewire, tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}.bin").write_bytes(records(5, number))
    (folder / "test_batch.bin").write_bytes(records(9, 6))
    rewire.environment["REWIRE_DATA"] = str(folder.parent)
    config = rewire.path("resnet.yaml")
    config.write_text(CONFIG)
    return config


def load(path):
    return torch.load(path, weights_only=True)


def test_stopped_anywhere_it_ends_as_one_that_was_not(rewire, resnet):
    rewire("train", resnet, "--output", "whole", **FULL).check()
    train, test = rewire.rows("whole")[:2]
    assert train["images"] == 24 and test["images"] == 9
    # One epoch of warm-up, and the first of the cosine.
    assert [row["lr"] for row in rewire.rows("whole") if row["split"] == "train"] == pytest.approx([0.01, 0.01])
    process = rewire.start("train", resnet, "--output", "parts", training__save_every=1, **FULL)
    last = rewire.checkpoint("parts")
    wait_until(last.exists)  # between the two batches of a step, or a little later
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    done = rewire("train", resnet, "--output", "parts", **FULL).check()
    assert "going on from parts/checkpoints/last.pt" in done.err
    assert rewire.rows("parts") == rewire.rows("whole")
    whole, parts = load(rewire.checkpoint("whole")), load(last)
    assert whole.keys() == parts.keys()
    for name in whole.keys() - {"config", "progress.seconds"}:
        assert torch.equal(whole[name], parts[name]), name


@pytest.mark.parametrize("key", [key for key in DECISIVE if key != "training__epochs"])
def test_another_training_is_not_gone_on_with(rewire, resnet, key):
    rewire("train", resnet, "--output", "run", training__epochs=0).check()
    name = key.replace("__", ".")
    done = rewire("train", resnet, "--output", "run", **{key: DECISIVE[key]}).check(4)
    assert f"which differs in {name}" in done.err and "name another --output" in done.err


def test_what_was_trained_evaluates_exports_and_has_a_profile(rewire, resnet):
    checkpoint = rewire("train", resnet, "--json", "--output", "run", **WHOLE).check().json["checkpoint"]
    weights = {name: t for name, t in load(rewire.path(checkpoint)).items() if name.startswith("model.") and t.dim() == 4}
    kept = {name: t.numel() - int(0.8 * t.numel()) for name, t in weights.items()}
    assert len(kept) == 21
    results = [
        rewire("evaluate", resnet, "--checkpoint", checkpoint, "--json", *options).check().json
        for options in ((), ("--execution", "dense"), ("--fast-eval",))
    ]
    row = rewire.rows("run")[1]
    assert results[0]["loss"] == row["loss"] and results[0]["edges"] == sum(kept.values())
    for result in results:
        assert result["top1"] == row["top1"] and result["loss"] == pytest.approx(row["loss"], rel=1e-5)
        assert result["edges"] == result["edges_in_use"] == sum(kept.values())
        assert result["macs"] == results[0]["macs"]

    models = []
    for options in ((), ("--fast-eval",)):
        path = rewire.path("model.pt")
        rewire("export", resnet, "--checkpoint", checkpoint, "--to", path, *options).check()
        models.append(torch.jit.load(path).eval())
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(models[0](images), models[1](images), rtol=1e-4, atol=1e-5)
    assert set(models[0].state_dict()) == {
        name.removeprefix("model.") for name in load(rewire.path(checkpoint)) if name.startswith("model.")
    }

    profile = rewire("profile", resnet, "--checkpoint", checkpoint, "--json").check().json
    rows = {row["name"]: row for row in profile["layers"]}
    assert rows.keys() == {name.removeprefix("model.").removesuffix(".weight") for name in kept}
    assert profile["wired"]["macs"] == results[0]["macs"]
    assert rows["layer2.0.conv2"]["dense"] == {"parameters": 9 * 128**2, "macs": 9 * 128**2 * 4**2}
    assert rows["layer2.0.conv2"]["wired"]["parameters"] == kept["model.layer2.0.conv2.weight"]


def test_its_pictures_are_drawn(rewire, resnet):
    rewire("train", resnet, "--output", "run", training__pictures="true", **WHOLE).check()
    names = {path.name for path in rewire.path("run", "wiring").iterdir()}
    assert len(names) == 21 and {"conv1_epoch_0.png", "layer4.1.conv2_epoch_0.png", "fc_epoch_0.png"} <= names


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"model__depth": 20}, "--set: model.depth: expected 18, 34, 50, 101 or 152 layers"),
        ({"model__init": "fan"}, "--set: model.init: "),
        ({"model__wiring__gradient": "{candidates: 0.5}"}, "model.wiring: its convolutions are computed dense"),
        ({"training__accumulate": 0}, "--set: training.accumulate: expected a number in [1, 1000000], got 0"),
        ({"training__precision": "float16"}, "training.precision: "),
        ({"training__label_smoothing": 1.5}, "training.label_smoothing: expected a number in [0, 1], got 1.5"),
        ({"training__mixup": -1}, "training.mixup: expected a number in [0, 1000], got -1"),
        ({"training__optimizer__no_decay": "bn"}, "training.optimizer.no_decay: expected a list, got 'bn'"),
        ({"training__optimizer__no_decay": "['']"}, "training.optimizer.no_decay: expected parts of names"),
        ({"training__optimizer__no_decay": "[nb]"}, "training.optimizer.no_decay: no parameter's name has a part 'nb'"),
    ],
)
def test_what_is_refused(rewire, resnet, settings, message):
    rewire("check", resnet, **settings).refused(2, message)


def test_data_that_fill_no_batch(rewire, resnet):
    rewire("train", resnet, training__drop_last="true", training__batch_size=26).refused(
        2, "training.drop_last: 25 training images fill no batch of 26"
    )
    assert not rewire.path("runs").exists()
