"""Disks that are full, read-only or emptied under a training."""

import re
import subprocess

import checkpoints
import pytest


def mount(*arguments):
    done = subprocess.run(["mount", "-t", "tmpfs", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system of the test's own: {done.stderr.strip()}")


def umount(folder):
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def disk(rewire):
    """A disk of one MiB at `disk`."""
    folder = rewire.folder / "disk"
    folder.mkdir()
    mount("-o", "size=1m", "none", folder)
    yield folder
    umount(folder)


def fill(disk, leave=0):
    """Leaves so many bytes free."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        file.truncate(file.tell() - leave)
    return filler


def assert_as(rewire, output, expected):
    assert rewire.rows(output) == expected.rows("run")
    found, wanted = checkpoints.load(rewire.checkpoint(output)), checkpoints.load(expected.checkpoint("run"))
    for name in found.keys() - {"config", "progress.seconds"}:
        assert found[name].equal(wanted[name]), name


def test_a_disk_too_small_for_a_checkpoint(rewire, disk, trained):
    rewire.train("disk/run", training__epochs=1).check()
    last = rewire.checkpoint("disk/run").read_bytes()
    filler = fill(disk, leave=64 * 1024)  # enough for rows and curves
    done = rewire.train("disk/run").check(1)
    assert done.out == ""
    assert done.err.splitlines()[-1] == "disk/run/checkpoints/best.pt: cannot be written: No space left on device"
    assert rewire.checkpoint("disk/run").read_bytes() == last
    assert not list(disk.glob("**/*.tmp"))
    filler.unlink()
    rewire.train("disk/run").check()
    assert_as(rewire, "disk/run", trained)


def test_a_disk_that_fills_up_during_a_training(rewire, disk, trained):
    process = rewire.start_training("disk/run", rows=1, training__save_every=1, training__epochs=1000)
    filler = fill(disk)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("disk/run/")
    assert err.splitlines()[-1].endswith(": cannot be written: No space left on device")
    for path in disk.glob("run/checkpoints/*.pt"):
        assert checkpoints.is_whole(path), path
    reached = checkpoints.place(rewire.checkpoint("disk/run"))
    filler.unlink()
    epochs = max(3, reached[0] + 1)
    rewire.train("disk/run", training__epochs=epochs).check()
    assert rewire.rows("disk/run")[:6] == trained.rows("run")
    assert len(rewire.rows("disk/run")) == 2 * epochs


def test_a_disk_without_room_for_anything(rewire, disk):
    fill(disk)
    for arguments, name in (
        (["train", rewire.config, "--output", "disk/run"], "disk/run"),
        (["export", rewire.config, "--to", "disk/model.pt"], "disk/model.pt"),
    ):
        done = rewire(*arguments).refused(1, "No space left on device")
        assert done.err.startswith(name)
    assert not (disk / "model.pt").exists() and not list(disk.glob("**/*.tmp"))


def test_a_read_only_disk(rewire, disk, trained):
    rewire.train("disk/run", training__epochs=1).check()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    rewire.train("disk/run").refused(1, "disk/run/.lock: Read-only file system")
    rewire.train("disk/new").refused(1, "disk/new: cannot be made: Read-only file system")
    rewire("evaluate", rewire.config, "--checkpoint", rewire.checkpoint("disk/run")).check()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    rewire.train("disk/run").check()
    assert_as(rewire, "disk/run", trained)


def test_checkpoints_that_become_read_only(rewire):
    process = rewire.start_training("run", rows=1, training__epochs=1000)
    folder = rewire.path("run", "checkpoints")
    try:
        mount("-o", "ro", "none", folder)
        _, err = process.communicate(timeout=60)
        umount(folder)
    finally:
        process.kill()
    assert process.returncode == 1
    # Which file, and which step of its writing, is the first to meet it is a matter of the moment.
    assert re.fullmatch(
        r"run/checkpoints/(best|last)\.pt: cannot be (written|replaced): Read-only file system",
        err.splitlines()[-1],
    )
    for path in folder.iterdir():
        assert checkpoints.is_whole(path), path
    rewire.train("run").check()


def test_a_folder_that_is_removed_during_a_training(rewire):
    process = rewire.start_training("run", rows=1, training__epochs=8)
    # In one step: a folder in which files come and go cannot be emptied first.
    rewire.path("run", "checkpoints").rename(rewire.folder / "removed")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.count("run: was removed, and is made again\n") == 1
    assert checkpoints.place(rewire.checkpoint("run")) == (8, 0)
