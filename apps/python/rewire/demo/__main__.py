"""python -m rewire.demo: learned against random wiring, and a page on which the wiring moves."""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import rewire
from rewire.demo import HERE, PIXELS, digits
from rewire.nn.wired import Wired

HIDDEN, DIGITS = 96, 10


@dataclass
class Run:
    """What one network did: an entry an epoch, of which the first is before training."""

    name: str
    edges: list = field(default_factory=list)  # [[layer, source, target, weight], ...] each
    accuracy: list = field(default_factory=list)  # per cent of the test images
    moved: list = field(default_factory=list)  # edges that were not there an epoch before


def network(method: str, density: float, seed: int) -> nn.Module:
    """Pixels to hidden neurons to digits."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, DIGITS))
    return rewire.sparsify(model, density, method=method, seed=seed)


def edges_of(model: nn.Module) -> list:
    """[layer, source, target, weight] of each edge in use."""
    edges = []
    for number, layer in enumerate((model[0], model[2])):
        sparse = layer.to_sparse() if isinstance(layer, Wired) else layer
        values = sparse.values.tolist()
        for (source, target), value in zip(sparse.edges.tolist(), values, strict=True):
            edges.append([number, source, target, round(value, 3)])
    return edges


def train(name: str, model: nn.Module, data, epochs: int, say) -> Run:
    """Adam, 64 images a step."""
    images, labels, test_images, test_labels = data
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    run = Run(name)
    before: set = set()
    for epoch in range(epochs + 1):
        order = torch.randperm(len(images)) if epoch > 0 else torch.empty(0, dtype=torch.int64)
        for batch in order.split(64):
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = (model(test_images).argmax(1) == test_labels).float().mean()
        edges = edges_of(model)
        now = {tuple(edge[:3]) for edge in edges}
        run.edges.append(edges)
        run.accuracy.append(round(100 * right.item(), 1))
        run.moved.append(len(now - before) if epoch > 0 else 0)
        before = now
        say(f"\r{name}: epoch {epoch}/{epochs}, {run.accuracy[-1]:.1f} % of the test images right ")
    say("\n")
    return run


def page(runs: list[Run]) -> str:
    """One self-contained HTML page."""
    shape = {"sizes": [PIXELS, HIDDEN, DIGITS], "runs": [vars(run) for run in runs]}
    data = json.dumps(shape, separators=(",", ":"))
    return (HERE / "page.html").read_text().replace("/* data */ null", data)


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m rewire.demo", description=__doc__)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the images (30)")
    parser.add_argument("--density", type=float, default=0.03, help="edges in use (0.03)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=Path("rewire-demo.html"), help="the page to write")
    options = parser.parse_args(arguments)
    if options.epochs < 1 or not 0 < options.density <= 1:
        parser.error("expected --epochs of at least 1 and --density in (0, 1]")
    if not options.to.parent.is_dir():
        parser.error(f"--to: no such folder: {options.to.parent}")

    def say(text: str):
        print(text, end="", file=sys.stderr, flush=True)

    data = digits()
    torch.set_num_threads(1)  # so small a network is slower with more
    runs = [
        train(name, network(method, options.density, options.seed), data, options.epochs, say)
        for name, method in (("learned wiring", "dnw"), ("random wiring", "random"))
    ]
    options.to.write_text(page(runs))
    first = {tuple(edge[:3]) for edge in runs[0].edges[0]}
    moved = sum(tuple(edge[:3]) not in first for edge in runs[0].edges[-1])
    for run in runs:
        print(f"{run.name}: {run.accuracy[-1]:.1f} % with {len(run.edges[-1])} edges")
    print(f"{moved} of the learned edges were not there at first; see them move: {options.to}")


if __name__ == "__main__":
    main()
