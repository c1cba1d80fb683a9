"""The program as a user runs it: REWIRE_BUILD/rewire, else build/rewire."""

import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("REWIRE_BUILD", ROOT / "build"))

# A shell starts its background jobs with SIGINT ignored, and whoever starts a program hands that on:
# the tests would, where they are such a job. What Python handles, its children have as default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Learns the built-in digits a little within three epochs of 0.2 seconds.
SMALL = """\
name: small
data:
  kind: digits
  normalize: {mean: [0.305], std: [0.376]}
  workers: 0
model:
  kind: static
  dim: 68
  layers: 3
  downsample_dim: 4
  feature_dim: 32
  stem: single
  pool: global
  wiring: {kind: dnw, prune_rate: 0.6}
training:
  epochs: 3
  batch_size: 64
  optimizer: {kind: adam, lr: 0.02}
  schedule: {kind: multistep, milestones: [2, 4], gamma: 0.5}
execution: sparse  # what auto means is measured, and runs are compared bit for bit
"""


def wait_until(condition, pause=0.002):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(pause)


@dataclasses.dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out.splitlines()[-1])

    def check(self, status=0):
        assert self.status == status, self.err
        return self

    def refused(self, status, text):
        """One line on standard error, and nothing else."""
        self.check(status)
        assert self.out == ""
        assert self.err.endswith("\n") and self.err.count("\n") == 1, self.err
        assert text in self.err
        return self


class Program:
    """Runs the program in a folder of the test's own, with one compute thread."""

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "small.yaml"
        self.config.write_text(SMALL)
        # Waiting threads sleep: tests share the machine. On the CPU where there is a GPU, too.
        self.environment = os.environ | {
            "OMP_WAIT_POLICY": "passive",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self.environment.pop("REWIRE_DATA", None)
        self.launched = []

    def options(self, *arguments, **settings):
        sets = [f"--set={key.replace('__', '.')}={value}" for key, value in settings.items()]
        return [str(BUILD / "rewire"), *map(str, arguments), *sets]

    def __call__(self, *arguments, **settings):
        """rewire(..., training__epochs=2) adds --set training.epochs=2."""
        return self.run(self.options(*arguments, **settings))

    def run(self, command):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def train(self, output, **settings):
        return self("train", self.config, "--output", output, "--json", **settings)

    def start(self, *arguments, **settings):
        """In the background."""
        return self.launch(self.options(*arguments, **settings))

    def launch(self, command):
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.launched.append(process)
        return process

    def kill_launched(self):
        """A test that failed leaves no training behind."""
        for process in self.launched:
            process.kill()

    def start_training(self, output, rows, **settings):
        """A training in the background that has written so many rows of metrics."""
        process = self.start("train", self.config, "--output", output, **settings)
        self.wait_for_rows(process, output, rows)
        return process

    def wait_for_rows(self, process, output, rows):
        metrics = self.folder / output / "metrics.jsonl"

        def written():
            assert process.poll() is None, process.communicate()[1]
            return metrics.exists() and metrics.read_text().count("\n") >= rows

        wait_until(written)

    def path(self, output, *parts):
        return self.folder.joinpath(output, *parts)

    def checkpoint(self, output, name="last"):
        return self.path(output, "checkpoints", f"{name}.pt")

    def rows(self, output):
        """metrics.jsonl without what a clock measured."""
        lines = self.path(output, "metrics.jsonl").read_text().splitlines()
        return [
            {key: value for key, value in json.loads(line).items()
             if "seconds" not in key and "per_second" not in key}
            for line in lines
        ]
