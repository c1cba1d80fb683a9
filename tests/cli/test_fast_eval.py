"""Networks without their dead channels, and what they cost."""

import os

import pytest
import torch
from program import BUILD, ROOT

torch.ops.load_library(os.environ.get("REWIRE_LIBRARY", BUILD / "librewire.so"))

# So sparse that most channels of the first stages are dead; digits are small enough for a test.
WIRED = {
    "model": "{kind: wired_mobilenet_v1, wiring: {kind: dnw, prune_rate: 0.97}}",
    "training__epochs": 1,
    "training__batch_size": 500,
}


@pytest.mark.parametrize("settings", [WIRED, {"training__epochs": 1}], ids=["mobilenet", "static"])
def test_fast_eval_gives_the_same_results(rewire, settings):
    checkpoint = rewire.train("run", **settings).check().json["checkpoint"]

    def evaluate(*options):
        return rewire(
            "evaluate", rewire.config, "--checkpoint", checkpoint, "--json", *options, **settings
        ).check()

    whole, fast = evaluate().json, evaluate("--fast-eval")
    assert fast.json["top1"] == whole["top1"]
    assert fast.json["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert "fast evaluation: " in fast.err
    assert fast.json["parameters"] < whole["parameters"] or "model" not in settings
    assert fast.json["macs"] <= whole["macs"]


def test_an_export_without_dead_channels_runs_in_python(rewire):
    checkpoint = rewire.train("run", **WIRED).check().json["checkpoint"]
    models = []
    for options in ((), ("--fast-eval",)):
        path = rewire.path(f"model{len(options)}.pt")
        rewire("export", rewire.config, "--checkpoint", checkpoint, "--to", path, *options, **WIRED).check()
        models.append(torch.jit.load(path).eval())
    image = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(models[0](image), models[1](image), rtol=1e-4, atol=1e-5)
    whole, fast = (sum(p.numel() for p in model.parameters()) for model in models)
    assert fast < whole / 2


def test_profile(rewire):
    done = rewire("profile", rewire.config, "--json").check()
    result = done.json
    assert result["image_size"] == 8
    rows = {row["name"]: row for row in result["layers"]}
    assert set(rows) == {"downsample.0", "conv", "fc", "graph"}
    assert rows["conv"]["dense"] == rows["conv"]["wired"] == {"parameters": 9 * 68, "macs": 9 * 68 * 64}
    assert rows["graph"]["wired"]["parameters"] == result["edges_in_use"]
    assert result["wired"]["macs"] == result["macs"]
    for part in ("dense", "wired", "fast_eval"):
        for what in ("parameters", "macs"):
            assert result[part][what] == sum(row[part][what] for row in result["layers"])
    lines = done.err.splitlines()
    assert lines[1].split() == ["layer", *["dense", "wired", "fast-eval"] * 2]
    parts = [result[part] for part in ("dense", "wired", "fast_eval")]
    totals = [str(part[what]) for what in ("parameters", "macs") for part in parts]
    assert lines[-1].split() == ["total", *totals]


def test_profile_at_the_published_size(rewire):
    """Of the golden file profiles.pt."""
    config = ROOT / "configs" / "cifar10" / "mobilenetv1-complete.yaml"
    result = rewire("profile", config, "--image-size", 224, "--json").check().json
    assert result["fast_eval"] == {"parameters": 3195327, "macs": 567776767}
    checkpoint = rewire.train("run").check().json["checkpoint"]
    large = rewire("profile", rewire.config, "--checkpoint", checkpoint, "--image-size", 16, "--json").check().json
    own = rewire("profile", rewire.config, "--checkpoint", checkpoint, "--json").check().json
    assert large["edges_in_use"] == own["edges_in_use"] and large["macs"] > 3 * own["macs"]
    rewire("profile", config, "--image-size", 0).refused(2, "--image-size: Value 0 not in range 4 to 4096")


def test_profile_takes_a_checkpoint(rewire):
    first = rewire("profile", rewire.config, "--json").check().json
    checkpoint = rewire.train("run").check().json["checkpoint"]
    then = rewire("profile", rewire.config, "--checkpoint", checkpoint, "--json").check().json
    assert then["edges"] == first["edges"] and then["edges_in_use"] != first["edges_in_use"]
