"""Layers of which few edges are in use, and some more learn: Top-KAST."""

import torch
from torch import Tensor, nn

from rewire.nn.conv2d import WiredConv2d
from rewire.nn.linear import WiredLinear
from rewire.nn.wired import Wired, kept_of


class TopKAST(Wired):
    """In use is A, the `keep` strongest candidates; B, the `backward_keep` strongest, learns."""

    def _wire(
        self, *, density: float, backward_density: float | None = None, execution: str = "auto"
    ):
        if backward_density is None:
            backward_density = min(1.0, 2 * density)
        if not 0 < density <= backward_density <= 1:
            raise ValueError(
                f"{type(self).__name__}: expected 0 < density <= backward_density <= 1, "
                f"got {density} and {backward_density}"
            )
        candidates = self.weight.numel()
        super()._wire(keep=kept_of(candidates, density), execution=execution)
        self.backward_keep = kept_of(candidates, backward_density)

    def learning_edges(self) -> Tensor:
        """Which candidates are in B: bool, of the weight's shape."""
        return torch.ops.rewire.strongest_mask(self.weight.detach(), self.backward_keep)

    def used_weight(self) -> Tensor:
        """The weight, 0 where it is not in use; its gradient reaches those in B."""
        weight = self._weight(self._strength())
        return torch.where(self.learning_edges(), weight, weight.detach())

    def _weight(self, strength: Tensor) -> Tensor:
        return torch.ops.rewire.keep_strongest(self.weight, self.keep, "all")

    def _edges(self, strength: Tensor) -> tuple[tuple[Tensor, ...], str, Tensor | None]:
        # The edges of B, of which those outside of A are 0: no product of the gradient is dense.
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        keep = self.backward_keep if learns else self.keep
        return torch.ops.rewire.select(strength, keep)[:5], "kept", None

    def _wiring_repr(self) -> str:
        part = 100 * self.backward_keep / max(1, self.weight.numel())
        return f"{super()._wiring_repr()}, backward_keep={self.backward_keep} ({part:.3g} %)"


class TopKASTLinear(TopKAST, WiredLinear):
    """A linear layer of which the strongest edges are in use, and somewhat more of them learn.

        y_v = bias_v + sum over edges (u, v) in A of weight_vu x_u

    A are the entries of `weight` that are largest by magnitude, a part `density`, and B, which has
    them all, a part `backward_density`; both are chosen anew at each forward pass. Those in B get
    the gradient of a weight, straight-through, and all others none, so that neither pass multiplies
    with more edges than those in B. Add `exploration_penalty`, times a factor, to the loss. Input
    [*, in_features], output [*, out_features]; parameters and initialisation are those of
    `torch.nn.Linear`, whose subclass this is. Source: Jayakumar et al. 2020, "Top-KAST: Top-K
    Always Sparse Training".

    Parameters
    ----------
    density
        The part of the candidates that is in use, above 0.
    backward_density
        The part that learns; None: twice as many as are in use.
    execution
        "sparse", "dense", or "auto", the faster one.

    >>> import torch, rewire
    >>> layer = rewire.nn.TopKASTLinear(64, 10, density=0.1, backward_density=0.3)
    >>> (layer(torch.randn(8, 64)).sum() + 1e-4 * rewire.nn.exploration_penalty(layer)).backward()
    >>> int(layer.used_edges().sum()), int((layer.weight.grad != 0).sum())
    (64, 192)
    """


class TopKASTConv2d(TopKAST, WiredConv2d):
    """A convolution of which the strongest edges are in use, and somewhat more of them learn.

    As `TopKASTLinear`, with the options of `torch.nn.Conv2d`, whose subclass this is. A pointwise
    one (1x1, without groups and padding) computes edges alone; any other is a dense convolution
    with the weight in use.

    >>> import torch, rewire
    >>> layer = rewire.nn.TopKASTConv2d(16, 32, 3, padding=1, density=0.1)
    >>> layer(torch.randn(2, 16, 8, 8)).shape
    torch.Size([2, 32, 8, 8])
    """


def exploration_penalty(model: nn.Module) -> Tensor:
    """What Top-KAST adds to a loss, times a factor, so that other edges come into use.

        sum over layers of (sum over A of |weight| + sum over B without A of |weight| / density)

    where density is the part of the layer's candidates that is in use. Returns a scalar. Source:
    Jayakumar et al. 2020, section 2.3.

    Raises
    ------
    ValueError
        If the model has no `TopKASTLinear` or `TopKASTConv2d`.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, TopKAST)]
    if not layers:
        raise ValueError("exploration_penalty: the model has no TopKASTLinear or TopKASTConv2d")
    return sum(_penalty_of(layer) for layer in layers)


def _penalty_of(layer: TopKAST) -> Tensor:
    size, used = layer.weight.abs(), layer.used_edges()
    others = layer.learning_edges() & ~used
    per_density = layer.weight.numel() / max(1, layer.keep)
    return torch.where(used, size, 0).sum() + per_density * torch.where(others, size, 0).sum()
