"""What layers of learned wiring share: a weight of candidates, of which the strongest are in use."""

import torch
from torch import Tensor, nn


def kept_of(candidates: int, density: float) -> int:
    """candidates - trunc((1 - density) candidates), as the published code counts what it prunes."""
    if not 0 <= density <= 1:
        raise ValueError(f"expected density in [0, 1], got {density}")
    return candidates - int((1 - density) * candidates)


class Wired:
    """The `keep` strongest entries of `self.weight`, chosen anew at each forward pass.

    Beside a torch layer with a parameter `weight` [out, ...]; `_wire` is called once that is there.
    """

    def _wire(self, density: float, gradient: str | float, execution: str):
        if execution not in ("auto", "sparse", "dense"):
            raise ValueError(
                f"{type(self).__name__}: expected execution 'auto', 'sparse' or 'dense', "
                f"got {execution!r}"
            )
        self.keep = kept_of(self.weight.numel(), density)
        self.gradient, self.execution = gradient, execution
        if gradient in ("all", "kept"):
            return
        if isinstance(gradient, str) or not 0.001 <= gradient <= 1:
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

    @property
    def density(self) -> float:
        """The part of the candidates that is in use."""
        return self.keep / max(1, self.weight.numel())

    def used_edges(self) -> Tensor:
        """Which candidates are in use: bool, of the weight's shape."""
        return torch.ops.rewire.strongest_mask(self.weight.detach(), self.keep)

    def used_weight(self) -> Tensor:
        """The weight, 0 where it is not in use; its gradient reaches all candidates, or "kept"."""
        kind = self.gradient if isinstance(self.gradient, str) else "all"
        return torch.ops.rewire.keep_strongest(self.weight, self.keep, kind)

    def _edges(self) -> tuple[tuple[Tensor, ...], str, Tensor | None]:
        """Structure, gradient and rates, as the operators take them."""
        structure = torch.ops.rewire.select(self.weight.detach(), self.keep)[:5]
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
        return f"keep={self.keep} ({100 * self.density:.3g} %), gradient={self.gradient!r}"


def take_parameters(new: nn.Module, old: nn.Module):
    """Gives a layer the weight and bias of another, of the same shapes, and its mode."""
    new.weight, new.bias = old.weight, old.bias
    new.train(old.training)
