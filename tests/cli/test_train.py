"""Training, and what it leaves behind."""

import json
import re
import math

import pytest
import torch


def test_result(trained):
    result = trained.result.json
    assert set(result) >= {
        "top1", "loss", "epochs", "seconds", "images_per_second", "edges", "parameters", "checkpoint",
    }
    assert result["epochs"] == 3
    assert result["top1"] > 40  # a guess is right once in ten
    assert 0 < result["loss"] < math.log(10)
    assert result["seconds"] > 0 and result["images_per_second"] > 0
    assert result["edges"] == 68 * 68 - int(0.6 * 68 * 68)
    assert result["checkpoint"] == "run/checkpoints/last.pt"
    assert trained.result.out.count("\n") == 1  # standard output holds nothing else


def test_metrics(trained):
    rows = trained.rows("run")
    assert [(row["epoch"], row["split"]) for row in rows] == [
        (epoch, split) for epoch in range(3) for split in ("train", "test")
    ]
    train, test = rows[-2:]
    assert train["images"] == 1438 and test["images"] == 359
    assert train["lr"] == 0.01  # halved after the second epoch
    assert rows[0]["lr"] == 0.02
    assert test["top1"] == trained.result.json["top1"]
    assert test["loss"] == trained.result.json["loss"]
    assert train["edges"] == trained.result.json["edges"]
    assert 0 <= train["top1"] <= train["top5"] <= 100
    for line in trained.path("run", "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert row["seconds"] > 0 and row["images_per_second"] > 0


def test_folder(trained):
    folder = trained.path("run")
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"init.pt", "last.pt", "best.pt"}
    events = list(folder.glob("events.out.tfevents.*"))
    assert len(events) == 1 and b"loss/train" in events[0].read_bytes()
    resolved = trained("check", folder / "config.yaml").check()
    assert resolved.out == (folder / "config.yaml").read_text()


def test_a_run_keeps_the_execution_that_auto_chose(rewire):
    rewire.train("run", execution="auto", training__epochs=1).check()
    config = rewire.path("run", "config.yaml")
    (chosen,) = re.findall(r"^execution: (sparse|dense)$", config.read_text(), re.M)
    rewire.train("run", execution="auto", training__epochs=2).check()
    assert f"execution: {chosen}\n" in config.read_text()
    other = {"sparse": "dense", "dense": "sparse"}[chosen]
    result = rewire.train("run", execution=other, training__epochs=3)
    assert result.status == 4 and "which differs in execution" in result.err


def test_checkpoint_is_read_by_torch(trained):
    tensors = torch.load(trained.checkpoint("run"), weights_only=True)
    assert tensors["progress.epoch"].item() == 3
    assert tensors["model.graph.weight"].shape == (68, 68, 1, 1)
    assert tensors["model.graph.weight"].dtype == torch.float32
    assert tensors["edges_before.graph"].dtype == torch.bool
    assert tensors["optimizer.graph.weight.exp_avg"].shape == (68, 68, 1, 1)
    assert bytes(tensors["config"].tolist()).decode().startswith("name: small\n")
    edges = tensors["edges_before.graph"].sum().item()
    assert edges == trained.result.json["edges"]


def test_keeps_checkpoints_and_pictures(rewire):
    rewire.train("run", training__keep_every=2, training__epochs=4, training__pictures="true").check()
    names = {path.name for path in rewire.path("run", "checkpoints").iterdir()}
    assert {"epoch_1.pt", "epoch_3.pt"} <= names and "epoch_0.pt" not in names
    pictures = sorted(path.name for path in rewire.path("run", "wiring").iterdir())
    assert pictures == [f"graph_epoch_{epoch}.png" for epoch in range(4)]


def test_no_epochs(rewire):
    result = rewire.train("run", training__epochs=0).check().json
    assert result["epochs"] == 0 and result["images_per_second"] == 0
    assert rewire.rows("run") == []
    evaluated = rewire(
        "evaluate", rewire.config, "--checkpoint", result["checkpoint"], "--json"
    ).check().json
    assert evaluated["loss"] == result["loss"]


def test_the_default_folder_is_named_after_the_experiment(rewire):
    result = rewire("train", rewire.config, "--json", training__epochs=1).check().json
    assert result["checkpoint"] == "runs/small/checkpoints/last.pt"
    assert rewire.checkpoint("runs/small").exists()


@pytest.mark.parametrize("kind", ["complete", "dnw_no_update", "random", "fine_tune", "reg_td", "td"])
def test_every_kind_of_wiring_trains(rewire, kind):
    rate = 0 if kind == "complete" else 0.5
    result = rewire.train(
        "run", model__wiring=f"{{kind: {kind}, prune_rate: {rate}}}", training__epochs=1
    ).check().json
    assert math.isfinite(result["loss"])


def test_every_kind_of_network_trains(rewire):
    small = "dim: 36, downsample_dim: 4, feature_dim: 16, stem: single, pool: global"
    wiring = "wiring: {kind: dnw, prune_rate: 0.9}"
    models = (
        f"{{kind: discrete, {small}, steps: 2, {wiring}}}",
        f"{{kind: continuous, {small}, tolerance: 0.1, {wiring}}}",
        f"{{kind: wired_mobilenet_v1, small: true, {wiring}}}",
        "{kind: mobilenet_v1, width: 0.04}",
    )
    for number, model in enumerate(models):
        result = rewire.train(f"run{number}", model=model, training__epochs=1).check().json
        assert math.isfinite(result["loss"]), model


