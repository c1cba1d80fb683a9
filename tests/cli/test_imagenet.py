"""The published experiments on ImageNet, with generated images in its place."""

import os

import images
import pytest
import torch
from program import BUILD, ROOT

torch.ops.load_library(os.environ.get("REWIRE_LIBRARY", BUILD / "librewire.so"))

CONFIGS = ROOT / "configs" / "imagenet"
# Those of test_resnet50.py are many, and large.
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("resnet50-"))
SMALL = {
    "data__classes": 2, "data__image_size": 32, "data__val_resize": 36, "data__workers": 2,
    "training__epochs": 1, "training__batch_size": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_trains_two_steps_and_evaluates(rewire, name):
    images.make(rewire.path("data", "imagenet"), classes=2, train=4, val=3)
    config = CONFIGS / f"{name}.yaml"
    done = rewire("train", config, "--json", **SMALL).check()
    train, test = rewire.rows(f"runs/{name}")
    assert train["images"] == 4 and test["images"] == 3
    evaluated = rewire("evaluate", config, "--checkpoint", done.json["checkpoint"], "--json", **SMALL).check().json
    assert evaluated["samples"] == 3
    assert evaluated["loss"] == test["loss"]
    published = float(config.read_text().split("top1: ")[1].split(",")[0])
    assert f"; published {published:g} (" in done.err


@pytest.mark.parametrize("name", NAMES)
def test_check(rewire, name):
    done = rewire("check", CONFIGS / f"{name}.yaml", "--json").check()
    assert f"name: {name}\n" in done.out and "classes: 1000\n" in done.out


# Of the golden file, whose weights are others: some more or fewer channels have no edge at all.
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("dnw", "random"))])
def test_profile(rewire, name):
    golden = torch.load(ROOT / "tests" / "golden" / "profiles.pt", weights_only=True)
    key = "large_" + name.replace("-", "_").replace(".", "")
    result = rewire("profile", CONFIGS / f"{name}.yaml", "--json").check().json
    assert result["image_size"] == 224
    assert result["fast_eval"]["parameters"] == pytest.approx(golden[f"{key}.params_double"].item(), rel=2e-3)
    assert result["fast_eval"]["macs"] == pytest.approx(golden[f"{key}.macs_double"].item(), rel=0.05)


def test_profile_of_shufflenet(rewire):
    result = rewire("profile", CONFIGS / "shufflenetv2-x0.5.yaml", "--json").check().json
    rows = {row["name"]: row["dense"] for row in result["layers"]}
    assert len(rows) == 1 + 3 * 5 + 13 * 3 + 1 + 1
    assert rows["conv1.0"] == {"parameters": 27 * 24, "macs": 27 * 24 * 112 * 112}
    assert rows["stage4.3.branch2.3"] == {"parameters": 9 * 96, "macs": 9 * 96 * 49}
    assert result["dense"]["macs"] == result["macs"] == 40476448
    rewire("check", CONFIGS / "shufflenetv2-x0.5.yaml", model__width=0.75).refused(
        2, "--set: model.width: expected 0.5, 1, 1.5 or 2, of which channels are published"
    )


def test_a_checkpoint_of_torchvision_is_imported(rewire):
    """Its names are those of the network here, in torchvision's order."""
    names = {}
    rewire("export", CONFIGS / "shufflenetv2-x0.5.yaml", "--to", "model.pt", data__classes=5).check()
    module = torch.jit.load(rewire.path("model.pt"))
    for i, (name, tensor) in enumerate(module.state_dict().items()):
        names[name] = torch.full_like(tensor, i % 7)
    assert "stage2.0.branch1.3.running_var" in names and "conv5.1.weight" in names
    torch.save(names, rewire.path("torchvision.pth"))
    rewire(
        "import-dnw", "torchvision.pth", "--to", "out.pt", "--config", CONFIGS / "shufflenetv2-x0.5.yaml",
        data__classes=5,
    ).check()
    found = torch.load(rewire.path("out.pt"), weights_only=True)
    assert all(torch.equal(found["model." + name], tensor) for name, tensor in names.items())


def test_a_published_checkpoint_is_imported(rewire):
    """A random graph of 1,000 classes as published, made of what an export has."""
    config = CONFIGS / "random-x0.225.yaml"
    rewire("export", config, "--to", "model.pt", seed=3).check()
    state = torch.jit.load(rewire.path("model.pt")).state_dict()
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, rewire.path("rg_x225.pt"))
    rewire("import-dnw", "rg_x225.pt", "--to", "out.pt", "--config", config).check()
    found = torch.load(rewire.path("out.pt"), weights_only=True)
    assert torch.equal(found["model.layers.3.graph.mask"], state["layers.3.graph.mask"])
    assert all(torch.equal(found["model." + name], tensor) for name, tensor in state.items())
