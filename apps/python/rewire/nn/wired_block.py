"""Convolutions whose channels are the nodes of one graph: norm, ReLU, depthwise and wired layer."""

import torch
from torch import Tensor, nn

from rewire.nn.dnw import DNWConv2d

_NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


class WiredBlock(nn.Module):
    """`depth` separable convolutions that share a learned wiring, in one operator.

        z_c = depthwise_c (3x3) of max(norm_c(x_c), 0)
        x_v = sum over edges (c, v) in use from the input's channels of weight_vc z_c,  then, for
        i = 1, 2, ..: x_v += the same from x's channels [(i - 1) out, i out), to all behind them

    Input [batch, in_channels, height, width]; output [batch, out_channels, height / stride,
    width / stride], rounded up: the last of x's channels. With depth 1 this is one convolution. It
    is a stage of the C++ library's MobileNetV1, whose names its parameters have: a state dict of
    one fits the other. Source: Wortsman, Farhadi, Rastegari 2019, section 4.

    Parameters
    ----------
    density
        The part of the candidates, of all senders to all receivers, that is in use: the strongest,
        chosen anew at each forward pass.
    norm
        "batch", with running statistics, or "instance", of each image.
    gradient, execution
        As of `DNWConv2d`.

    Raises
    ------
    ValueError
        If an option is out of its range.

    >>> import torch, rewire
    >>> block = rewire.nn.WiredBlock(16, 32, depth=2, stride=2, density=0.1)
    >>> block(torch.randn(2, 16, 8, 8)).shape
    torch.Size([2, 32, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        depth: int = 1,
        stride: int = 1,
        *,
        density: float,
        norm: str = "batch",
        gradient: str | float = "all",
        execution: str = "auto",
        device=None,
        dtype=None,
    ):
        super().__init__()
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "depth": depth}
        for name, size in (sizes | {"stride": stride}).items():
            if size < 1:
                raise ValueError(f"WiredBlock: expected {name} of at least 1, got {size}")
        if norm not in _NORMS:
            raise ValueError(f"WiredBlock: expected norm 'batch' or 'instance', got {norm!r}")
        options = {"device": device, "dtype": dtype}
        inner = (depth - 1) * out_channels  # outputs that are inputs too
        self.in_channels, self.out_channels, self.depth = in_channels, out_channels, depth
        self.stride, self.kind = stride, norm
        self.downsample = nn.Sequential(_depthwise(in_channels, stride, options))
        self.conv = _depthwise(inner, 1, options) if inner else None
        widths = [in_channels] + [out_channels] * (depth - 1)
        self.norm = nn.ModuleList(_NORMS[norm](width, affine=True, **options) for width in widths)
        wiring = {"density": density, "gradient": gradient, "execution": execution}
        candidates = (in_channels + inner, inner + out_channels, 1)
        self.graph = DNWConv2d(*candidates, bias=False, **wiring, **options)
        self._ends = [(i + 1) * out_channels for i in range(depth - 1)]

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, height, width] to [batch, out_channels, height', width']."""
        depthwise = self.downsample[0].weight
        if self.conv is not None:
            depthwise = torch.cat([depthwise, self.conv.weight])
        weight, bias = (torch.cat([getattr(n, name) for n in self.norm]) for name in ("weight", "bias"))
        statistics, mean, variance = self.kind, None, None
        if self.kind == "batch" and not self.training:
            statistics = "given"
            mean = torch.cat([norm.running_mean for norm in self.norm])
            variance = torch.cat([norm.running_var for norm in self.norm])
        structure, gradient, rates = self.graph._edges(self.graph._strength())
        out, mean_of, variance_of, _ = torch.ops.rewire.wired_blocks(
            *(x, self.graph.weight, list(structure), depthwise, weight, bias, mean, variance),
            *(self._ends, self._ends, statistics, self.norm[0].eps, gradient),
            *(self.graph.execution, rates, self.stride, torch.is_grad_enabled()),
        )
        if statistics == "batch":
            self._track(x, out, mean_of, variance_of)
        return out

    @torch.no_grad()
    def _track(self, x: Tensor, out: Tensor, mean: Tensor, variance: Tensor):
        """Moves the running statistics, as torch's norm does: the first norm sees the input."""
        begin, count = 0, x.numel() // x.shape[1]
        for norm in self.norm:
            part = slice(begin, begin + norm.num_features)
            norm.num_batches_tracked += 1
            if count > 0:
                norm.running_mean.lerp_(mean[part].to(norm.running_mean), norm.momentum)
                unbiased = variance[part] * (count / max(1, count - 1))
                norm.running_var.lerp_(unbiased.to(norm.running_var), norm.momentum)
            begin, count = begin + norm.num_features, out.numel() // out.shape[1]

    def extra_repr(self) -> str:
        """Sizes, and what normalises."""
        return (
            f"{self.in_channels}, {self.out_channels}, depth={self.depth}, stride={self.stride}, "
            f"norm={self.kind!r}"
        )


def _depthwise(channels: int, stride: int, options: dict) -> nn.Conv2d:
    conv = {"stride": stride, "padding": 1, "groups": channels, "bias": False}
    return nn.Conv2d(channels, channels, 3, **conv, **options)
