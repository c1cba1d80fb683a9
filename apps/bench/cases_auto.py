"""C15: what `auto` chooses is not slower than the dense layer that a user has today."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from contest import Case, Contest, Peer
from layers import random_layer
from products import dense_forward, our_forward

GOAL = (0.95, 1.0)
DENSITIES = [0.0, 0.01, 0.05, 0.10, 0.20, 0.30, 0.40, 0.50, 0.60, 0.80, 1.0]
SHAPE = (512, 512, 128, 8)  # inputs, outputs, images, side
MORE_SHAPES = [(1024, 1024, 128, 8), (64, 64, 128, 8), (512, 512, 1, 8)]


def cases(full: bool) -> Iterator[Case]:
    """Densities from none to all; in full more shapes."""
    for shape in [SHAPE, *(MORE_SHAPES if full else [])]:
        for density in DENSITIES:
            inputs, outputs, images, side = shape
            yield Case(
                ("C15",),
                f"density={density:.2f}",
                f"{outputs}x{inputs}, {images} of {side}x{side}",
                partial(build, density, shape),
            )


def build(density: float, shape: tuple[int, int, int, int]) -> Contest:
    """The layer as `auto` runs it, and torch dense against it."""
    inputs, outputs, images, side = shape
    layer = random_layer(inputs, outputs, density, images, side)

    def ours(images: Tensor) -> Tensor:
        return torch.ops.rewire.wired_pointwise(
            images, layer.weight, None, *layer.structure, execution="auto"
        )

    dense = Peer("C15", "torch-dense", dense_forward(layer), *GOAL)
    return Contest(our_forward(layer, ours), [dense], lambda: {"output": layer.output()})
