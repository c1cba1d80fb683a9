"""The published experiments with sparse ResNet-50s: each is what its name and its figure say."""

import re

import images
import pytest
from program import ROOT

PUBLISHED = {  # top-1 by sparsity in per cent: all layers, the first one dense
    90: (74.03, 75.04), 80: (76.16, 76.60), 70: (76.90, 77.08), 60: (77.29, 77.46), 50: (77.53, 77.57),
    40: (77.54, 77.56), 30: (77.60, 77.49), 20: (77.61, 77.28), 10: (77.49, 77.38),
}  # fmt: skip
CONFIGS = ROOT / "configs" / "imagenet"


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("resnet50-*.yaml")))
def test_published_experiments_say_what_they_are(rewire, name):
    done = rewire("check", CONFIGS / f"{name}.yaml", "--json", model__depth=18).check()
    text = done.out
    kind, number = re.fullmatch(r"resnet50-(\D+)(\d*)", name).groups()
    figure = re.search(r"top1: (.*)", text)
    figure = float(figure[1]) if figure else None
    total = 11_689_512 - 1000 - 9_600  # weights of ResNet-18 without bias, without norms
    if kind == "dense":
        assert figure == 77.51 and "    kind: complete\n" in text
        assert done.json["edges"] == total
        return
    rate = (100 - int(number)) / 100
    assert f"    prune_rate: {rate:g}\n" in text
    assert figure == {"allsparse": PUBLISHED[100 - int(number)][0], "ignorefirst": PUBLISHED[100 - int(number)][1]}.get(kind)
    assert f"dense_first: {'true' if kind == 'ignorefirst' else 'false'}\n" in text
    assert ("kind: td\n" in text and "keep_sign: false\n" in text) == (kind == "tdsparse")
    candidates = total - (9408 if kind == "ignorefirst" else 0)
    assert done.json["edges"] == pytest.approx(candidates * (1 - rate), abs=21)


def test_every_published_experiment_is_there():
    names = {path.stem for path in CONFIGS.glob("resnet50-*.yaml")}
    assert names == {"resnet50-dense", "resnet50-tdsparse10"} | {
        f"resnet50-{kind}{number}" for kind in ("allsparse", "ignorefirst") for number in range(10, 100, 10)
    }


def test_their_training_is_the_published_one(rewire):
    text = rewire("check", CONFIGS / "resnet50-allsparse10.yaml", model__depth=18).check().out
    for line in (
        "epochs: 100", "batch_size: 64", "accumulate: 4", "drop_last: true", "label_smoothing: 0.1",
        "precision: float32", "lr: 0.256", "momentum: 0.875", "weight_decay: 3.0517578125e-05", "no_decay: [bn]",
        "kind: cosine", "per: epoch", "warmup_epochs: 5", "init: fan_in",
    ):  # fmt: skip
        assert f" {line}\n" in text, line


# One of each structure, of the least depth. On smaller images the norms of the last stage, over one place
# of two images, divide by almost nothing, and rounding decides whether weights stay finite.
@pytest.mark.parametrize("name", ["dense", "allsparse10", "ignorefirst10", "tdsparse10"])
def test_trains_two_steps_and_evaluates(rewire, name):
    images.make(rewire.path("data", "imagenet"), classes=2, train=9, val=3)
    small = {
        "data__classes": 2, "data__image_size": 64, "data__val_resize": 72, "data__workers": 2,
        "training__epochs": 1, "training__batch_size": 2, "training__accumulate": 2, "model__depth": 18,
    }  # fmt: skip
    config = CONFIGS / f"resnet50-{name}.yaml"
    done = rewire("train", config, "--json", **small).check()
    train, test = rewire.rows(f"runs/resnet50-{name}")
    assert train["images"] == 8 and test["images"] == 3
    evaluated = rewire("evaluate", config, "--checkpoint", done.json["checkpoint"], "--json", **small).check().json
    # `auto` may be resolved otherwise, which rounds otherwise.
    assert evaluated["samples"] == 3 and evaluated["loss"] == pytest.approx(test["loss"], rel=1e-5)
    assert ("; published " in done.err) == ("expect:" in config.read_text())
