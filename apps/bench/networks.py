"""Whole networks: a training step and an evaluation, ours and the published one's on equal weights,
and how their results are compared.

A ReLU whose input is zero to rounding turns either way, and moves gradients by per mille; among the
26 million of a batch there are always some. So logits, loss and edges are compared for the batch,
gradients strictly for a few images on which no ReLU is that near to its kink, and loosely for all.
"""

import copy
import itertools
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from contest import Results, Way, worst_error
from layers import drawn

ROOT = Path(__file__).resolve().parents[2]
FEW = 2
# What gradients of a whole batch may differ by, in norm. A ReLU whose input rounds to the other side
# of 0 changes those of its channel by some hundredths; a gradient that is wrong is so everywhere.
KINKS = 2e-2
NUDGE = 1e-6  # of images, several times what float32 rounds
SMOOTH = 1e-4  # a change of gradients that is no jump, for such a nudge
# Large enough for a step to move every weight, small enough for the wiring to stay where its
# density was described.
LEARNING_RATE = 1e-4


def exported(config: str, *settings: str) -> torch.jit.ScriptModule:
    """The freshly initialised model of an experiment, as the program exports it."""
    program = Path(os.environ.get("REWIRE_BUILD", ROOT / "build")) / "rewire"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit
        to = Path(folder) / "model.pt"
        sets = [word for setting in settings for word in ("--set", setting)]
        command = [program, "export", ROOT / config, "--to", to, *sets]
        subprocess.run(command, check=True, capture_output=True)
        return torch.jit.load(str(to), map_location=torch.get_default_device())


def data(batch: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    generator = torch.Generator("cpu").manual_seed(seed)
    images = torch.randn(batch, 3, 32, 32, generator=generator, device="cpu")
    labels = torch.randint(10, (batch,), generator=generator, device="cpu")
    device = torch.get_default_device()
    return images.to(device), labels.to(device)


def wirings(model: nn.Module) -> dict[str, nn.Module]:
    """The wired layers. Not by attribute: `graph` of a ScriptModule is its code."""
    return {name: part for name, part in model.named_modules() if name.split(".")[-1] == "graph"}


@torch.no_grad()
def edges(model: nn.Module) -> dict[str, Tensor]:
    """The edges chosen in each wired layer: bool, like its weight."""
    return {f"edges {name}": part.edges() for name, part in wirings(model).items()}


def answers(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Logits, and gradients of the loss, in training mode. Moves the model's running statistics,
    which training mode does not read."""
    names, parameters = zip(*model.train().named_parameters())
    logits = model(images.to(parameters[0].dtype))
    gradients = torch.autograd.grad(cross_entropy(logits, labels), parameters)
    found = {f"grad {name}": gradient for name, gradient in zip(names, gradients)}
    return {"logits": logits.detach()} | found


def significant(results: Results) -> dict[str, Tensor]:
    """Without gradients that are zero but for rounding, as of biases in front of a norm."""
    sizes = {name: tensor.abs().max() for name, tensor in results.items() if "grad " in name}
    rounding = {name for name, size in sizes.items() if size < 1e-6 * max(sizes.values())}
    return {name: tensor for name, tensor in results.items() if name not in rounding}


def agree(results: Results, reference: Results) -> float:
    """The largest relative error of those that the reference has."""
    return worst_error({name: results[name] for name in reference}, reference)


def clear_of_kinks(exact: nn.Module) -> tuple[Tensor, Tensor]:
    """A few images, and labels, whose gradients do not jump when the images move a little.

    exact: the network in float64.
    """
    for seed in itertools.count(1):
        images, labels = data(FEW, seed)
        nudge = NUDGE * drawn(*images.shape, seed=seed).double()
        here = significant(answers(exact, images, labels))
        if all(
            agree(answers(exact, images + side * nudge, labels), here) < SMOOTH for side in (-1, 1)
        ):
            return images, labels


class TrainingStep:
    """Forward, loss, backward and SGD on a batch.

    Parameters
    ----------
    published : nn.Module
        The published network, with the weights that all have.
    batch : int
        Images of the step.
    kept : bool
        Whether ours gives a gradient to the edges that are kept alone. The published one gives it to
        all; then its others are set to zero before they are compared.
    """

    def __init__(self, published: nn.Module, batch: int, kept: bool):
        exact = copy.deepcopy(published).double()
        self.kept = kept
        self.parts = {"batch": data(batch), "few": clear_of_kinks(exact)}
        self.reference = significant(self._results(exact, masked=kept))
        self.loose = {name: KINKS for name in self.reference if name.startswith("batch grad ")}

    def ours(self, model: nn.Module) -> Way:
        """As our network takes it."""
        return self._way(model, masked=False)

    def published(self, model: nn.Module) -> Way:
        """As a published network takes it."""
        return self._way(model, masked=self.kept)

    def _way(self, model: nn.Module, masked: bool) -> Way:
        def results() -> dict[str, Tensor]:
            found = self._results(model, masked)
            return {name: found[name] for name in self.reference}

        return Way(_step(model, *self.parts["batch"]), results)

    def _results(self, model: nn.Module, masked: bool) -> dict[str, Tensor]:
        found = edges(model)
        for part, (images, labels) in self.parts.items():
            results = answers(model, images, labels)
            if masked:
                for name in wirings(model):
                    results[f"grad {name}.weight"] *= found[f"edges {name}"]
            found |= {f"{part} {name}": tensor for name, tensor in results.items()}
        return found


def _step(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4
    )
    model.train()

    def run() -> None:
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()

    return run


def weight_gradients(shapes: Iterable[tuple[int, int, int]]) -> Callable[[], None]:
    """The dense weight gradient's products on the parts of a matrix that a network reads: outputs,
    inputs and positions of each."""
    pairs = [
        (torch.randn(outputs, positions), torch.randn(inputs, positions))
        for outputs, inputs, positions in shapes
    ]

    def run() -> None:
        for grad_output, sent in pairs:
            grad_output @ sent.t()

    return run


def evaluation(model: nn.Module, images: Tensor) -> Way:
    """Logits in evaluation mode."""
    model.eval()

    @torch.inference_mode()
    def run() -> Tensor:
        return model(images)

    return Way(run, lambda: {"logits": run()} | edges(model))
