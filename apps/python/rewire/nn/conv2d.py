"""Convolutions of few edges: fixed, or chosen anew at each step by a rule."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewire.nn.sparse import Sparse, structure_of
from rewire.nn.wired import Wired, learn_as, take_parameters

GEOMETRY = ("kernel_size", "stride", "padding", "dilation", "groups")


def is_pointwise(conv) -> bool:
    """Whether it is a linear layer at each place that it strides to."""
    return conv.kernel_size == (1, 1) and conv.groups == 1 and conv.padding in ((0, 0), "valid")


def _torch_options(conv: nn.Conv2d) -> dict:
    """What makes a torch layer of the same shape."""
    names = ("in_channels", "out_channels", *GEOMETRY, "padding_mode")
    options = {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}
    return options | {"device": conv.weight.device, "dtype": conv.weight.dtype}


def _at_places(conv, x: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """A product at the places that it strides to; of an image without a batch too, as in torch."""
    if x.dim() == 3:
        return _at_places(conv, x.unsqueeze(0), product).squeeze(0)
    if x.dim() != 4:
        raise RuntimeError(  # the class and the words that torch has for it
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: "
            f"{list(x.shape)}"
        )
    if x.shape[1] != conv.in_channels:
        raise RuntimeError(
            f"{type(conv).__name__}: expected input[{', '.join(map(str, x.shape))}] to have "
            f"{conv.in_channels} channels, but got {x.shape[1]} channels instead"
        )
    if conv.stride != (1, 1):
        x = x[:, :, :: conv.stride[0], :: conv.stride[1]]
    return product(x)


class SparseConv2d(Sparse):
    """A convolution of which the weights in use alone are stored.

    Input [batch, in_channels, height, width], or without batch. A pointwise one (1x1, without groups and padding)
    computes its edges alone; any other is a dense convolution with 0 elsewhere. Made by
    `from_dense`, or of a `DNWConv2d` by its `to_sparse`.

    Attributes
    ----------
    values
        Parameter [edges], in the order of a weight [out_channels, in_channels / groups, *kernel].
    bias
        Parameter [out_channels], or None.
    execution
        Of a pointwise one: "sparse", "dense", or "auto", the faster one.
    """

    def __init__(self, in_channels: int, out_channels: int, execution: str = "auto", **geometry):
        super().__init__()
        self.in_channels, self.out_channels, self.execution = in_channels, out_channels, execution
        for name in GEOMETRY:
            setattr(self, name, geometry[name])

    @classmethod
    def from_dense(
        cls, conv: nn.Conv2d, mask: Tensor | None = None, execution: str = "auto"
    ) -> "SparseConv2d":
        """The layer of a dense one's weights that are not 0, or of those that `mask` names.

        Raises
        ------
        ValueError
            If the mask is of another shape, or the padding is not of zeros.
        """
        if conv.padding_mode != "zeros":
            raise ValueError(f"SparseConv2d: expected padding of zeros, got {conv.padding_mode!r}")
        weight = conv.weight.detach()
        used = weight != 0 if mask is None else mask
        if used.shape != weight.shape:
            raise ValueError(
                f"SparseConv2d: expected mask of shape {list(weight.shape)}, got {list(used.shape)}"
            )
        geometry = {name: getattr(conv, name) for name in GEOMETRY}
        layer = cls(conv.in_channels, conv.out_channels, execution, **geometry)
        target, place = used.flatten(1).nonzero().unbind(1)
        structure = structure_of(target, place, *weight.flatten(1).shape)
        bias = None if conv.bias is None else conv.bias.detach().clone()
        layer._set_edges(structure, weight.flatten(1)[target, place], bias)
        learn_as((layer.values, layer.bias), (conv.weight, conv.bias))
        return layer.train(conv.training)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(out_channels, in_channels / groups, *kernel)"""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def to_dense(self) -> nn.Conv2d:
        """A torch layer with the same outputs."""
        geometry = {name: getattr(self, name) for name in GEOMETRY}
        options = {"device": self.values.device, "dtype": self.values.dtype}
        sizes = (self.in_channels, self.out_channels)
        conv = nn.Conv2d(*sizes, **geometry, bias=self.bias is not None, **options)
        with torch.no_grad():
            conv.weight.copy_(self.dense_weight())
            if self.bias is not None:
                conv.bias.copy_(self.bias)
        learn_as((conv.weight, conv.bias), (self.values, self.bias))
        return conv.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """[*, in_channels, height, width] to [*, out_channels, height', width']; * a batch or not."""
        weight = self._watched_dense()
        if weight is None and is_pointwise(self):
            return _at_places(self, x, self._multiplied)
        weight = self.dense_weight() if weight is None else weight
        rest = (self.stride, self.padding, self.dilation, self.groups)
        return functional.conv2d(x, weight, self.bias, *rest)

    def _multiplied(self, x: Tensor) -> Tensor:
        return torch.ops.rewire.sparse_pointwise(
            x, self.values, self.bias, *self._structure(), self.execution
        )

    def extra_repr(self) -> str:
        """Sizes, edges and how they are computed."""
        geometry = ", ".join(f"{name}={getattr(self, name)}" for name in GEOMETRY)
        return (
            f"{self.in_channels}, {self.out_channels}, {geometry}, edges={self.num_edges}, "
            f"bias={self.bias is not None}"
        )


class WiredConv2d(Wired, nn.Conv2d):
    """A torch layer of which the edges that a rule chooses are in use; a subclass says the rule.

    A pointwise one (1x1, without groups and padding) multiplies with the edges in use alone; any
    other is a dense convolution with the weight in use.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        device=None,
        dtype=None,
        **wiring,
    ):
        geometry = (kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        super().__init__(in_channels, out_channels, *geometry, device=device, dtype=dtype)
        self._wire(**wiring)

    @classmethod
    def from_dense(cls, conv: nn.Conv2d, **options) -> "WiredConv2d":
        """Of a torch layer, whose parameters become this one's; `options` as for the constructor."""
        layer = cls(**_torch_options(conv), **options)
        take_parameters(layer, conv)
        return layer

    def to_sparse(self) -> SparseConv2d:
        """The layer with the edges of now, fixed."""
        return SparseConv2d.from_dense(self, self.used_edges(), self.execution)

    def to_dense(self) -> nn.Conv2d:
        """A torch layer with the edges of now, fixed: 0 elsewhere."""
        conv = nn.Conv2d(**_torch_options(self))
        with torch.no_grad():
            conv.weight.copy_(self.used_weight())
            if self.bias is not None:
                conv.bias.copy_(self.bias)
        learn_as((conv.weight, conv.bias), (self.weight, self.bias))
        return conv.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """[*, in_channels, height, width] to [*, out_channels, height', width']; * a batch or not."""
        if self.keep == self.weight.numel():
            return self._conv_forward(x, self._weight(self._strength()), self.bias)
        if not is_pointwise(self):
            return self._conv_forward(x, self.used_weight(), self.bias)
        return _at_places(self, x, partial(self._multiplied, torch.ops.rewire.wired_pointwise))

    def extra_repr(self) -> str:
        """Those of the torch layer, and the wiring."""
        return f"{super().extra_repr()}, {self._wiring_repr()}"
