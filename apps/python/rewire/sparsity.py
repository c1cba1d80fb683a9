"""From a model of torch's layers to one of few edges, and back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewire.nn import DNWConv2d, DNWLinear, SparseConv2d, SparseLinear
from rewire.nn.conv2d import is_pointwise
from rewire.nn.wired import kept_of
from rewire.replacing import is_sparse, replaced

METHODS = ("dnw", "random")

_LAYERS = {
    nn.Linear: {"dnw": DNWLinear, "random": SparseLinear},
    nn.Conv2d: {"dnw": DNWConv2d, "random": SparseConv2d},
}


def layer_densities(
    weights: Mapping[str, Tensor], density: float, distribution: str = "uniform"
) -> dict[str, float]:
    """How dense each layer is to be, so that `density` of all weights are kept.

    "uniform": `density` each. "global": as many of a layer's weights as are among the strongest of
    all. "erk", Erdos-Renyi-Kernel: in proportion to the sum of a weight's sizes over their product,
    so that small layers are denser; those that would be above 1 are dense, and the others share
    what is left. Source: Evci et al. 2020, "Rigging the Lottery", section 3.

    >>> import torch
    >>> weights = {"a": torch.ones(100, 100), "b": torch.ones(10, 10)}
    >>> layer_densities(weights, 0.2, "erk")["b"]
    1.0
    """
    if not 0 <= density <= 1:
        raise ValueError(f"sparsify: expected density in [0, 1], got {density}")
    if distribution == "uniform":
        return dict.fromkeys(weights, density)
    sizes = {name: weight.numel() for name, weight in weights.items()}
    if distribution == "global":
        flat = torch.cat([weight.detach().flatten().float() for weight in weights.values()])
        kept = torch.ops.rewire.strongest_mask(flat, kept_of(flat.numel(), density))
        parts = zip(sizes, kept.split(list(sizes.values())), strict=True)
        return {name: int(part.sum()) / max(1, sizes[name]) for name, part in parts}
    if distribution != "erk":
        raise ValueError(
            f"sparsify: expected distribution 'uniform', 'erk' or 'global', got {distribution!r}"
        )
    wanted = {name: sum(weight.shape) / max(1, sizes[name]) for name, weight in weights.items()}
    dense: set[str] = set()
    while True:
        rest = [name for name in weights if name not in dense]
        left = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        scale = left / sum(wanted[name] * sizes[name] for name in rest) if rest else 0.0
        above = {name for name in rest if scale * wanted[name] > 1}
        if not above:
            return {name: 1.0 if name in dense else scale * wanted[name] for name in weights}
        dense |= above


def sparsify(
    model: nn.Module,
    density: float | Mapping[str, float] = 0.1,
    method: str = "dnw",
    distribution: str = "uniform",
    layers: Iterable[str] | Callable[[str, nn.Module], bool] | None = None,
    gradient: str | float = "all",
    seed: int | None = None,
) -> nn.Module:
    """Makes layers of a model sparse, in place.

    Every `torch.nn.Linear` and `torch.nn.Conv2d`, subclasses left out, or those that `layers`
    chooses. Weights and biases stay, as the same parameters under "dnw": an optimiser made before
    goes on.

    Parameters
    ----------
    density
        The part of the weights that is kept, or {name of a layer: its own}; layers that are not
        named then stay dense.
    method
        "dnw": the strongest edges, chosen anew at each forward pass (`DNWLinear`, `DNWConv2d`);
        "random": drawn once and fixed, the others not even stored (`SparseLinear`,
        `SparseConv2d`). A convolution with another padding than zeros cannot be the latter.
    distribution
        "uniform", "erk" or "global": see `layer_densities`.
    layers
        Names, as of `named_modules`, or a function (name, layer) -> bool. None: all.
    gradient
        Of "dnw": which candidates learn, see `DNWLinear`; a convolution that is computed dense
        takes "all" in the place of a fraction.
    seed
        Of "random"; None: torch's own generator.

    Returns
    -------
    torch.nn.Module
        The model; if it is itself such a layer, the one in its place.

    Raises
    ------
    ValueError
        If an option is none of those named, a density is outside of [0, 1], or no layer is chosen.

    >>> import torch, rewire
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    >>> rewire.sparsify(model, density=0.1)[0]
    DNWLinear(in_features=64, out_features=64, bias=True, keep=410 (10 %), gradient='all')
    """
    if method not in METHODS:
        raise ValueError(f"sparsify: expected method of {', '.join(METHODS)}, got {method!r}")
    found = _chosen(model, layers, density)
    if isinstance(density, Mapping):
        densities = {name: density[name] for name in found if name in density}
    else:
        weights = {name: layer.weight for name, layer in found.items()}
        densities = layer_densities(weights, density, distribution)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    new_of = {}
    for name, own in densities.items():
        layer = found[name]
        kind = _LAYERS[type(layer)][method]
        if method == "random":
            new = kind.from_dense(layer, _random_mask(layer.weight, own, generator))
        else:
            new = kind.from_dense(layer, density=own, gradient=_gradient_of(layer, gradient))
        new_of[layer] = new
    return replaced(model, new_of)


def _chosen(model: nn.Module, layers, density) -> dict[str, nn.Module]:
    all_layers = {name: one for name, one in model.named_modules() if type(one) in _LAYERS}
    if callable(layers):
        found = {name: one for name, one in all_layers.items() if layers(name, one)}
    else:
        names = density if layers is None and isinstance(density, Mapping) else layers
        if names is None:
            found = all_layers
        else:
            names = list(names)
            missing = [name for name in names if name not in all_layers]
            if missing:
                raise ValueError(f"sparsify: no linear layer or convolution named {missing[0]!r}")
            found = {name: all_layers[name] for name in names}
    if not found:
        raise ValueError("sparsify: the model has no linear layer or convolution to be chosen")
    for name, one in found.items():
        if "weight" not in one._parameters:  # as torch.nn.utils.prune and weight_norm leave it
            raise ValueError(f"sparsify: layer {name!r} computes its weight: make it a parameter")
    return found


def _gradient_of(layer: nn.Module, gradient: str | float) -> str | float:
    sampled = not isinstance(gradient, str)
    dense = isinstance(layer, nn.Conv2d) and not is_pointwise(layer)
    return "all" if sampled and dense else gradient


def _random_mask(weight: Tensor, density: float, generator: torch.Generator | None) -> Tensor:
    prune = weight.numel() - kept_of(weight.numel(), density)
    draws = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
    return torch.ops.rewire.random_mask(draws, prune).to(weight.device)


def densify(model: nn.Module) -> nn.Module:
    """Puts torch's own layers in the place of sparse ones, with the edges of now; in place.

    The outputs stay the same; what is frozen stays so, and hooks stay where they are. Returns the
    model, or the layer in its place.
    """
    layers = [layer for layer in model.modules() if is_sparse(layer)]
    return replaced(model, {layer: layer.to_dense() for layer in layers})


@dataclass
class LayerReport:
    """What one layer has in use."""

    name: str
    kind: str
    candidates: int
    edges: int
    dead_inputs: int  # channels that nothing reads
    dead_outputs: int  # channels that read nothing

    @property
    def density(self) -> float:
        """edges / candidates"""
        return self.edges / max(1, self.candidates)


def report(model: nn.Module) -> list[LayerReport]:
    """The sparse layers of a model: edges in use, and channels without any.

    >>> import torch, rewire
    >>> model = rewire.sparsify(torch.nn.Sequential(torch.nn.Linear(64, 64)), density=0.1)
    >>> [(layer.name, layer.edges) for layer in rewire.report(model)]
    [('0', 410)]
    """
    return [
        _report_of(name, layer)
        for name, layer in model.named_modules()
        if is_sparse(layer)
    ]


def _report_of(name: str, layer: nn.Module) -> LayerReport:
    used = layer.used_edges()
    taps = used.reshape(*used.shape[:2], -1).any(2)  # [out, in / groups]
    groups = getattr(layer, "groups", 1)
    read = taps.view(groups, -1, taps.shape[1]).any(1)
    return LayerReport(
        name,
        type(layer).__name__,
        candidates=used.numel(),
        edges=int(used.sum()),
        dead_inputs=int((~read).sum()),
        dead_outputs=int((~taps.any(1)).sum()),
    )