def test_a_start_gives_weights_and_edges(rewire):
    """Fine-tuning takes both of one checkpoint, a lottery ticket of two."""
    rewire.train("dense", model__wiring="{kind: complete, prune_rate: 0}").check()
    first, last = rewire.checkpoint("dense", "init"), rewire.checkpoint("dense", "last")
    tuned = {"model__wiring": "{kind: fine_tune, prune_rate: 0.9}", "training__epochs": 1}
    rewire.train("tuned", **tuned, start=f"{{weights: {last}}}").check()
    lottery = rewire.train("lottery", **tuned, start=f"{{weights: {first}, edges: {last}}}").check()
    before, after, tuned_from, ticket = (
        torch.load(path, weights_only=True)
        for path in (first, last, rewire.checkpoint("tuned", "init"), rewire.checkpoint("lottery", "init"))
    )
    weight = "model.graph.weight"
    strongest = after[weight].abs().flatten().topk(after[weight].numel() - int(0.9 * after[weight].numel()))
    mask = torch.zeros(after[weight].numel()).index_fill(0, strongest.indices, 1).view_as(after[weight])
    assert torch.equal(tuned_from["model.graph.mask"], mask)
    assert torch.equal(ticket["model.graph.mask"], mask)
    for name in before:
        if name.startswith("model."):
            assert torch.equal(tuned_from[name], after[name])
            assert torch.equal(ticket[name], before[name])
    assert lottery.json["edges_moved"] == 0
    more = rewire.train("lottery", **{**tuned, "training__epochs": 2}, start=f"{{weights: {first}, edges: {last}}}")
    assert more.check().json["edges_moved"] == 0


def test_fine_tuning_chooses_by_weights_not_by_another_rules_mask(rewire):
    wiring = "{kind: %s, prune_rate: 0.5}"
    rewire.train("first", model__wiring=wiring % "dnw_no_update", training__epochs=1).check()
    last = rewire.checkpoint("first", "last")
    tuned = rewire.train("tuned", model__wiring=wiring % "fine_tune", training__epochs=0, start=f"{{weights: {last}}}")
    assert tuned.check().json["edges"] == 68 * 68 // 2
    rewire.train("no", model__wiring=wiring % "dnw", start=f"{{weights: {last}, edges: {last}}}").refused(
        2, "start: edges are chosen by a fine_tune wiring alone: leave `edges` out"
    )


def test_a_start_that_is_not_there(rewire):
    rewire.train("run", start="{weights: none.pt}").refused(4, "none.pt: no such checkpoint")
    assert not rewire.path("run").exists()


def test_a_seed_decides_the_result(rewire, trained):
    rewire.train("same").check()
    assert rewire.rows("same") == trained.rows("run")
    rewire.train("other", seed=1).check()
    assert rewire.rows("other") != trained.rows("run")


@pytest.mark.parametrize(
    "settings",
    [
        {"training__optimizer": "{kind: sgd, lr: 1e6}"},
        {"training__optimizer": "{kind: sgd, lr: 1e6, weight_decay: 1e6}"},
        {"training__optimizer": "{kind: adam, lr: 1e6}", "model__wiring": "{kind: complete, prune_rate: 0}"},
    ],
)
def test_numbers_that_are_not_finite(rewire, settings):
    """Stops within a step, names the culprit, and keeps the checkpoint that is still finite."""
    done = rewire.train("run", training__save_every=1, **settings).check(5)
    assert done.out == ""
    assert " is not finite: " in done.err.splitlines()[-1]
    for path in rewire.path("run", "checkpoints").iterdir():
        for name, tensor in torch.load(path, weights_only=True).items():
            if name.startswith("model."):
                assert tensor.isfinite().all(), (path, name)


def test_an_input_cannot_be_made_infinite(rewire):
    """Images are bytes; what they are divided by is bounded."""
    rewire.train("run", data__normalize="{mean: [0.5], std: [1.0e-42]}").refused(
        2, "--set: data.normalize.std[0]: expected a number in [1e-06, 1000000], got 1.0e-42"
    )


def test_a_last_step_that_diverges_is_seen(rewire):
    """One step an epoch: the weights that it spoils are first used by the evaluation."""
    done = rewire.train(
        "run", training__epochs=1, training__batch_size=2000,
        training__optimizer="{kind: sgd, lr: 1e6, weight_decay: 1e6}",
        model__wiring="{kind: complete, prune_rate: 0}",
    ).check(5)
    assert done.err.splitlines()[-1].endswith(" is not finite: test set, batch 0")
    assert rewire.rows("run") == []


def test_a_folder_in_use_is_refused(rewire):
    process = rewire.start_training("run", rows=1, training__epochs=1000)
    try:
        rewire.train("run").refused(2, "run: in use by another run; name another --output")
    finally:
        process.kill()
        process.communicate()
    # The lock went with the process, and its last checkpoint is whole.
    done = rewire.train("run", training__epochs=1).check()
    assert "run/checkpoints/last.pt is complete" in done.err


def test_a_read_only_folder(rewire):
    (rewire.folder / "file").write_text("")
    rewire.train("file/run").refused(1, "file/run: cannot be made: ")
