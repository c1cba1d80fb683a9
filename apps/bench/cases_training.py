"""C5: forward and both gradients of a wired layer.

`kept`: the edges that exist get a gradient and stay; their structure is not part of the step, and
is shown apart. `all`: exact DNW, every candidate gets one, and edges are chosen anew at each step,
with the last threshold as a hint, as a training has it.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from contest import Case, Contest, Peer
from layers import random_layer
from products import dense_training, our_training

GOALS = {("kept", 0.10): (3.5, 5), ("kept", 0.05): (6, 8), ("all", 0.05): (2.2, 2.6)}
MORE = [("kept", 0.30), ("kept", 0.01), ("all", 0.30), ("all", 0.10), ("all", 0.01)]
SHAPE = (512, 512, 128, 8)  # inputs, outputs, images, side
MORE_SHAPES = [(1024, 1024, 128, 8), (512, 512, 32, 14)]


def cases(full: bool) -> Iterator[Case]:
    """The goals' densities; in full more, and more shapes."""
    for shape in [SHAPE, *(MORE_SHAPES if full else [])]:
        for gradient, density in [*GOALS, *(MORE if full else [])]:
            inputs, outputs, images, side = shape
            yield Case(
                ("C5",),
                f"{gradient} density={density:.2f}",
                f"{outputs}x{inputs}, {images} of {side}x{side}",
                partial(build, gradient, density, shape),
            )


def build(gradient: str, density: float, shape: tuple[int, int, int, int]) -> Contest:
    """The layer, and torch dense with both gradients against it."""
    inputs, outputs, images, side = shape
    layer = random_layer(inputs, outputs, density, images, side)

    def existing(images: Tensor, values: Tensor) -> Tensor:
        return torch.ops.rewire.sparse_pointwise(
            images, values, None, *layer.structure, execution="sparse"
        )

    def exact(images: Tensor, weight: Tensor) -> Tensor:
        *structure, _ = torch.ops.rewire.select(weight.detach(), layer.keep, layer.threshold)
        return torch.ops.rewire.wired_pointwise(
            images, weight, None, *structure, gradient="all", execution="sparse"
        )

    if gradient == "kept":
        ours = our_training(layer, existing, layer.values, "grad_values")
        apart = {"structure": lambda: torch.ops.rewire.select(layer.weight, layer.keep)}
    else:
        ours = our_training(layer, exact, layer.weight, "grad_weight")
        apart = {}
    dense = Peer("C5", "torch-dense", dense_training(layer), *GOALS.get((gradient, density), ()))
    return Contest(ours, [dense], layer.gradients, apart=apart)
