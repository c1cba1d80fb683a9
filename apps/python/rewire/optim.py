"""Optimisers: how they go on while a network is edited, and two that torch does not have."""

import torch

from rewire.nn.edits import Changes


def carry(
    optimizer: torch.optim.Optimizer, net: torch.nn.Module, new: torch.nn.Module, changes: Changes
) -> torch.optim.Optimizer:
    """Hands an optimiser of `net` over to `new`, which `net.edit` made with `changes`.

    What the optimiser remembers of a parameter, entry by entry (momentum, Adam's moments), is kept
    for what survives and 0 for what is new; what it remembers of it as a whole (Adam's step) stays.
    Parameters of other modules stay as they are.

    Returns
    -------
    torch.optim.Optimizer
        The same one, now over the parameters of `new`.

    >>> import rewire
    >>> graph = rewire.Graph([("x", "h"), ("h", "y")], ["x"], ["y"])
    >>> net = rewire.nn.NeuronGraph(graph)
    >>> optimizer = torch.optim.Adam(net.parameters())
    >>> new, changes = net.edit(add_edges=[("x", "y")])
    >>> optimizer = rewire.optim.carry(optimizer, net, new, changes)
    """
    replaced = dict(new.named_parameters())
    name_of = {parameter: name for name, parameter in net.named_parameters()}
    for group in optimizer.param_groups:
        group["params"] = [
            replaced.get(name_of.get(parameter), parameter) for parameter in group["params"]
        ]
    for old, name in name_of.items():
        if old not in optimizer.state or name not in changes.parameters:
            continue
        state = optimizer.state.pop(old)
        for key, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == old.shape and value.dim() > 0:
                state[key] = torch.zeros_like(replaced[name], dtype=value.dtype)
                changes.copy(name, value, state[key])
        optimizer.state[replaced[name]] = state
    return optimizer


class AveragedSGD(torch.optim.Optimizer):
    """Gradient descent on a running average of the gradient.

        m = momentum m + (1 - momentum) g,    p -= lr m

    torch's SGD adds the whole gradient to what is left of the momentum. Source: NNKit 1.4.2.
    """

    def __init__(self, params, lr: float = 0.1, momentum: float = 0.9):
        _check_range("AveragedSGD", lr=lr, momentum=momentum)
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; returns what the closure does, if there is one."""
        loss = _closed(closure)
        for group in self.param_groups:
            for p in _with_gradients(group):
                m = self.state[p].setdefault("average", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                p.sub_(m, alpha=group["lr"])
        return loss


class UncorrectedAdam(torch.optim.Optimizer):
    """Adam without correction of the first steps' bias, eps inside the root.

        m = b m + (1 - b) g,    r = c r + (1 - c) g^2,    p -= lr m / sqrt(r + eps)

    With b = 0 it is RMSProp. Source: NNKit 1.4.2.
    """

    def __init__(self, params, lr: float = 1e-3, betas=(0.9, 0.999), eps: float = 1e-8):
        _check_range("UncorrectedAdam", lr=lr, beta1=betas[0], beta2=betas[1], eps=eps)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):
        """One step; returns what the closure does, if there is one."""
        loss = _closed(closure)
        for group in self.param_groups:
            b, c = group["betas"]
            for p in _with_gradients(group):
                state = self.state[p]
                m = state.setdefault("average", torch.zeros_like(p))
                r = state.setdefault("square_average", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - b)
                r.lerp_(p.grad.square(), 1 - c)
                p.addcdiv_(m, (r + group["eps"]).sqrt(), value=-group["lr"])
        return loss


def _closed(closure):
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _with_gradients(group):
    return [p for p in group["params"] if p.grad is not None]


def _check_range(name: str, **values: float):
    for key, value in values.items():
        most = float("inf") if key in ("lr", "eps") else 1
        if not 0 <= value <= most:
            raise ValueError(f"{name}: expected {key} in [0, {most}], got {value}")
