"""Layers that use n of every m consecutive weights: n:m sparsity."""

import torch
from torch import Tensor

from rewire.nn.conv2d import WiredConv2d
from rewire.nn.linear import WiredLinear
from rewire.nn.wired import Wired


class _SparseRefined(torch.autograd.Function):
    """The weight where it is in use, else 0; grad_weight = grad + decay [not in use] weight."""

    @staticmethod
    def forward(weight: Tensor, used: Tensor, decay: float) -> Tensor:
        return torch.where(used, weight, 0)

    @staticmethod
    def setup_context(ctx, inputs, output):
        weight, used, ctx.decay = inputs
        ctx.save_for_backward(weight, used)

    @staticmethod
    def backward(ctx, grad: Tensor):
        weight, used = ctx.saved_tensors
        return grad + torch.where(used, 0, ctx.decay * weight), None, None


def _stronger(sizes: tuple[Tensor, ...], i: int) -> Tensor:
    """How many of `sizes` come before the i-th: for few of them cheaper than a sort."""
    count = torch.zeros_like(sizes[i], dtype=torch.int16)
    for j, size in enumerate(sizes):
        count += size >= sizes[i] if j < i else size > sizes[i]
    return count


class NM(Wired):
    """In use are the n largest by magnitude of every m candidates that follow one another."""

    def _wire(self, *, n: int, m: int, decay: float = 2e-4, execution: str = "auto"):
        name = type(self).__name__
        if not (isinstance(n, int) and isinstance(m, int) and 0 < n <= m):
            raise ValueError(f"{name}: expected integers 0 < n <= m, got {n} and {m}")
        if self.weight.shape[1] % m != 0:
            inputs = "in_channels / groups" if self.weight.dim() > 2 else "in_features"
            raise ValueError(
                f"{name}: expected {inputs} of a multiple of m = {m}, got {self.weight.shape[1]}"
            )
        if decay < 0:
            raise ValueError(f"{name}: expected decay of at least 0, got {decay}")
        super()._wire(keep=self.weight.numel() // m * n, execution=execution)
        self.n, self.m, self.decay = n, m, decay

    def used_edges(self) -> Tensor:
        """Which candidates are in use: bool, of the weight's shape."""
        groups = (self.weight.shape[1] // self.m, self.m)
        sizes = self.weight.detach().abs().movedim(1, -1).unflatten(-1, groups).unbind(-1)
        used = [_stronger(sizes, i) < self.n for i in range(self.m)]
        return torch.stack(used, -1).flatten(-2).movedim(-1, 1)

    def used_weight(self) -> Tensor:
        """The weight, 0 where it is not in use; the gradient reaches all candidates."""
        return self._weight(self._strength())

    def _strength(self) -> Tensor:
        return self.used_edges().to(self.weight.dtype)  # as many are 1 as are kept

    def _weight(self, strength: Tensor) -> Tensor:
        return _SparseRefined.apply(self.weight, strength != 0, self.decay)

    def _wiring_repr(self) -> str:
        return f"{self.n}:{self.m}, decay={self.decay}"


class NMLinear(NM, WiredLinear):
    """A linear layer that uses n of every m weights that follow one another in a row.

        y_v = bias_v + sum over edges (u, v) in use of weight_vu x_u

    In use are the n largest by magnitude of weight_vu with u = m i to m i + m - 1, for each output
    v and each i (ties: the lower u wins), chosen anew at each forward pass. The gradient reaches
    the others too, straight-through, and draws them to 0, so that the choice settles:

        grad_weight = grad of the used weight + decay weight where it is not in use

    Input [*, in_features], output [*, out_features]; parameters and initialisation are those of
    `torch.nn.Linear`, whose subclass this is. Source: Zhou et al. 2021, "Learning N:M fine-grained
    structured sparse neural networks from scratch" (SR-STE).

    Parameters
    ----------
    n, m
        How many are in use of how many; m divides in_features. Sparse tensor cores compute 2:4.
    decay
        Of what is not in use.
    execution
        "sparse", "dense", or "auto", the faster one.

    Raises
    ------
    ValueError
        If an option is out of its range, or m does not divide in_features.

    >>> import torch, rewire
    >>> layer = rewire.nn.NMLinear(4, 1, n=2, m=4)
    >>> with torch.no_grad():
    ...     _ = layer.weight.copy_(torch.tensor([[0.1, -0.4, 0.3, 0.2]]))
    >>> layer.used_edges()
    tensor([[False,  True,  True, False]])
    """


class NMConv2d(NM, WiredConv2d):
    """A convolution that uses n of every m weights that follow one another along the inputs.

    As `NMLinear`, for each output and each place of the kernel: m divides in_channels / groups. As
    in the published code, whose weights have the channels last. The options are those of
    `torch.nn.Conv2d`, whose subclass this is. A pointwise one (1x1, without groups and padding)
    multiplies with the edges in use alone; any other is a dense convolution with the weight in use.

    >>> import torch, rewire
    >>> layer = rewire.nn.NMConv2d(16, 32, 3, padding=1, n=2, m=4)
    >>> layer(torch.randn(2, 16, 8, 8)).shape, int(layer.used_edges().sum())
    (torch.Size([2, 32, 8, 8]), 2304)
    """
