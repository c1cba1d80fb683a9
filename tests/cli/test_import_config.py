"""Experiment files of the published code."""

import pytest
from program import ROOT

# The keys that every published file has, in its words.
COMMON = """\
data: data.cifar10:CIFAR10
batch_size: {batch}
test_batch_size: {batch}
workers: 8
lr: 0.1
optimizer: sgd
momentum: 0.9
weight_decay: 0.0001
nestorov: False
output_size: 10
image_size: 32
num_epochs: 160
in_channels: 3
topk: [1,5]
resume: ''
seed: 1996
save_dir: './checkpoints'
log_dir: './runs'
evaluate: False
val_resize: 32
skip_profiling: True
"""
SMALL = COMMON.format(batch=512) + """\
lr_scheduler: multistep
multistep_lr_milestones: [80, 120]
multistep_lr_gamma: 0.1
prune_rate: 0.95
prune: True
dim: 800
downsample_dim: 32
feature_dim: 100
layers: 5
"""
MEDIUM = COMMON.format(batch=128) + """\
lr_scheduler: cosine
setting: static
model: models.graphs.mobilenetv1like:MobileNetV1Like
"""
NEURAL = "model: models.graphs.neuralgraph:"
FILES = {
    "static-dnw": SMALL + NEURAL + "StaticNeuralGraph\ngraph: dnw\nsetting: static\n",
    "static-random": SMALL + NEURAL + "StaticNeuralGraph\ngraph: random\nsetting: static\n",
    "discrete-dnw": SMALL + NEURAL + "DiscreteTimeNeuralGraph\ngraph: dnw\nsetting: discrete_time\n",
    "continuous-random": SMALL + NEURAL + "ContinuousTimeNeuralGraph\ngraph: random\nsetting: continuous\n",
    "mobilenetv1-complete": MEDIUM + "prune_rate: 0.\ngraph: complete\n",
    "mobilenetv1-dnw": MEDIUM + "prune_rate: 0.775\ngraph: dnw\n",
    "mobilenetv1-dnw-no-update": MEDIUM + "prune_rate: 0.775\ngraph: dnw_no_update\n",
    "mobilenetv1-random": MEDIUM + "prune_rate: 0.775\ngraph: random\n",
    "mobilenetv1-x0.25": MEDIUM.replace("graphs.mobilenetv1like:MobileNetV1Like", "basic.mobilenetv1cifar:MobileNetV1CIFAR")
    + "width_mult: 0.25\n",
}  # fmt: skip
# Of the published ImageNet files, which lack a size for validation.
LARGE = """\
model: models.graphs.mobilenetv1like:MobileNetV1Like
data: data.imagenet:ImageNet
batch_size: 512
test_batch_size: 512
workers: 32
lr: 0.1
lr_scheduler: cosine
optimizer: sgd
momentum: 0.9
weight_decay: 0.00005
nestorov: False
output_size: 1000
image_size: 224
num_epochs: 250
in_channels: 3
topk: [1,5]
resume: ''
seed: 1996
save_dir: './imagenet_checkpoints'
log_dir: './imagenet_runs'
evaluate: False
skip_profiling: False
setting: static
"""
IMAGENET = {
    "dnw-small-x0.15": "prune_rate: 0.85\ngraph: dnw\nsmall: True\n",
    "dnw-small-x0.225": "prune_rate: 0.775\ngraph: dnw\nsmall: True\n",
    "dnw-x0.225": "prune_rate: 0.775\ngraph: dnw\n",
    "dnw-x0.3": "prune_rate: 0.7\ngraph: dnw\n",
    "dnw-x0.49": "prune_rate: 0.51\ngraph: dnw\n",
    "random-x0.225": "prune_rate: 0.775\ngraph: random\n",
    "random-x0.49": "prune_rate: 0.49\ngraph: random\n",
}


def resolved(rewire, config):
    lines = rewire("check", config).check().out.splitlines()
    keys = [line for line in lines if not line.startswith(("name:", "  workers:", "expect:", "  top1:", "  within:", "  source:"))]
    return keys  # fmt: skip


@pytest.mark.parametrize("name", sorted(FILES | IMAGENET))
def test_a_published_file_is_our_experiment(rewire, name):
    folder = "cifar10" if name in FILES else "imagenet"
    rewire.path("in.yml").write_text(FILES.get(name) or LARGE + IMAGENET[name])
    done = rewire("import-config", "in.yml", "--to", "out.yaml", "--json").check()
    assert done.json["name"] == "in"
    assert done.json["notes"] == ["seed: the published code reads random_seed alone, and 0 without it"]
    assert resolved(rewire, "out.yaml") == resolved(rewire, ROOT / "configs" / folder / f"{name}.yaml")


