"""One training in several processes: what one would learn, and a clear end where one is gone."""

import signal
import socket
import time

import pytest
import torch

pytestmark = pytest.mark.slow



def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def environment(rank, port, count=2, **more):
    return {"RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "GLOO_SOCKET_IFNAME": "lo", **more}


def start(rewire, output, count=2, ranks=None, more={}, **settings):
    """The processes of a training, as torchrun starts them."""
    port, before = free_port(), dict(rewire.environment)
    processes = []
    for rank in ranks or range(count):
        rewire.environment = before | environment(rank, port, count, **more)
        processes.append(rewire.start("train", rewire.config, "--output", output, "--json", **settings))
    rewire.environment = before
    return processes


def finish(processes, status=0):
    ends = [process.communicate(timeout=120) for process in processes]
    for process, (_, err) in zip(processes, ends, strict=True):
        assert process.returncode == status, err
    return ends


def tensors(rewire, output, name="last"):
    return torch.load(rewire.checkpoint(output, name), weights_only=True)


def agree(rewire, one, other):
    """Checkpoints, to rounding, and what was counted."""
    first, second = tensors(rewire, one), tensors(rewire, other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        if name.startswith(("model.", "optimizer.")):
            torch.testing.assert_close(tensor, second[name], atol=2e-4, rtol=2e-3, msg=name)
    for row, same in zip(rewire.rows(one), rewire.rows(other), strict=True):
        assert row["images"] == same["images"] and row["loss"] == pytest.approx(same["loss"], rel=2e-3)


SETTINGS = [
    {"model__wiring__kind": "complete", "model__wiring__prune_rate": "0"},
    {"training__accumulate": "2"},
    {"training__batch_size": "479"},  # 1,438 images: the last batch is of one, and one process has none
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["complete", "accumulate", "a batch of one"])
def test_two_processes_learn_what_one_does(rewire, settings):
    settings = settings | {"training__epochs": "1", "training__sync_batchnorm": "true",
                           "training__optimizer__kind": "sgd", "training__optimizer__lr": "0.05"}
    rewire.train("one", **settings).check()
    (out, err), (other, nothing) = finish(start(rewire, "two", **settings))
    assert '"top1"' in out and "2 processes of 1 compute threads" in err
    assert other == nothing == ""
    agree(rewire, "one", "two")


def test_statistics_of_each_part_by_default(rewire):
    settings = {"training__epochs": "1", "training__optimizer__kind": "sgd"}
    rewire.train("one", **settings).check()
    finish(start(rewire, "two", **settings))
    one, two = (tensors(rewire, name)["model.downsample.1.running_var"] for name in ("one", "two"))
    assert not torch.allclose(one, two, rtol=1e-4)


def test_goes_on_with_another_number_of_processes(rewire):
    settings = {"training__sync_batchnorm": "true", "training__optimizer__kind": "sgd"}
    rewire.train("whole", training__epochs=3, **settings).check()
    finish(start(rewire, "run", training__epochs=1, **settings))
    rewire.train("run", training__epochs=2, **settings).check()
    finish(start(rewire, "run", count=3, training__epochs=3, **settings))
    assert [row["epoch"] for row in rewire.rows("run")] == [0, 0, 1, 1, 2, 2]
    agree(rewire, "whole", "run")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_stops_all_in_the_middle_of_an_epoch(rewire, rank):
    processes = start(rewire, "run", training__epochs=1000)
    rewire.wait_for_rows(processes[0], "run", 2)
    processes[rank].send_signal(signal.SIGTERM)
    (_, err), _ = finish(processes, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM and saved: " in err
    before = len(rewire.rows("run"))
    finish(start(rewire, "run", training__epochs=before // 2 + 1))
    assert len(rewire.rows("run")) == before + 2


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_ends_all(rewire, rank):
    processes = start(rewire, "run", training__epochs=1000)
    rewire.wait_for_rows(processes[0], "run", 2)
    processes[rank].kill()
    began = time.monotonic()
    _, err = processes[1 - rank].communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert processes[1 - rank].returncode == 1
    assert f"rank {1 - rank} of 2: lost another process of this training: " in err.splitlines()[-1]


def test_one_that_hangs_ends_all_in_time(rewire):
    processes = start(rewire, "run", more={"REWIRE_PEER_TIMEOUT": "3"}, training__epochs=1000)
    rewire.wait_for_rows(processes[0], "run", 2)
    processes[1].send_signal(signal.SIGSTOP)
    _, err = processes[0].communicate(timeout=60)
    assert processes[0].returncode == 1 and "rank 0 of 2: lost another process" in err
    processes[1].kill()


def test_those_that_never_come_are_named(rewire):
    processes = start(rewire, "run", count=4, ranks=[0, 2], more={"REWIRE_PEER_TIMEOUT": "2"})
    for rank, (_, err) in zip([0, 2], finish(processes, 1), strict=True):
        assert f"rank {rank} of 4: not there after 2 seconds: rank 1, 3" in err
    assert not rewire.path("run").exists()


def test_refusals(rewire):
    def refused(status, text, **more):
        rewire.environment |= environment(0, free_port()) | more
        rewire.train("run").refused(status, text)

    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(1, f"rank 0 of 2: cannot meet at 127.0.0.1:{port}: ", MASTER_PORT=port)
    refused(2, "RANK='2': expected a number in [0, 1]; torchrun sets RANK", RANK="2")
    refused(2, "RANK='': expected a number in [0, 1]", RANK="")
    refused(2, "WORLD_SIZE='many': expected a number", WORLD_SIZE="many")
    refused(2, "MASTER_PORT='': expected a number", MASTER_PORT="", REWIRE_PEER_TIMEOUT="2")
    refused(2, "MASTER_ADDR is not set; torchrun sets it", MASTER_ADDR="")
    assert not rewire.path("run").exists()


def test_each_must_have_the_same_experiment(rewire):
    port, before = free_port(), dict(rewire.environment)
    processes = []
    for rank, seed in ((0, 1), (1, 2)):
        rewire.environment = before | environment(rank, port)
        processes.append(rewire.start("train", rewire.config, "--output", "run", seed=seed))
    _, err = processes[1].communicate(timeout=60)
    assert processes[1].returncode == 4
    assert "what rank 0 begins with: a checkpoint of another experiment" in err and "seed" in err
    assert processes[0].wait(timeout=60) == 1
