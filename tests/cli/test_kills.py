"""SIGKILL at random moments of trainings that save after every step. REWIRE_KILLS sets how many."""

import os
import random
import signal
import struct
import time

import checkpoints
import pytest
from program import wait_until

KILLS = int(os.environ.get("REWIRE_KILLS", 20))
ENDLESS = {"training__epochs": 1_000_000, "training__save_every": 1, "training__pictures": "true"}


def curve(folder, tag):
    """The steps of a curve in the event files of a folder, whose every record must be whole."""
    steps = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            assert len(data) >= 16 + length, path
            event = data[12 : 12 + length]
            if tag in event:
                assert event[9] == 0x10 and event[10] < 0x80  # the step, behind the time; one byte
                steps.append(event[10])
            data = data[16 + length :]
    return steps


def identity(path):
    """Another one after every save."""
    return path.stat().st_mtime_ns if path.exists() else None


def halt_within_a_write(process, folder):
    """Stopped while a temporary file is there, it cannot finish the write before it is killed."""
    temporary = lambda: list(folder.glob("checkpoints/*.tmp"))
    while True:
        wait_until(temporary, pause=0)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOHANG), pause=0)
        if temporary():
            return
        process.send_signal(signal.SIGCONT)


@pytest.mark.slow
def test_kills_at_random_moments(rewire):
    """What lies in the folder is whole, and the training goes on as if nothing had been."""
    generator = random.Random(1)
    folder = rewire.path("run")
    reached, in_writes = (0, 0), 0
    for _ in range(KILLS):
        before = identity(rewire.checkpoint("run"))
        process = rewire.start("train", rewire.config, "--output", "run", **ENDLESS)
        moment = generator.random()
        if moment < 0.8:  # the others die before their first step, or soon after
            wait_until(lambda: identity(rewire.checkpoint("run")) != before)
        aimed = moment < 0.4
        if aimed:
            halt_within_a_write(process, folder)
        else:
            time.sleep(generator.uniform(0, 0.1))
        process.kill()
        _, err = process.communicate()
        assert process.returncode == -9, err
        for path in folder.glob("checkpoints/*.pt"):
            assert checkpoints.is_whole(path), path
        temporary = list(folder.glob("**/*.tmp"))
        assert aimed <= len(temporary) <= 1  # those of earlier kills are gone
        in_writes += len(temporary)
        if rewire.checkpoint("run").exists():
            place = checkpoints.place(rewire.checkpoint("run"))
            assert place >= reached  # nothing that was saved is lost
            reached = place
    print(f"{KILLS} kills, {in_writes} within a write, up to epoch {reached[0] + 1}, step {reached[1]}")
    assert reached > (0, 0)
    epochs = reached[0] + 1
    done = rewire.train("run", training__epochs=epochs).check()
    assert "going on from run/checkpoints/last.pt: " in done.err
    assert not list(folder.glob("**/*.tmp"))
    rewire.train("whole", training__epochs=epochs).check()
    assert rewire.rows("run") == rewire.rows("whole")
    found, wanted = (checkpoints.load(rewire.checkpoint(output)) for output in ("run", "whole"))
    assert found.keys() == wanted.keys()
    for name in found.keys() - {"config", "progress.seconds"}:
        assert found[name].equal(wanted[name]), name
    if epochs < 0x80:
        assert curve(folder, b"loss/train") == list(range(epochs))


def test_what_is_left_of_a_save_is_removed(rewire):
    rewire.train("run", training__epochs=1).check()
    for name in ("checkpoints/last.pt.31.tmp", "checkpoints/best.pt.32.tmp", "metrics.jsonl.33.tmp"):
        rewire.path("run", name).write_bytes(b"half")
    rewire.train("run", training__epochs=1).check()
    assert not list(rewire.path("run").glob("**/*.tmp"))
