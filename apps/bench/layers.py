"""A wired layer and images for it, and the layouts in which a dense library may want them.

Everything here is [images, channels, height, width]; tokens are images of one pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear


@dataclass(frozen=True)
class Layout:
    """A layout of images and the product that works on it.

    pack: images to the layout. product: packed images and a matrix [out, in] to packed images.
    unpack: packed images to images, given the shape of these.
    """

    pack: Callable[[Tensor], Tensor]
    product: Callable[[Tensor, Tensor], Tensor]
    unpack: Callable[[Tensor, torch.Size], Tensor]


def _as_they_are(packed: Tensor, shape: torch.Size) -> Tensor:
    return packed.reshape(shape)


def channels_by_pixels(images: Tensor) -> Tensor:
    """[channels, images * height * width]"""
    return images.transpose(0, 1).flatten(1).contiguous()


def from_channels_by_pixels(packed: Tensor, shape: torch.Size) -> Tensor:
    """The inverse; `shape` is that of the images."""
    return packed.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1)


def pixels_by_channels(images: Tensor) -> Tensor:
    """[images * height * width, channels]"""
    return channels_by_pixels(images).t().contiguous()


def from_pixels_by_channels(packed: Tensor, shape: torch.Size) -> Tensor:
    """The inverse; `shape` is that of the images."""
    return from_channels_by_pixels(packed.t(), shape)


def _pointwise(images: Tensor, weight: Tensor) -> Tensor:
    return conv2d(images, weight[:, :, None, None])


DENSE = {
    "conv2d": Layout(torch.Tensor.contiguous, _pointwise, _as_they_are),
    "conv2d channels-last": Layout(
        lambda images: images.contiguous(memory_format=torch.channels_last),
        _pointwise,
        _as_they_are,
    ),
    "matmul by image": Layout(
        lambda images: images.flatten(2), lambda x, weight: weight @ x, _as_they_are
    ),
    "matmul": Layout(channels_by_pixels, lambda x, weight: weight @ x, from_channels_by_pixels),
    "linear": Layout(pixels_by_channels, linear, from_pixels_by_channels),
}


def drawn(*shape: int, seed: int) -> Tensor:
    """Normal numbers, the same on every device."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cpu").to(torch.get_default_device())


def random_weight(outputs: int, inputs: int) -> Tensor:
    """Candidates as a convolution of torch begins with them."""
    generator = torch.Generator("cpu").manual_seed(1)
    weight = torch.empty(outputs, inputs, device="cpu").uniform_(-1, 1, generator=generator)
    return weight.to(torch.get_default_device()) / inputs**0.5


class WiredLayer:
    """Candidates [out, in] of which the strongest are in use, and images that pass through.

    Parameters
    ----------
    weight : Tensor
        The candidates.
    keep : int
        Edges in use.
    images, side : int
        Images of side x side pixels.
    """

    def __init__(self, weight: Tensor, keep: int, images: int, side: int):
        self.weight, self.keep = weight, keep
        outputs, inputs = weight.shape
        self.input = drawn(images, inputs, side, side, seed=2)
        self.grad_output = drawn(images, outputs, side, side, seed=3)
        *self.structure, self.threshold = torch.ops.rewire.select(weight, keep)

    @cached_property
    def edges(self) -> tuple[Tensor, Tensor]:
        """Output and input of each edge, int64, in the order of CSR."""
        row_offsets, columns = self.structure[0].long(), self.structure[1].long()
        rows = torch.arange(self.weight.size(0)).repeat_interleave(row_offsets.diff())
        return rows, columns

    @cached_property
    def values(self) -> Tensor:
        """Weights of the edges, in the order of CSR."""
        return self.weight[self.edges]

    @cached_property
    def effective(self) -> Tensor:
        """The matrix with all but the edges zero."""
        return torch.zeros_like(self.weight).index_put(self.edges, self.values)

    def output(self) -> Tensor:
        """The output in float64."""
        return torch.einsum("oi,nihw->nohw", self.effective.double(), self.input.double())

    def gradients(self) -> dict[str, Tensor]:
        """Output and gradients in float64; grad_values is grad_weight at the edges."""
        grad_output, weight = self.grad_output.double(), self.effective.double()
        grad_weight = torch.einsum("nohw,nihw->oi", grad_output, self.input.double())
        return {
            "output": self.output(),
            "grad_input": torch.einsum("oi,nohw->nihw", weight, grad_output),
            "grad_weight": grad_weight,
            "grad_values": grad_weight[self.edges],
        }


def random_layer(inputs: int, outputs: int, density: float, images: int, side: int) -> WiredLayer:
    """The density's strongest of random candidates."""
    weight = random_weight(outputs, inputs)
    return WiredLayer(weight, round(density * weight.numel()), images, side)
