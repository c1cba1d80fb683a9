"""Ways to compute a wired layer: a dense library in every layout, and our operators."""

from collections.abc import Callable

import torch
from torch import Tensor

from contest import Way
from layers import DENSE, Layout, WiredLayer


def dense_forward(layer: WiredLayer) -> dict[str, Way]:
    """torch's dense products on the effective matrix."""
    return {name: _forward(layer, layout, layer.effective) for name, layout in DENSE.items()}


def _forward(layer: WiredLayer, layout: Layout, matrix: Tensor) -> Way:
    packed = layout.pack(layer.input)

    @torch.no_grad()
    def run() -> Tensor:
        return layout.product(packed, matrix)

    return Way(run, lambda: {"output": layout.unpack(run(), layer.grad_output.shape)})


def dense_training(layer: WiredLayer) -> dict[str, Way]:
    """The same with the gradients to input and matrix."""
    return {name: _training(layer, layout) for name, layout in DENSE.items()}


def _training(layer: WiredLayer, layout: Layout) -> Way:
    packed = layout.pack(layer.input).requires_grad_()
    grad_output = layout.pack(layer.grad_output)
    matrix = layer.effective.clone().requires_grad_()

    def run() -> tuple[Tensor, ...]:
        output = layout.product(packed, matrix)
        return output, *torch.autograd.grad(output, (packed, matrix), grad_output)

    def results() -> dict[str, Tensor]:
        output, grad_input, grad_weight = run()
        return {
            "output": layout.unpack(output, layer.grad_output.shape),
            "grad_input": layout.unpack(grad_input, layer.input.shape),
            "grad_weight": grad_weight,
        }

    return Way(run, results)


def our_forward(layer: WiredLayer, call: Callable[[Tensor], Tensor]) -> Way:
    """One of our operators on the images as they are."""

    @torch.no_grad()
    def run() -> Tensor:
        return call(layer.input)

    return Way(run, lambda: {"output": run()})


def our_training(
    layer: WiredLayer, call: Callable[[Tensor, Tensor], Tensor], parameter: Tensor, gradient: str
) -> Way:
    """The same with the gradients to the images and to `parameter`, which is called `gradient`."""
    images = layer.input.clone().requires_grad_()
    parameter = parameter.clone().requires_grad_()

    def run() -> tuple[Tensor, ...]:
        output = call(images, parameter)
        return output, *torch.autograd.grad(output, (images, parameter), layer.grad_output)

    return Way(run, lambda: dict(zip(("output", "grad_input", gradient), run())))
