"""What the gradients of learned wiring cost and bring: test accuracy against seconds of training.

    gradients.py --data DIR [--config configs/cifar10/static-dnw.yaml] [--epochs 20]
                 [--output runs/gradients]

Trains the experiment once for each gradient, an epoch of each in turns, so that what slows the machine
for a while slows all of them. Prints a table and draws <output>/gradients.svg. Started again, it goes
on where it stopped.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import plot
import processor

ROOT = Path(__file__).resolve().parents[2]
GRADIENTS = {
    "all": "all",
    "candidates 0.25": "{candidates: 0.25}",
    "candidates 0.1": "{candidates: 0.1}",
    "kept": "kept",
}


@dataclass(frozen=True)
class Curve:
    """Of one training: seconds of its median epoch, and test accuracy after each, in per cent."""

    seconds: float
    top1: tuple[float, ...]

    @property
    def points(self) -> plot.Points:
        """Accuracy by the seconds of training until then."""
        return [((i + 1) * self.seconds, top1) for i, top1 in enumerate(self.top1)]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=".", help="folder of data sets")
    parser.add_argument("--config", type=Path, default=ROOT / "configs/cifar10/static-dnw.yaml")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", type=Path, default=ROOT / "runs/gradients")
    return parser.parse_args()


def train(options: argparse.Namespace, gradient: str, folder: Path, epochs: int) -> None:
    """Go on with a training until that epoch. The rate falls at a half and at three quarters."""
    milestones = [options.epochs // 2, options.epochs * 3 // 4]
    settings = {
        "training.epochs": epochs,
        "training.schedule": f"{{kind: multistep, milestones: {milestones}}}",
        "model.wiring.gradient": gradient,
    }
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    program = Path(os.environ.get("REWIRE_BUILD", ROOT / "build")) / "rewire"
    command = [program, "train", options.config, "--data", options.data, "--output", folder, *sets]
    subprocess.run(command, check=True)


def epochs_done(folder: Path) -> int:
    """Of a run's folder, which need not be there."""
    metrics = folder / "metrics.jsonl"
    return len(curve(folder).top1) if metrics.exists() else 0


def curve(folder: Path) -> Curve:
    """What a run's folder says."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seconds = [row["seconds"] for row in rows if row["split"] == "train"]
    return Curve(median(seconds), tuple(row["top1"] for row in rows if row["split"] == "test"))


def report(curves: dict[str, Curve]) -> Sequence[str]:
    """Lines of a table in Markdown."""
    lines = ["| gradient | seconds an epoch | in all | top-1 |", "|---|---|---|---|"]
    for name, found in curves.items():
        total = found.seconds * len(found.top1)
        lines.append(f"| {name} | {found.seconds:.1f} | {total:.0f} | {found.top1[-1]:.1f} |")
    return lines


def main() -> int:
    """0, or the status of a training that failed."""
    options = arguments()
    folders = {name: options.output / name.replace(" ", "-") for name in GRADIENTS}
    try:
        for epoch in range(1, options.epochs + 1):
            for name, gradient in GRADIENTS.items():
                if epochs_done(folders[name]) < epoch:
                    train(options, gradient, folders[name], epoch)
    except subprocess.CalledProcessError as failed:
        return failed.returncode
    curves = {name: curve(folder) for name, folder in folders.items()}
    lines = {name: found.points for name, found in curves.items()}
    title = f"Gradient to which candidates: {options.config.stem}, top-1 in per cent"
    picture = plot.svg(title, "seconds of training", lines, processor.name(), plot.EVEN)
    (options.output / "gradients.svg").write_text(picture)
    print(*report(curves), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
