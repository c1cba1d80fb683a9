"""Layers that find their wiring: the strongest edges are in use, the others learn too."""

from numbers import Real

import torch
from torch import Tensor

from rewire.nn.conv2d import WiredConv2d, is_pointwise
from rewire.nn.linear import WiredLinear
from rewire.nn.wired import Wired, kept_of


class DNW(Wired):
    """In use are the candidates of the largest magnitude; the gradient reaches the others too."""

    def _wire(self, *, density: float, gradient: str | float = "all", execution: str = "auto"):
        super()._wire(keep=kept_of(self.weight.numel(), density), execution=execution)
        self.final_density = density  # that pruning leads to: see rewire.GradualPruning
        self.gradient = gradient
        if isinstance(gradient, str) and gradient in ("all", "kept"):
            return
        number = isinstance(gradient, Real) and not isinstance(gradient, bool)
        if not number or not 0.001 <= gradient <= 1:
            raise ValueError(
                f"{type(self).__name__}: expected gradient 'all', 'kept' or a fraction in "
                f"[0.001, 1], got {gradient!r}"
            )
        out = self.weight.shape[0]
        self._turns = max(1, round(1 / gradient))
        self._panel = min(32, max(1, out // self._turns))  # outputs that have their turn together
        device = self.weight.device
        self.register_buffer("turn_of", torch.zeros(out, dtype=torch.int64, device=device))
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64, device=device))

    def used_weight(self) -> Tensor:
        """The weight, 0 where it is not in use; its gradient reaches all candidates, or "kept"."""
        kind = self.gradient if isinstance(self.gradient, str) else "all"
        return torch.ops.rewire.keep_strongest(self.weight, self.keep, kind)

    def _edges(self, strength: Tensor) -> tuple[tuple[Tensor, ...], str, Tensor | None]:
        structure = torch.ops.rewire.select(strength, self.keep)[:5]
        if isinstance(self.gradient, str):
            return structure, self.gradient, None
        return structure, "candidates", self._gradient_rates()

    @torch.no_grad()
    def _gradient_rates(self) -> Tensor:
        """[out]: in each of `turns` steps some outputs pass on the gradient of candidates that are
        not in use, `turns` times as large; who does when is drawn anew after all had their turn."""
        if not (self.training and self.weight.requires_grad):
            return torch.ones_like(self.turn_of).to(self.weight)
        out = self.turn_of.shape[0]
        panels = torch.randperm(-(-out // self._panel), device=self.turn_of.device) % self._turns
        drawn = panels.repeat_interleave(self._panel)[:out]
        self.turn_of.copy_(torch.where(self.turn == 0, drawn, self.turn_of))
        rates = (self.turn_of == self.turn).to(self.weight) * self._turns
        self.turn.add_(1).remainder_(self._turns)
        return rates

    def _wiring_repr(self) -> str:
        return f"{super()._wiring_repr()}, gradient={self.gradient!r}"


class DNWLinear(DNW, WiredLinear):
    """A linear layer that finds its wiring while it trains.

        y_v = bias_v + sum over edges (u, v) in use of weight_vu x_u

    In use are the `keep` entries of `weight` that are largest by magnitude, chosen anew at each
    forward pass; the gradient reaches the others too, straight-through. Input [*, in_features],
    output [*, out_features]; parameters and their initialisation are those of `torch.nn.Linear`,
    whose subclass this is. Source: Wortsman, Farhadi, Rastegari 2019, section 3.

    Parameters
    ----------
    density
        The part of the candidates that is in use.
    gradient
        Which candidates learn: "all"; "kept", those in use alone; or a fraction f, those in use and
        all others of a rotating part f of the outputs, 1 / f times as large: the same in the mean
        at less work.
    execution
        "sparse", "dense", or "auto", the faster one.

    >>> import torch, rewire
    >>> layer = rewire.nn.DNWLinear(1024, 1000, density=0.05)
    >>> layer(torch.randn(8, 1024)).shape, int(layer.used_edges().sum())
    (torch.Size([8, 1000]), 51200)
    """


class DNWConv2d(DNW, WiredConv2d):
    """A convolution that finds its wiring while it trains.

    In use are the `keep` entries of `weight` [out_channels, in_channels / groups, *kernel] that are
    largest by magnitude, chosen anew at each forward pass; the gradient reaches the others too,
    straight-through. Parameters, options and initialisation are those of `torch.nn.Conv2d`, whose
    subclass this is. A pointwise one (1x1, without groups and padding) multiplies with the edges in
    use alone; any other is a dense convolution with the weight in use. Source: Wortsman, Farhadi,
    Rastegari 2019, section 3.

    Parameters
    ----------
    density
        The part of the candidates that is in use.
    gradient
        Which candidates learn: "all"; "kept", those in use alone; or, of a pointwise one, a
        fraction, as of `DNWLinear`.
    execution
        Of a pointwise one: "sparse", "dense", or "auto", the faster one.

    >>> import torch, rewire
    >>> layer = rewire.nn.DNWConv2d(16, 32, 3, padding=1, density=0.1)
    >>> layer(torch.randn(2, 16, 8, 8)).shape
    torch.Size([2, 32, 8, 8])
    """

    def _wire(self, *, gradient: str | float = "all", **wiring):
        super()._wire(gradient=gradient, **wiring)
        if not isinstance(gradient, str) and not is_pointwise(self):
            raise ValueError(
                "DNWConv2d: expected gradient 'all' or 'kept' of a convolution that is computed "
                f"dense, got {gradient!r}"
            )
