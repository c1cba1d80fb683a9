"""A network of single neurons: any directed acyclic graph, learned and edited while it trains."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from rewire.graph import Edge, Graph, Name, on_cpu
from rewire.nn.edits import Changes, edited
from rewire.nn.levels import Levels


class NeuronGraph(nn.Module):
    """The network of a `rewire.Graph`.

        y_v = act_v(bias_v + sum over edges (u, v) of weight_uv y_u)

    [*, inputs] to [*, outputs]. Where nothing below asks for more, one fused operator computes the
    whole graph: `torch.ops.rewire.neuron_graph`. `norm`, `attention` and activations that are
    callables are computed level by level, as is `between`.

    Parameters
    ----------
    graph
        The neurons and edges.
    dropout
        The probability that a hidden neuron's value is 0 for a sample, while training; or
        {name: probability}, of inputs and outputs too. What is left is not scaled.
    norm
        Whether each level's distinct sources are normalised together, with learned scale and shift.
    attention
        "level": self-attention over a level's distinct sources; "neuron": over each neuron's own;
        "both". Source: connex 0.4.0.
    adaptive
        Whether hidden neurons compute a act(b s) with a and b learned.
    keep
        Learned wiring: how many of the edges are in use, the strongest, chosen anew at each step;
        the gradient reaches all. Source: Wortsman, Farhadi, Rastegari 2019.
    fan_in
        The same for each neuron by itself: so many of its edges, or all if it has fewer.
    init
        "he": weights normal with standard deviation sqrt(2 / fan-in), biases 0; "uniform" in
        (-1, 1); "self_normalized": standard normal; "xavier": normal with 1 / sqrt(fan-in);
        "connex": weights and biases normal with standard deviation 0.1.
    between
        A callable (level, values) -> values: what is done to the values of each level, [batch,
        neurons of the level], before others read them.

    Attributes
    ----------
    weight, bias
        Parameters [edges] and [neurons], in the order of `graph.edges` and `graph.neurons`; the
        entries of inputs are 0 and not used.

    Raises
    ------
    ValueError
        If an option is out of its range, or names a neuron that is not there.
    TypeError
        If `dropout` is neither a number nor a mapping to numbers.
    """

    def __init__(
        self,
        graph: Graph,
        dropout: float | Mapping[Name, float] | None = None,
        norm: bool = False,
        attention: str | None = None,
        adaptive: bool = False,
        keep: int | None = None,
        fan_in: int | None = None,
        init: str = "he",
        between: Callable[[int, Tensor], Tensor] | None = None,
    ):
        super().__init__()
        if attention not in (None, "level", "neuron", "both"):
            raise ValueError(
                f"NeuronGraph: expected attention None, 'level', 'neuron' or 'both', got {attention!r}"
            )
        num_edges = graph.num_edges
        if keep is not None and not 0 <= keep <= num_edges:
            raise ValueError(f"NeuronGraph: expected keep in [0, {num_edges}], got {keep}")
        if fan_in is not None and fan_in < 0:
            raise ValueError(f"NeuronGraph: expected fan_in of at least 0, got {fan_in}")
        if keep is not None and fan_in is not None:
            raise ValueError("NeuronGraph: expected keep or fan_in, got both")
        if init not in INITIALISERS:
            raise ValueError(
                f"NeuronGraph: expected init of {', '.join(INITIALISERS)}, got {init!r}"
            )
        self.graph, self.norm, self.attention = graph, norm, attention
        self.adaptive, self.keep, self.fan_in = adaptive, keep, fan_in
        self.init, self.between = init, between
        device = torch.get_default_device()
        self._make_tensors(graph, dropout)
        self.to(device)

    @on_cpu
    def _make_tensors(self, graph: Graph, dropout):
        num_edges, num_neurons = graph.num_edges, len(graph.neurons)
        for i, part in enumerate(graph.structure()):
            self.register_buffer(f"_structure{i}", part, persistent=False)
        self.register_buffer("_targets", graph.targets, persistent=False)
        self.register_buffer("_sources", graph.sources, persistent=False)
        positions = torch.empty(num_neurons, dtype=torch.int32)
        positions[self._structure0.long()] = torch.arange(num_neurons, dtype=torch.int32)
        self.register_buffer("_positions", positions, persistent=False)
        hidden = torch.zeros(num_neurons, dtype=torch.bool)
        hidden[graph.numbers(graph.hidden)] = True
        self.register_buffer("_hidden", hidden, persistent=False)
        self.weight = nn.Parameter(torch.empty(num_edges))
        self.bias = nn.Parameter(torch.empty(num_neurons))
        if self.adaptive:
            self.gain = nn.Parameter(torch.ones(num_neurons))
            self.rate = nn.Parameter(torch.ones(num_neurons))
        options = self.norm or self.attention or self.between
        level_by_level = options or any(map(callable, graph.activations))
        self.levels = Levels(graph, self.norm, self.attention) if level_by_level else None
        if isinstance(graph.output_transform, nn.Module):
            self.output_transform = graph.output_transform
        self.set_dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self):
        """Draws new weights and biases by `init`."""
        is_input = torch.zeros(len(self.graph.neurons), dtype=torch.bool)
        is_input[self.graph.numbers(self.graph.inputs)] = True
        with torch.no_grad():
            INITIALISERS[self.init](self)
            self.bias.masked_fill_(is_input.to(self.bias.device), 0)
        if self.levels is not None:
            self.levels.reset_parameters()

    def set_dropout(self, dropout: float | Mapping[Name, float] | None):
        """Changes the probabilities; None: no dropout."""
        probability = torch.zeros(len(self.graph.neurons), dtype=torch.float64)
        if isinstance(dropout, Mapping):
            for name, p in dropout.items():
                if name not in self.graph.index:
                    raise ValueError(f"NeuronGraph: dropout of neuron {name!r}, which is not there")
                probability[self.graph.index[name]] = _probability(p, name)
        elif isinstance(dropout, (int, float)) and not isinstance(dropout, bool):
            probability[self._hidden.cpu()] = _probability(dropout, None)
        elif dropout is not None:
            raise TypeError(
                "NeuronGraph: expected dropout as a number or a mapping from neurons to numbers, "
                f"got {type(dropout).__name__}"
            )
        self.dropout = dropout
        device = self.weight.device
        self.register_buffer("_dropout", probability.to(device), persistent=False)
        self._drops = bool((probability > 0).any())

    def used_edges(self) -> Tensor | None:
        """The edges in use as a mask [edges]; None if all are."""
        if self.keep is not None:
            return torch.ops.rewire.strongest_mask(self.weight.detach(), self.keep)
        if self.fan_in is not None:
            return _strongest_by_target(self.weight.detach(), self._targets, self.fan_in)
        return None

    def forward(self, x: Tensor) -> Tensor:
        """[*, inputs] to [*, outputs]."""
        return self._transformed(self._run(x, self._structure9))

    def values(self, x: Tensor) -> Tensor:
        """[*, inputs] to the values of all neurons, [*, neurons], in the order of the graph's."""
        return self._run(x, self._positions)

    def _transformed(self, output: Tensor) -> Tensor:
        transform = self.graph.output_transform
        if transform is None:
            return output
        return output.softmax(-1) if transform == "softmax" else transform(output)

    def _run(self, x: Tensor, outputs: Tensor) -> Tensor:
        num_inputs = len(self.graph.inputs)
        if x.dim() == 0 or x.shape[-1] != num_inputs:
            raise ValueError(
                f"NeuronGraph: expected input of shape [*, inputs = {num_inputs}], got "
                f"{list(x.shape)}"
            )
        batch = x.reshape(-1, num_inputs)
        keep = None
        if self.training and self._drops:
            draws = torch.rand(batch.shape[0], len(self.graph.neurons), device=x.device)
            keep = draws >= self._dropout  # a draw may be 0, and then p = 0 drops nothing
        mask = self.used_edges()
        if self.levels is not None:
            values = self.levels(self, batch, mask, keep)
            out = values.index_select(1, outputs)
        else:
            weight, bias = self._folded(mask)
            structure = [getattr(self, f"_structure{i}") for i in range(9)]
            run = _scripted_run() if torch.jit.is_tracing() else _run_graph
            out = run(batch, weight, bias, [*structure, outputs], mask, keep)
            if self.adaptive and outputs is self._positions:
                out = out * self.of_hidden(self.gain)
        return out.reshape(*x.shape[:-1], out.shape[-1])

    def of_hidden(self, parameter: Tensor) -> Tensor:
        """The parameter [neurons], with 1 for inputs and outputs."""
        return torch.where(self._hidden, parameter, torch.ones_like(parameter))

    def _folded(self, used: Tensor | None) -> tuple[Tensor, Tensor]:
        """Weights and biases of a graph of plain activations with the same outputs.

        a act(b (bias + sum w y)): b goes into the neuron's own weights, a into those that read it.
        Edges that are not in use have a gradient to their weight, and none to a and b.
        """
        if not self.adaptive:
            return self.weight, self.bias
        gain, rate = self.of_hidden(self.gain), self.of_hidden(self.rate)
        factor = gain[self._sources] * rate[self._targets]
        if used is not None:
            factor = torch.where(used, factor, factor.detach())
        return self.weight * factor, self.bias * rate

    def edge(self, source: Name, target: Name) -> int:
        """The place of the first edge from source to target among the weights."""
        try:
            return self.graph.edges.index((source, target))
        except ValueError:
            raise ValueError(f"NeuronGraph: no edge from {source!r} to {target!r}") from None

    @on_cpu
    def edit(
        self,
        add_edges: Iterable[Edge] = (),
        remove_edges: Iterable[Edge] = (),
        add_hidden: Iterable[Name] | Mapping[Name, str] = (),
        add_inputs: Iterable[Name] = (),
        add_outputs: Iterable[Name] = (),
        remove: Iterable[Name] = (),
    ) -> tuple["NeuronGraph", Changes]:
        """A new network with those edges and neurons; this one stays as it is.

        What survives keeps its parameters: weights by their edge, all else by its neuron; of
        attention what remains among its inputs; norm and attention of a level if its neurons are
        those of an old one. Edges that exist are not added, missing ones not removed. New inputs
        come first, new outputs last. What is new has parameters by `init`; new hidden neurons have
        the graph's activation, "relu" where it names one for each, or that of {name: activation}.

        Returns
        -------
        new, changes
            `changes.edges` and `changes.neurons` [of the new network]: the old place of each edge
            and neuron, -1 for a new one; `rewire.optim.carry` takes them.

        Raises
        ------
        ValueError
            If an end of an edge or a neuron to remove is not there, a neuron to add is, or the
            result is no valid graph.
        """
        graph, changes = edited(
            self.graph, add_edges, remove_edges, add_hidden, add_inputs, add_outputs, remove
        )
        dropout = self.dropout
        if isinstance(dropout, Mapping):
            dropout = {name: p for name, p in dropout.items() if name in graph.index}
        keep = None if self.keep is None else min(self.keep, graph.num_edges)
        new = type(self).__new__(type(self))
        NeuronGraph.__init__(
            new,
            graph,
            dropout=dropout,
            norm=self.norm,
            attention=self.attention,
            adaptive=self.adaptive,
            keep=keep,
            fan_in=self.fan_in,
            init=self.init,
            between=self.between,
        )
        new.to(device=self.weight.device, dtype=self.weight.dtype)
        new.train(self.training)
        changes.parameters = {"weight": changes.edges, "bias": changes.neurons}
        if self.adaptive:
            changes.parameters |= {"gain": changes.neurons, "rate": changes.neurons}
        if self.levels is not None:
            changes.parameters |= {
                f"levels.{name}": places
                for name, places in new.levels.survivors(self.levels).items()
            }
        old = dict(self.named_parameters())
        with torch.no_grad():
            for name, parameter in new.named_parameters():
                if name in changes.parameters:  # not of an activation, which both networks share
                    changes.copy(name, old[name], parameter)
        return new, changes

    def extra_repr(self) -> str:
        """The graph, and the options that are on."""
        options = {
            "dropout": self.dropout,
            "norm": self.norm or None,
            "attention": self.attention,
            "adaptive": self.adaptive or None,
            "keep": self.keep,
            "fan_in": self.fan_in,
        }
        shown = [f"{name}={value!r}" for name, value in options.items() if value is not None]
        return ", ".join([repr(self.graph), *shown])


