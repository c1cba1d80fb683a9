"""What layers share that choose which candidate edges are in use, anew at each forward pass."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def kept_of(candidates: int, density: float) -> int:
    """candidates - trunc((1 - density) candidates), as the published code counts what it prunes."""
    if not 0 <= density <= 1:
        raise ValueError(f"expected density in [0, 1], got {density}")
    return candidates - int((1 - density) * candidates)


class Wired:
    """The `keep` candidates of the largest strength are in use; a rule says what strength is.

    Beside a torch layer with a parameter `weight` [out, ...] of all candidates. A rule gives the
    strength of each, the weight that is multiplied with, and which candidates learn; here strength
    is magnitude, and all of them learn. `_wire` is called once the weight is there.
    """

    def _wire(self, *, keep: int, execution: str = "auto"):
        if execution not in ("auto", "sparse", "dense"):
            raise ValueError(
                f"{type(self).__name__}: expected execution 'auto', 'sparse' or 'dense', "
                f"got {execution!r}"
            )
        self.keep, self.execution = keep, execution

    @property
    def density(self) -> float:
        """The part of the candidates that is in use."""
        return self.keep / max(1, self.weight.numel())

    def used_edges(self) -> Tensor:
        """Which candidates are in use: bool, of the weight's shape."""
        return torch.ops.rewire.strongest_mask(self._strength(), self.keep)

    def used_weight(self) -> Tensor:
        """The weight, 0 where it is not in use; the gradient reaches those that learn."""
        strength = self._strength()
        weight = self._weight(strength)
        used = torch.ops.rewire.strongest_mask(strength, self.keep)
        return torch.where(used, weight, weight - weight.detach())  # 0, with the gradient of one

    def _strength(self) -> Tensor:
        """Of each candidate, without gradient: the `keep` largest by magnitude are in use."""
        return self.weight.detach()

    def _weight(self, strength: Tensor) -> Tensor:
        """What edges in use multiply with; candidates learn by the gradient that flows back here."""
        return self.weight

    def _edges(self, strength: Tensor) -> tuple[tuple[Tensor, ...], str, Tensor | None]:
        """Structure, gradient and rates, as the operators take them."""
        return torch.ops.rewire.select(strength, self.keep)[:5], "all", None

    def _multiplied(self, operator, x: Tensor) -> Tensor:
        """By an operator that computes the edges in use alone."""
        strength = self._strength()
        structure, gradient, rates = self._edges(strength)
        weight = self._weight(strength)
        return operator(x, weight, self.bias, *structure, gradient, self.execution, rates)

    def _wiring_repr(self) -> str:
        return f"keep={self.keep} ({100 * self.density:.3g} %)"


def take_parameters(new: nn.Module, old: nn.Module):
    """Gives a layer the weight and bias of another, of the same shapes, and its mode."""
    new.weight, new.bias = old.weight, old.bias
    new.train(old.training)


def learn_as(new: Iterable[Tensor | None], old: Iterable[Tensor | None]):
    """Lets parameters learn where those that they are made of did."""
    for parameter, found in zip(new, old, strict=True):
        if parameter is not None:
            parameter.requires_grad_(found.requires_grad)
