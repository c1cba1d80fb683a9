"""Optimisers that go on while a network is edited."""

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