def _run_graph(
    batch: Tensor,
    weight: Tensor,
    bias: Tensor,
    structure: list[Tensor],
    mask: Tensor | None,
    keep: Tensor | None,
) -> Tensor:
    differentiable = torch.is_grad_enabled() and (
        batch.requires_grad or weight.requires_grad or bias.requires_grad
    )
    out, _ = torch.ops.rewire.neuron_graph(
        batch, weight, bias, structure, mask, keep, "all", differentiable
    )
    return out


@functools.cache
def _scripted_run():
    """What a trace keeps as it is: whether a gradient is asked for is seen at each call."""
    return torch.jit.script(_run_graph)


def _probability(p, name: Name | None) -> float:
    if not isinstance(p, (int, float)) or isinstance(p, bool):
        raise TypeError(f"NeuronGraph: dropout of neuron {name!r} is no number: {p!r}")
    if not 0 <= p <= 1 or math.isnan(p):
        of = "" if name is None else f" of neuron {name!r}"
        raise ValueError(f"NeuronGraph: expected dropout{of} in [0, 1], got {p}")
    return float(p)


def _strongest_by_target(weight: Tensor, targets: Tensor, fan_in: int) -> Tensor:
    """Mask [edges] of each target's `fan_in` strongest; of equal ones the first are kept."""
    strongest = weight.abs().sort(descending=True, stable=True).indices
    by_target = strongest[targets[strongest].sort(stable=True).indices]
    sorted_targets = targets[by_target]
    first = torch.searchsorted(sorted_targets, sorted_targets)
    rank = torch.arange(by_target.shape[0], device=weight.device) - first
    mask = torch.zeros_like(weight, dtype=torch.bool)
    mask[by_target] = rank < fan_in
    return mask


def _fan_in(net: NeuronGraph) -> Tensor:
    """Of each edge's target."""
    return net._targets.bincount(minlength=len(net.graph.neurons))[net._targets]


def _he(net: NeuronGraph):
    net.weight.normal_().mul_((2 / _fan_in(net)).sqrt())
    net.bias.zero_()


def _uniform(net: NeuronGraph):
    net.weight.uniform_(-1, 1)
    net.bias.zero_()


def _self_normalized(net: NeuronGraph):
    net.weight.normal_()
    net.bias.zero_()


def _connex(net: NeuronGraph):
    net.weight.normal_(std=0.1)
    net.bias.normal_(std=0.1)


def _xavier(net: NeuronGraph):
    net.weight.normal_().div_(_fan_in(net).sqrt())
    net.bias.zero_()


INITIALISERS = {
    "he": _he,
    "uniform": _uniform,
    "self_normalized": _self_normalized,
    "connex": _connex,
    "xavier": _xavier,
}
