"""SIGINT and SIGTERM: at the very beginning, and a second one."""

import shutil
import signal
import subprocess

import checkpoints
import pytest
from program import wait_until

# A step of some seconds.
SLOW = {"model__dim": 1028, "training__batch_size": 1438}


def status_of(process):
    with open(f"/proc/{process.pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_the_libraries_load(rewire, number):
    """Sent by the constructor of a library: the program's main has not begun."""
    compiler = shutil.which("c++")
    if not compiler:
        pytest.skip("no C++ compiler")
    source = rewire.folder / "stop.cpp"
    source.write_text(
        "#include <csignal>\n"
        f"__attribute__((constructor)) static void stop() {{ std::raise({int(number)}); }}\n"
    )
    library = rewire.folder / "stop.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    rewire.environment["LD_PRELOAD"] = str(library)
    done = rewire.train("run").check(128 + number)
    assert done.out == done.err == ""
    assert not rewire.path("run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_finishes_the_step_and_saves(rewire, number):
    process = rewire.start_training("run", rows=0, **SLOW)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name} and saved: run/checkpoints/last.pt; " in err.splitlines()[-1]
    assert checkpoints.place(rewire.checkpoint("run")) in {(0, 0), (0, 1)}


@pytest.mark.parametrize("ignored, other", [("INT", "TERM"), ("TERM", "INT")])
def test_one_that_the_caller_ignores_stays_ignored(rewire, ignored, other):
    """As under nohup, or behind a shell's `&`."""
    train = rewire.options("train", rewire.config, "--output", "run", training__epochs=1_000_000)
    process = rewire.launch(["sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh", *train])
    rewire.wait_for_rows(process, "run", 1)
    process.send_signal(signal.Signals[f"SIG{ignored}"])
    rewire.wait_for_rows(process, "run", 5)
    process.send_signal(signal.Signals[f"SIG{other}"])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.Signals[f"SIG{other}"]
    assert f"stopped by SIG{other} and saved: " in err.splitlines()[-1]


def test_two_do_not_wait_for_the_step(rewire):
    process = rewire.start_training("run", rows=0, **SLOW)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: int(status_of(process)["ShdPnd"], 16) == 0)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "saved" not in err
    assert not rewire.checkpoint("run").exists()
    assert checkpoints.is_whole(rewire.checkpoint("run", "init"))
