"""C1 and C4: the sparse product of a pointwise convolution, forward, on a structure that stays."""

import warnings
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from contest import Case, Contest, Peer, Way
from layers import (
    WiredLayer,
    channels_by_pixels,
    from_channels_by_pixels,
    pixels_by_channels,
    random_layer,
)
from products import dense_forward, our_forward

# density: target and moonshot against dense (C1)
DENSE_GOALS = {0.30: (1.8, 2.4), 0.10: (5, 6.5), 0.05: (7, 11), 0.01: (15, 25)}
# against torch CSR and scipy (C4), from 5 to 30 %
CSR_GOALS = {"torch-csr": (4, 6), "scipy": (15, 25)}

# inputs, outputs, images, side
SHAPE = (512, 512, 128, 8)
MORE_SHAPES = [(1024, 1024, 128, 8), (512, 512, 32, 14), (512, 2048, 64, 8)]


def cases(full: bool) -> Iterator[Case]:
    """Every density of the goals; in full more shapes and densities."""
    densities = [0.50, 0.30, 0.20, 0.10, 0.05, 0.02, 0.01] if full else list(DENSE_GOALS)
    for shape in [SHAPE, *(MORE_SHAPES if full else [])]:
        for density in densities:
            inputs, outputs, images, side = shape
            yield Case(
                ("C1", "C4"),
                f"density={density:.2f}",
                f"{outputs}x{inputs}, {images} of {side}x{side}",
                partial(build, inputs, outputs, density, images, side),
            )


def build(inputs: int, outputs: int, density: float, images: int, side: int) -> Contest:
    """The layer, and torch dense, torch CSR and scipy against it."""
    layer = random_layer(inputs, outputs, density, images, side)
    csr_goals = CSR_GOALS if 0.05 <= density <= 0.30 else {}

    def ours(images: Tensor) -> Tensor:
        return torch.ops.rewire.sparse_pointwise(
            images, layer.values, None, *layer.structure, execution="sparse"
        )

    peers = [
        Peer("C1", "torch-dense", dense_forward(layer), *DENSE_GOALS.get(density, ())),
        Peer("C4", "torch-csr", torch_csr(layer), *csr_goals.get("torch-csr", ())),
        *(Peer("C4", "scipy", ways, *csr_goals.get("scipy", ())) for ways in scipy_csr(layer)),
    ]
    return Contest(
        our_forward(layer, ours),
        peers,
        lambda: {"output": layer.output()},
        apart={"structure": lambda: torch.ops.rewire.select(layer.weight, layer.keep)},
    )


def _read(layer: WiredLayer, output: Tensor) -> dict[str, Tensor]:
    return {"output": from_channels_by_pixels(output, layer.grad_output.shape)}


def torch_csr(layer: WiredLayer) -> dict[str, Way]:
    """torch's CSR, which is MKL's where torch has MKL, on a right side by rows and by columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that CSR is in beta
        matrix = torch.sparse_csr_tensor(*layer.structure[:2], layer.values, layer.weight.shape)
    by_rows = channels_by_pixels(layer.input)
    by_columns = pixels_by_channels(layer.input).t()

    def way(right: Tensor) -> Way:
        return Way(lambda: matrix @ right, lambda: _read(layer, matrix @ right))

    return {"by rows": way(by_rows), "by columns": way(by_columns)}


def scipy_csr(layer: WiredLayer) -> Iterator[dict[str, Way]]:
    """scipy's CSR, which has no threads; nothing where scipy is not installed, or on a GPU."""
    if layer.input.is_cuda:
        return
    try:
        from scipy.sparse import csr_array
    except ImportError:
        return
    row_offsets, columns = (tensor.numpy() for tensor in layer.structure[:2])
    matrix = csr_array((layer.values.numpy(), columns, row_offsets), shape=layer.weight.shape)
    right = channels_by_pixels(layer.input).numpy()
    yield {
        "by rows": Way(
            lambda: matrix @ right, lambda: _read(layer, torch.from_numpy(matrix @ right))
        )
    }