@pytest.mark.parametrize("kind", ["td", "reg_td"])
def test_targeted_dropout_keeps_the_published_sign(rewire, kind):
    rewire.path("in.yml").write_text(MEDIUM + f"prune_rate: 0.775\ngraph: {kind}\nrho: 0.95\n")
    rewire("import-config", "in.yml", "--to", "out.yaml").check()
    name = "mobilenetv1-" + kind.replace("_", "-")
    ours = resolved(rewire, ROOT / "configs" / "cifar10" / f"{name}.yaml")
    assert resolved(rewire, "out.yaml") == [line.replace("keep_sign: true", "keep_sign: false") for line in ours]
    rewire.path("in.yml").write_text(MEDIUM + f"prune_rate: 0.775\ngraph: {kind}\nrho: gamma\n")
    rewire("import-config", "in.yml", "--to", "out.yaml").check()
    assert "rho" not in rewire.path("out.yaml").read_text()


def test_a_lottery_ticket_names_its_files(rewire):
    text = MEDIUM + "prune_rate: 0.775\ngraph: fine_tune\nuse_graph: 'final.pt'\nuse_init: 'init.pt'\n"
    rewire.path("in.yml").write_text(text)
    done = rewire("import-config", "in.yml", "--to", "out.yaml", "--json").check()
    assert any("rewire import-dnw" in note for note in done.json["notes"])
    assert "  weights: init.pt\n  edges: final.pt\n" in rewire.path("out.yaml").read_text()


def test_includes_and_merge_keys(rewire):
    lines = FILES["static-dnw"].splitlines(keepends=True)
    rewire.path("parts").mkdir()
    rewire.path("parts", "base.yml").write_text("".join(lines[:10]))
    rewire.path("parts", "steps.yml").write_text("[80, 120]\n")
    rest = "".join(line for line in lines[10:] if "milestones" not in line)
    rewire.path("in.yml").write_text(
        "<<: !include parts/base.yml\nmultistep_lr_milestones: !include parts/steps.yml\n" + rest
    )
    rewire.path("all.yml").write_text("!include in.yml\n")
    rewire("import-config", "all.yml", "--to", "out.yaml").check()
    assert resolved(rewire, "out.yaml") == resolved(rewire, ROOT / "configs" / "cifar10" / "static-dnw.yaml")


@pytest.mark.parametrize(
    "change, message",
    [
        (("graph: dnw", "graph: dmw"), "in.yml:32:8: graph: unknown kind of graph"),
        (("graph: dnw\n", ""), "graph: missing key"),
        (("lr: 0.1", "lr: fast"), "lr: expected a number"),
        (("image_size: 32", "image_size: 64"), "image_size: expected 32, as these data have it"),
        (("optimizer: sgd", "optimizer: lamb"), "optimizer: expected sgd"),
        (("StaticNeuralGraph", "Unknown"), "model: unknown network 'Unknown'"),
        (("prune_rate: 0.95", "prune_rate: 2"), "model.wiring.prune_rate: expected a number in [0, 1], got 2"),
        (("lr: 0.1", "lr: !include none.yml"), "none.yml: no such file"),
        (("lr: 0.1", "lr: !include in.yml"), "more than 16 includes"),
        (("lr: 0.1", "lr: !!python/object/apply:os.system [ls]"), "tags are not allowed"),
        (("lr: 0.1", "<<: 3"), "<<: expected a map"),
        (("lr: 0.1", "<<: {lr: 0.1}\n<<: {}"), "<<: a second merge key"),
        (("layers: 5", "layers: 1"), "in.yml in our words:"),
        (("layers: 5", "layers: 1e300"), "layers: expected a whole number"),
        (("setting: static", "setting: continuous"), "setting: expected static, as this network has it"),
    ],
)
def test_what_has_no_counterpart_is_refused(rewire, change, message):
    rewire.path("in.yml").write_text(FILES["static-dnw"].replace(*change))
    done = rewire("import-config", "in.yml", "--to", "out.yaml")
    done.refused(2, message)
    assert not rewire.path("out.yaml").exists()


def test_keys_that_say_nothing_are_named(rewire):
    rewire.path("in.yml").write_text(FILES["static-dnw"] + "title: mine\nrandom_seed: 3\n")
    done = rewire("import-config", "in.yml", "--to", "out.yaml", "--json").check()
    assert "title: says nothing here" in done.json["notes"]
    assert "seed: 3\n" in rewire.path("out.yaml").read_text()
