"""The study of gradients, from its command to its picture, on a small experiment."""

import shutil
import sys

from program import ROOT


def study(rewire, *options):
    command = [sys.executable, ROOT / "apps/bench/gradients.py", "--config", rewire.config, *options]
    return rewire.run([*map(str, command), "--output", str(rewire.path("study"))])


def test_a_study_of_every_gradient_that_goes_on(rewire):
    done = study(rewire, "--epochs", "2").check()
    assert [line.split("|")[1].strip() for line in done.out.splitlines()[2:]] == [
        "all", "candidates 0.25", "candidates 0.1", "kept",
    ]
    assert done.err.count("going on from") == 4  # in turns: one epoch, then the other
    names = {file.name for file in rewire.path("study").iterdir()}
    assert names == {"all", "candidates-0.25", "candidates-0.1", "kept", "gradients.svg"}
    assert rewire.path("study", "gradients.svg").read_text().count("<circle ") == 8
    shutil.rmtree(rewire.path("study", "kept"))
    again = study(rewire, "--epochs", "2").check()
    assert again.out.splitlines()[:5] == done.out.splitlines()[:5]
    assert again.err.count("after 1 epoch ") == again.err.count("after 2 epochs ") == 1


def test_a_training_that_fails_ends_the_study(rewire):
    rewire.config.write_text("name: small\n")
    assert study(rewire).check(2).out == ""
