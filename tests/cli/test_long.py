"""A thousand steps at a fixed shape: nothing grows."""

import os
import re

import pytest


def held(process):
    """Memory in MiB, open files and threads."""
    with open(f"/proc/{process.pid}/status") as file:
        status = file.read()
    number = {key: int(re.search(rf"^{key}:\s+(\d+)", status, re.M)[1]) for key in ("VmRSS", "Threads")}
    return number["VmRSS"] / 1024, len(os.listdir(f"/proc/{process.pid}/fd")), number["Threads"]


@pytest.mark.slow
def test_a_thousand_steps(rewire):
    """50 epochs of 23 steps, saved, drawn and written down all along; loader threads come and go."""
    process = rewire.start_training(
        "run", rows=10, data__workers=2, training__epochs=1000, training__save_every=10,
    )
    try:
        memory, files, threads = held(process)
        most = memory, files, threads
        for rows in range(20, 111, 5):
            rewire.wait_for_rows(process, "run", rows)
            most = tuple(map(max, most, held(process)))
    finally:
        process.kill()
        process.communicate()
    assert most[0] < memory + 8, "MiB"
    assert most[1] <= files + 3  # that a save has open at a time
    assert most[2] <= threads + 3  # loader threads, and one of those that end
