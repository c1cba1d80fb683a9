"""Layers of fixed weights that learn which of them to use: edge-popup."""

import torch
from torch import Tensor, nn

from rewire.nn.conv2d import SparseConv2d, WiredConv2d
from rewire.nn.linear import SparseLinear, WiredLinear
from rewire.nn.wired import Wired, kept_of


class EdgePopup(Wired):
    """In use are the candidates of the largest score; weight and bias stay as they are.

        used weight = weight [|score| is among the keep largest]        (ties: the lower index wins)
        grad_score = grad_weight weight sign(score), of every candidate, straight-through
    """

    def _wire(self, *, density: float, execution: str = "auto"):
        super()._wire(keep=kept_of(self.weight.numel(), density), execution=execution)
        self.scores = nn.Parameter(torch.empty_like(self.weight))
        self.reset_scores()
        self._fix()

    def _fix(self):
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                parameter.requires_grad_(False)
                parameter.grad = None  # so that an optimiser passes it by, weight decay too

    @torch.no_grad()
    def reset_scores(self, generator: torch.Generator | None = None):
        """Uniform in plus or minus 1 / sqrt(fan-in), as published; by a generator of the CPU."""
        drawn = torch.empty(self.scores.shape).uniform_(-1, 1, generator=generator)
        fan_in = self.scores[:1].numel()
        self.scores.copy_(drawn * max(1, fan_in) ** -0.5)

    @torch.no_grad()
    def reset_parameters(self):
        """Weights of plus or minus sqrt(2 / fan-in), biases of 0, and scores, as published."""
        magnitude = (2 / max(1, self.weight[:1].numel())) ** 0.5
        signs = torch.where(torch.rand_like(self.weight) < 0.5, -1, 1)
        self.weight.copy_(magnitude * signs)
        if self.bias is not None:
            self.bias.zero_()
        if hasattr(self, "scores"):  # torch's layer calls this before there are any
            self.reset_scores()

    @classmethod
    def from_dense(cls, dense: nn.Module, **options) -> "EdgePopup":
        """Of a torch layer, whose parameters become this one's, and no longer learn."""
        learns = dense.weight.requires_grad
        layer = super().from_dense(dense, **options)
        layer.scores.requires_grad_(learns)
        layer._fix()
        return layer

    def to_sparse(self) -> SparseLinear | SparseConv2d:
        """The layer with the edges of now, fixed; its values learn if the scores do."""
        return super().to_sparse().requires_grad_(self.scores.requires_grad)

    def to_dense(self) -> nn.Linear | nn.Conv2d:
        """A torch layer with the edges of now, fixed: 0 elsewhere; it learns if the scores do."""
        return super().to_dense().requires_grad_(self.scores.requires_grad)

    def _strength(self) -> Tensor:
        return self.scores.detach()

    def _weight(self, strength: Tensor) -> Tensor:
        size = self.scores.abs()
        return self.weight * (1 + (size - size.detach()))  # the same bits, and a gradient to scores


class EdgePopupLinear(EdgePopup, WiredLinear):
    """A linear layer whose weights are fixed, and which learns a score for each instead.

        y_v = bias_v + sum over edges (u, v) in use of weight_vu x_u

    In use are the `keep` edges of the largest |score|, chosen anew at each forward pass; the scores
    alone learn, straight-through. Input [*, in_features], output [*, out_features]. Weights begin
    as plus or minus sqrt(2 / fan-in), which learns better than other weights; `from_dense` leaves
    those of a torch layer as they are. Source: Ramanujan et al. 2020, "What's hidden in a randomly
    weighted neural network?", whose networks have no biases.

    Parameters
    ----------
    density
        The part of the candidates that is in use; published are 0.3 to 0.7.
    execution
        "sparse", "dense", or "auto", the faster one.

    >>> import torch, rewire
    >>> layer = rewire.nn.EdgePopupLinear(64, 10, density=0.5)
    >>> layer(torch.randn(8, 64)).sum().backward()
    >>> [name for name, parameter in layer.named_parameters() if parameter.grad is not None]
    ['scores']
    """


class EdgePopupConv2d(EdgePopup, WiredConv2d):
    """A convolution whose weights are fixed, and which learns a score for each instead.

    As `EdgePopupLinear`, with the options of `torch.nn.Conv2d`, whose subclass this is. A pointwise
    one (1x1, without groups and padding) multiplies with the edges in use alone; any other is a
    dense convolution with the weight in use.

    >>> import torch, rewire
    >>> layer = rewire.nn.EdgePopupConv2d(16, 32, 3, padding=1, density=0.5)
    >>> layer(torch.randn(2, 16, 8, 8)).shape
    torch.Size([2, 32, 8, 8])
    """
