"""A training that was interrupted ends as the one that was not: the same rows, the same bits."""

import os
import signal

import pytest
import torch
from program import Program

EPOCHS = 6
SETTINGS = {"training__epochs": EPOCHS, "training__keep_every": 2}
# What a clock measured, and the text that names the workers.
IGNORED = {"config", "progress.seconds"}


def tensors(program, output):
    return torch.load(program.checkpoint(output), weights_only=True)


def assert_same(program, output, expected):
    assert program.rows(output) == expected.rows("run")
    found, wanted = tensors(program, output), tensors(expected, "run")
    assert found.keys() == wanted.keys()
    for name in found.keys() - IGNORED:
        assert found[name].dtype == wanted[name].dtype, name
        assert torch.equal(found[name], wanted[name]), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """EPOCHS epochs at once."""
    program = Program(tmp_path_factory.mktemp("whole"))
    program.result = program.train("run", **SETTINGS).check()
    return program


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_at_an_epochs_end(rewire, whole, workers):
    settings = SETTINGS | {"data__workers": workers}
    half = rewire.train("run", **settings | {"training__epochs": EPOCHS // 2}).check().json
    assert half["epochs"] == EPOCHS // 2
    done = rewire.train("run", **settings).check()
    assert f"going on from run/checkpoints/last.pt: epoch {EPOCHS // 2 + 1}, step 1" in done.err
    assert done.json["epochs"] == EPOCHS
    assert done.json["seconds"] > half["seconds"]  # both parts
    assert done.json["top1"] == whole.result.json["top1"]
    assert_same(rewire, "run", whole)


def test_the_turns_of_a_sampled_gradient_go_on(rewire):
    settings = SETTINGS | {"model__wiring__gradient": "{candidates: 0.3}"}
    rewire.train("run", **settings).check()
    for epochs in (1, 2, EPOCHS):
        rewire.train("parts", **settings | {"training__epochs": epochs}).check()
    assert_same(rewire, "parts", rewire)
    assert {"model.graph.turn", "model.graph.turn_of"} <= tensors(rewire, "run").keys()


def test_a_network_of_several_wirings(rewire):
    """Each has pictures, and turns of its own."""
    settings = {
        "model__kind": "wired_mobilenet_v1",
        "model__wiring": "{kind: dnw, prune_rate: 0.9, gradient: {candidates: 0.5}}",
        "training__batch_size": 256,
        "training__optimizer": "{kind: sgd, lr: 0.05, momentum: 0.9}",
        "training__pictures": "true",
    }
    rewire.train("run", **settings | {"training__epochs": 2}).check()
    for epochs in (1, 2):
        rewire.train("parts", **settings | {"training__epochs": epochs}).check()
    assert_same(rewire, "parts", rewire)
    graphs = [f"layers.{i}.graph" for i in range(5)]
    assert {f"model.{graph}.turn_of" for graph in graphs} <= tensors(rewire, "run").keys()
    pictures = {file.name for file in (rewire.folder / "run/wiring").iterdir()}
    assert pictures == {f"{graph}_epoch_{epoch}.png" for graph in graphs for epoch in (0, 1)}


@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_loader_threads_changes_nothing(rewire, whole, workers):
    rewire.train("run", data__workers=workers, **SETTINGS).check()
    assert_same(rewire, "run", whole)


def stop(rewire, number, rows, times=1, **settings):
    process = rewire.start_training("run", rows=rows, **SETTINGS | settings)
    for _ in range(times):
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert out == ""
    return err


def test_stopped_in_the_middle(rewire, whole):
    """By either signal, after different numbers of epochs, with other loader threads between."""
    err = stop(rewire, signal.SIGTERM, rows=1)
    assert "stopped by SIGTERM and saved: run/checkpoints/last.pt" in err.splitlines()[-1]
    err = stop(rewire, signal.SIGINT, rows=5, data__workers=2)
    assert "going on from run/checkpoints/last.pt" in err
    rewire.train("run", **SETTINGS).check()
    assert_same(rewire, "run", whole)


def test_stopped_twice(rewire, whole):
    """The second signal does not wait for the step or the save; nothing is torn by it."""
    stop(rewire, signal.SIGTERM, rows=4, times=2)
    rewire.train("run", **SETTINGS).check()
    assert_same(rewire, "run", whole)


def test_killed(rewire, whole):
    process = rewire.start_training("run", rows=3, training__save_every=5, **SETTINGS)
    process.kill()
    process.communicate()
    rewire.train("run", **SETTINGS).check()
    assert_same(rewire, "run", whole)


def test_a_finished_training_is_not_repeated(rewire, whole):
    first = rewire.train("run", training__epochs=2).check().json
    again = rewire.train("run", training__epochs=2).check().json
    for key in ("top1", "loss", "epochs", "seconds", "edges"):
        assert again[key] == first[key]
    assert len(rewire.rows("run")) == 4


def test_rows_after_the_checkpoint_are_dropped(rewire, whole):
    rewire.train("run", **SETTINGS | {"training__epochs": 2}).check()
    with open(rewire.path("run", "metrics.jsonl"), "a") as file:
        file.write('{"epoch":2,"split":"train","loss":0}\n[1]\n{"epoch":"x"}\n\x00\n{"epoch":1,"spl')
    rewire.train("run", **SETTINGS).check()
    assert_same(rewire, "run", whole)


def test_never(rewire):
    rewire.train("run", training__keep_every=1, training__epochs=2, training__pictures="true").check()
    done = rewire.run(
        rewire.options("train", rewire.config, "--output", "run", "--resume", "never", training__epochs=1)
    ).check()
    assert "going on" not in done.err
    assert len(rewire.rows("run")) == 2
    names = {path.name for path in rewire.path("run", "checkpoints").iterdir()}
    assert names == {"init.pt", "last.pt", "best.pt"}
    assert len(list(rewire.path("run").glob("events.out.tfevents.*"))) == 1


def test_from_a_file(rewire, whole):
    done = rewire(
        "train", rewire.config, "--output", "other", "--resume",
        whole.checkpoint("run", f"epoch_{EPOCHS // 2}"), **SETTINGS,
    ).check()
    assert f"going on from {whole.checkpoint('run', f'epoch_{EPOCHS // 2}')}" in done.err
    assert [row["epoch"] for row in rewire.rows("other")][::2] == list(range(EPOCHS // 2 + 1, EPOCHS))
    found, wanted = tensors(rewire, "other"), tensors(whole, "run")
    for name in found.keys() - IGNORED:
        assert torch.equal(found[name], wanted[name]), name


def test_another_experiment_is_refused(rewire):
    rewire.train("run", training__epochs=1).check()
    for settings in ({"seed": 1}, {"training__optimizer__lr": 0.5}, {"model__dim": 132}):
        key = next(iter(settings)).replace("__", ".")
        rewire.train("run", **settings).refused(
            4,
            "run/checkpoints/last.pt: a checkpoint of another experiment "
            f"('small', which differs in {key}); name another --output, or start over with --resume never",
        )
    # What changes no number may differ.
    rewire.train("run", training__epochs=1, training__save_every=3, data__workers=1).check()


def test_a_damaged_checkpoint_falls_back_to_another(rewire, whole):
    rewire.train("run", **SETTINGS | {"training__epochs": 4}).check()
    last = rewire.checkpoint("run")
    last.write_bytes(last.read_bytes()[:-100])
    done = rewire.train("run", **SETTINGS).check()
    assert "run/checkpoints/last.pt: cut or altered: " in done.err
    assert "going on from run/checkpoints/" in done.err
    assert_same(rewire, "run", whole)


@pytest.mark.parametrize("damage", ["flip", "empty", "fifo"])
def test_a_damaged_last_checkpoint_falls_back_and_is_replaced(rewire, damage):
    rewire.train("run", training__epochs=1).check()
    last = rewire.checkpoint("run")
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 4
    last.unlink()
    if damage == "fifo":
        os.mkfifo(last)
    else:
        last.write_bytes(data if damage == "flip" else b"")
    said = {"flip": "damaged: recorded 'size=", "empty": "not a whole checkpoint of this program: 0 bytes", "fifo": "not a file"}
    done = rewire.train("run", training__epochs=2).check()
    assert f" run/checkpoints/last.pt: {said[damage]}" in done.err
    assert " going on from run/checkpoints/" in done.err
    assert tensors(rewire, "run")["progress.epoch"].item() == 2


def test_no_whole_checkpoint_left(rewire):
    rewire.train("run", training__epochs=1).check()
    for path in rewire.path("run", "checkpoints").iterdir():
        path.write_bytes(b"")
    rewire.train("run").refused(4, "no other checkpoint is whole; start over with --resume never")
    rewire("train", rewire.config, "--output", "run", "--resume", "never", training__epochs=1).check()


def test_a_file_to_go_on_from_that_is_none(rewire):
    rewire("train", rewire.config, "--output", "run", "--resume", "absent.pt").refused(
        4, "absent.pt: no such checkpoint"
    )


def test_a_finished_training_says_so(rewire):
    rewire.train("run", **SETTINGS | {"training__epochs": 1}).check()
    done = rewire.train("run", **SETTINGS | {"training__epochs": 1}).check()
    assert "run/checkpoints/last.pt is complete, 1 of 1 epochs: nothing to train" in done.err
    assert done.json["epochs"] == 1
