"""From a model of torch's layers to one of few edges, and back."""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewire.nn import (
    DNWConv2d,
    DNWLinear,
    EdgePopupConv2d,
    EdgePopupLinear,
    NMConv2d,
    NMLinear,
    SparseConv2d,
    SparseLinear,
    TopKASTConv2d,
    TopKASTLinear,
)
from rewire.nn.conv2d import is_pointwise
from rewire.nn.wired import kept_of
from rewire.replacing import is_sparse, replaced

# What stands in the place of torch.nn.Linear and torch.nn.Conv2d, and the options that it has.
_METHODS = {
    "dnw": (DNWLinear, DNWConv2d, {"gradient"}),
    "random": (SparseLinear, SparseConv2d, set()),
    "rigl": (SparseLinear, SparseConv2d, set()),
    "set": (SparseLinear, SparseConv2d, set()),
    "gradual": (DNWLinear, DNWConv2d, {"gradient"}),
    "edge-popup": (EdgePopupLinear, EdgePopupConv2d, set()),
    "top-kast": (TopKASTLinear, TopKASTConv2d, {"backward_density"}),
    "n:m": (NMLinear, NMConv2d, {"decay"}),
}


def layer_densities(
    weights: Mapping[str, Tensor], density: float, distribution: str = "uniform"
) -> dict[str, float]:
    """How dense each layer is to be, so that `density` of all weights are kept.

    "uniform": `density` each. "global": as many of a layer's weights as are among the strongest of
    all, with a warning for layers that are left without any. "erk", Erdos-Renyi-Kernel: in
    proportion to the sum of a weight's sizes over their product, so that small layers are denser;
    those that would be above 1 are dense, and the others share what is left. Source: Evci et al.
    2020, "Rigging the Lottery", section 3.

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
        densities = {name: int(part.sum()) / max(1, sizes[name]) for name, part in parts}
        empty = [name for name, found in densities.items() if found == 0 and sizes[name] > 0]
        if empty and density > 0:
            warnings.warn(
                f"sparsify: no weight of {', '.join(empty)} is among the strongest of all layers; "
                "'uniform' and 'erk' keep some of each",
                stacklevel=2,
            )
        return densities
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
    density: float | Mapping[str, float] | None = None,
    method: str = "dnw",
    distribution: str = "uniform",
    layers: Iterable[str] | Callable[[str, nn.Module], bool] | None = None,
    gradient: str | float | None = None,
    seed: int | None = None,
    *,
    backward_density: float | None = None,
    decay: float | None = None,
) -> nn.Module:
    """Makes layers of a model sparse, in place.

    Every `torch.nn.Linear` and `torch.nn.Conv2d`, subclasses left out, or those that `layers`
    chooses. Weights that a module reads of itself, as `torch.nn.LSTM` and the projections into
    `torch.nn.MultiheadAttention` do, stay dense. Weights and biases stay the same parameters, but
    under "random", "rigl" and "set": an optimiser made before goes on. Layers that are frozen stay
    so, and hooks stay where they are.

    Parameters
    ----------
    density
        The part of the weights that is kept, or {name of a layer: its own}; layers that are not
        named then stay dense. None: 0.1, or n / m.
    method
        - "dnw": the strongest edges, chosen anew at each forward pass (`DNWLinear`, `DNWConv2d`);
        - "random": drawn once and fixed, the others not even stored (`SparseLinear`,
          `SparseConv2d`). A convolution with another padding than zeros cannot be that;
        - "rigl", "set": the same, to be moved by `rewire.Rewiring`;
        - "gradual": the layers of "dnw" with all edges, to be pruned by `rewire.GradualPruning`,
          in whose end each layer has its density, and with the gradient "kept";
        - "edge-popup": weights are fixed, and scores choose among them (`EdgePopupLinear`, whose
          `reset_parameters` draws weights as published);
        - "top-kast": some more edges learn than are in use (`TopKASTLinear`); a factor times
          `rewire.nn.exploration_penalty(model)` is to be added to the loss;
        - "2:4", or other numbers n:m: the n strongest of every m that follow one another
          (`NMLinear`).
    distribution
        "uniform", "erk" or "global": see `layer_densities`.
    layers
        Names, as of `named_modules`, or a function (name, layer) -> bool. None: all.
    gradient
        Of "dnw" and "gradual": which candidates learn, see `DNWLinear`; a convolution that is
        computed dense takes "all" in the place of a fraction.
    seed
        Of edges and scores that are drawn; None: torch's own generator.
    backward_density
        Of "top-kast": see `TopKASTLinear`; a denser layer has its own.
    decay
        Of "n:m": see `NMLinear`.

    Returns
    -------
    torch.nn.Module
        The model; if it is itself such a layer, the one in its place.

    Raises
    ------
    ValueError
        If an option is none of those named, a density is outside of [0, 1], no layer is chosen, or
        one cannot be what is asked for; nothing is changed then.

    >>> import torch, rewire
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    >>> rewire.sparsify(model, density=0.1)[0]
    DNWLinear(in_features=64, out_features=64, bias=True, keep=410 (10 %), gradient='all')
    """
    method, n_m = _method_of(method)
    options = {"gradient": gradient, "backward_density": backward_density, "decay": decay}
    options = {name: value for name, value in options.items() if value is not None}
    for name in options.keys() - _METHODS[method][2]:
        raise ValueError(f"sparsify: method {method!r} has no {name}")
    found = _chosen(model, layers, density)
    densities = _densities_of(found, density, distribution, n_m)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    new_of = {}
    for name, own in densities.items():
        try:
            new_of[found[name]] = _made(found[name], method, own, n_m, options, generator)
        except ValueError as error:
            raise ValueError(f"sparsify: layer {name!r}: {error}") from error
    return replaced(model, new_of)


def _method_of(method: str) -> tuple[str, tuple[int, int] | None]:
    """The name in `_METHODS`, and n and m."""
    numbers = re.fullmatch(r"(\d+):(\d+)", str(method))
    if numbers:
        n, m = map(int, numbers.groups())
        if not 0 < n <= m:
            raise ValueError(f"sparsify: expected n:m with 0 < n <= m, got {method!r}")
        return "n:m", (n, m)
    if method not in _METHODS or method == "n:m":
        names = ", ".join(_METHODS)
        raise ValueError(f"sparsify: expected method of {names} as in '2:4', got {method!r}")
    return method, None


def _densities_of(found: dict, density, distribution: str, n_m) -> dict[str, float]:
    if n_m is not None:
        only = n_m[0] / n_m[1]
        if density not in (None, only) or distribution != "uniform":
            raise ValueError(
                f"sparsify: expected density {only:.6g}, 'uniform', of method '{n_m[0]}:{n_m[1]}', "
                f"got {density} and {distribution!r}"
            )
        return dict.fromkeys(found, only)
    if isinstance(density, Mapping):
        densities = {name: density[name] for name in found if name in density}
        for own in densities.values():
            kept_of(0, own)  # refuses those out of range
        return densities
    weights = {name: layer.weight for name, layer in found.items()}
    return layer_densities(weights, 0.1 if density is None else density, distribution)


def _made(layer: nn.Module, method: str, density: float, n_m, options: dict, generator):
    """The layer in the place of one."""
    linear, conv2d, _ = _METHODS[method]
    kind = conv2d if isinstance(layer, nn.Conv2d) else linear
    if method in ("random", "rigl", "set"):
        return kind.from_dense(layer, _random_mask(layer.weight, density, generator))
    if n_m is not None:
        return kind.from_dense(layer, n=n_m[0], m=n_m[1], **options)
    options = {"density": density} | options
    if method in ("dnw", "gradual"):
        default = "all" if method == "dnw" else "kept"
        options["gradient"] = _gradient_of(layer, options.get("gradient", default))
    if "backward_density" in options:
        options["backward_density"] = max(density, options["backward_density"])
    new = kind.from_dense(layer, **options)
    if method == "gradual":
        new.keep = new.weight.numel()
    if method == "edge-popup" and generator is not None:
        new.reset_scores(generator)
    return new


def _chosen(model: nn.Module, layers, density) -> dict[str, nn.Module]:
    kinds = (nn.Linear, nn.Conv2d)
    all_layers = {name: one for name, one in model.named_modules() if type(one) in kinds}
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
    taps = used.unsqueeze(2).flatten(2).any(2)  # [out, in / groups]
    groups = getattr(layer, "groups", 1)
    read = taps.unflatten(0, (groups, len(taps) // groups)).any(1)
    return LayerReport(
        name,
        type(layer).__name__,
        candidates=used.numel(),
        edges=int(used.sum()),
        dead_inputs=int((~read).sum()),
        dead_outputs=int((~taps.any(1)).sum()),
    )
