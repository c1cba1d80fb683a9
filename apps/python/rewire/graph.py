"""Directed acyclic graphs of single neurons: which neurons there are, and who reads whom.

A graph is data: `rewire.nn.NeuronGraph` computes it, and edits it while it trains.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property, wraps

import torch
from torch import Tensor

from rewire import graph_json

Name = Hashable
Edge = tuple[Name, Name]

# In the order of their codes in `torch.ops.rewire.neuron_structure`.
ACTIVATIONS = (
    "linear",
    "relu",
    "selu",
    "leaky_relu",
    "sigmoid",
    "softmax",
    "gelu_tanh",
    "tanh",
    "silu",
    "gelu",
    "elu",
    "softplus",
)


def on_cpu(function: Callable) -> Callable:
    """A graph is made on the CPU, whatever torch's default device is."""

    @wraps(function)
    def wrapped(*args, **options):
        with torch.device("cpu"):
            return function(*args, **options)

    return wrapped


def _listed(names: Iterable[Name], most: int = 10) -> str:
    names = list(names)
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _repeated(names: Iterable[Name]) -> list[Name]:
    return [name for name, count in Counter(names).items() if count > 1]


def _numbered(edges: list[Edge], inputs, neurons) -> tuple[tuple[Name, ...], Tensor]:
    """The neurons, and the edges [edges, 2] as places among them."""
    ends = [name for edge in edges for name in edge]
    if len(ends) != 2 * len(edges):
        raise ValueError("Graph: expected edges as pairs (source, target)")
    known = dict.fromkeys(neurons if neurons is not None else _connected(inputs, set(ends)))
    known.update(dict.fromkeys(ends))
    number = {name: i for i, name in enumerate(known)}
    numbers = torch.tensor([number[name] for name in ends], dtype=torch.int64)
    return tuple(known), numbers.view(-1, 2)


def _numbered_tensor(edges: Tensor, inputs, neurons) -> tuple[tuple[Name, ...], Tensor]:
    """The same of a tensor, whose numbers are names: nothing is done edge by edge."""
    if edges.dim() != 2 or edges.shape[1] != 2 or edges.is_floating_point():
        raise ValueError(
            f"Graph: expected edges as an integer tensor [edges, 2], got {edges.dtype} of shape "
            f"{list(edges.shape)}"
        )
    names, place = edges.long().flatten().unique(return_inverse=True)
    first = torch.full((len(names),), len(place)).scatter_reduce(
        0, place, torch.arange(len(place)), "amin"
    )
    in_order = names[first.argsort()].tolist()
    known = dict.fromkeys(neurons if neurons is not None else _connected(inputs, set(in_order)))
    known.update(dict.fromkeys(in_order))
    number = {name: i for i, name in enumerate(known)}
    numbers = torch.tensor([number[name] for name in names.tolist()], dtype=torch.int64)
    return tuple(known), numbers[place].view(-1, 2)


def _connected(inputs, ends: set) -> list[Name]:
    return [name for name in inputs if name in ends]


class Graph:
    """A directed acyclic graph of neurons with ordered inputs and outputs.

    Parameters
    ----------
    edges
        Pairs (source, target) of names, which may be anything hashable; or an int64 tensor
        [edges, 2], whose numbers are the names.
    inputs, outputs
        Names, in the order of the columns of what goes in and comes out. Neurons without edges
        among them, or hidden ones, are named in `neurons`.
    activation
        Of the hidden neurons: one of `ACTIVATIONS`, or a callable on a tensor, or {name: activation},
        where hidden neurons that are not named are "relu". Outputs are linear unless they are named.
        "softmax" is over all neurons of one level that have it.
    output_transform
        None, "softmax", or a callable: of all outputs together, [..., outputs].
    operation
        {name: id}: neurons with the same id wait for one another, and have the same level.
    neurons
        Further names, and the order of all: neurons have the order of this list, then that in which
        inputs and edges name them.
    parallel
        Whether several edges may connect the same two neurons, each with its own weight.

    Attributes
    ----------
    neurons, edges
        Names and pairs, in the order of a network's biases and weights.
    inputs, outputs
        Names.
    levels
        {name: level}: 0 for inputs, else 1 + the largest level of its sources; 1 without sources.

    Raises
    ------
    ValueError
        If there is a cycle, or one of the lists is empty, names a neuron twice or one that is not
        there; if an input has incoming edges or an output outgoing ones; if an edge is there twice
        and `parallel` is not set. Names whom it is about.

    >>> graph = Graph([("x", "h"), ("x", "y"), ("h", "y")], inputs=["x"], outputs=["y"])
    >>> graph.neurons, graph.levels["y"]
    (('x', 'h', 'y'), 2)
    """

    @on_cpu
    def __init__(
        self,
        edges: Iterable[Edge] | Tensor,
        inputs: Sequence[Name],
        outputs: Sequence[Name],
        activation: str | Callable | Mapping[Name, str] = "relu",
        output_transform: str | Callable | None = None,
        operation: Mapping[Name, int] | None = None,
        neurons: Sequence[Name] | None = None,
        parallel: bool = False,
    ):
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.output_transform, self.parallel = output_transform, parallel
        self._check_lists()
        if isinstance(edges, Tensor):
            self.neurons, numbers = _numbered_tensor(edges.cpu(), self.inputs, neurons)
        else:
            self.neurons, numbers = _numbered(list(edges), self.inputs, neurons)
        self._finish(numbers, activation, operation)

    @classmethod
    @on_cpu
    def _of_numbers(cls, numbers: Tensor, neurons, inputs, outputs, activation, operation, like):
        """Of edges [edges, 2] between places in `neurons`; the rest is as in the graph `like`."""
        graph = cls.__new__(cls)
        graph.inputs, graph.outputs, graph.neurons = tuple(inputs), tuple(outputs), tuple(neurons)
        graph.output_transform, graph.parallel = like.output_transform, like.parallel
        graph._check_lists()
        graph._finish(numbers, activation, operation)
        return graph

    def _finish(self, numbers: Tensor, activation, operation):
        self.sources, self.targets = numbers.t().contiguous()
        self.index = {name: i for i, name in enumerate(self.neurons)}
        self._check_ends()
        self.activation, self.operation = activation, dict(operation or {})
        self.activations = self._activations(activation)
        self.level = self._find_levels()
        self._structure = self._find_structure()
        self._check_parallel()

    @cached_property
    def edges(self) -> list[Edge]:
        """Pairs of names, in the order of the weights."""
        name = self.neurons
        pairs = zip(self.sources.tolist(), self.targets.tolist(), strict=True)
        return [(name[source], name[target]) for source, target in pairs]

    @property
    def num_edges(self) -> int:
        """The number of edges."""
        return len(self.sources)

    def _check_lists(self):
        if not self.inputs or not self.outputs:
            raise ValueError("Graph: inputs and outputs must be non-empty")
        for kind, names in (("inputs", self.inputs), ("outputs", self.outputs)):
            if repeated := _repeated(names):
                raise ValueError(f"Graph: {kind} name a neuron twice: {_listed(repeated)}")
        outputs = set(self.outputs)
        if both := [name for name in self.inputs if name in outputs]:
            raise ValueError(f"Graph: neurons are inputs and outputs: {_listed(both)}")

    def _check_ends(self):
        for kind, names in (("inputs", self.inputs), ("outputs", self.outputs)):
            if missing := [name for name in names if name not in self.index]:
                raise ValueError(f"Graph: {kind} are not in the graph: {_listed(missing)}")
        for names, own, others, what in (
            (self.inputs, self.targets, self.sources, "input {!r} has incoming edges, from"),
            (self.outputs, self.sources, self.targets, "output {!r} has outgoing edges, to"),
        ):
            listed = torch.zeros(len(self.neurons), dtype=torch.bool)
            listed[self.numbers(names)] = True
            if len(wrong := own[listed[own]]):
                found = [self.neurons[i] for i in others[own == wrong[0]].tolist()]
                name = self.neurons[int(wrong[0])]
                raise ValueError(f"Graph: {what.format(name)} {_listed(found)}")

    def _check_parallel(self):
        """Edges are sorted by target, then source: parallel ones are neighbours."""
        neurons, _, _, offsets, columns = (part.long() for part in self._structure[:5])
        same = torch.zeros(self.num_edges + 1, dtype=torch.bool)
        same[1:-1] = columns[1:] == columns[:-1]
        same[offsets] = False
        if (places := same.nonzero().flatten()).numel() and not self.parallel:
            rows = torch.searchsorted(offsets, places, right=True) - 1
            pairs = zip(neurons[columns[places]].tolist(), neurons[rows].tolist(), strict=True)
            found = dict.fromkeys((self.neurons[s], self.neurons[t]) for s, t in pairs)
            raise ValueError(
                f"Graph: edges are there twice: {_listed(found)} (parallel=True allows it)"
            )

    def _activations(self, activation) -> list:
        """By neuron: a name, or a callable; None for inputs."""
        named = activation if isinstance(activation, Mapping) else {}
        if unknown := [name for name in named if name not in self.index]:
            raise ValueError(f"Graph: activations of neurons not in the graph: {_listed(unknown)}")
        hidden = "relu" if isinstance(activation, Mapping) else activation
        inputs, outputs = set(self.inputs), set(self.outputs)
        found = [
            None if name in inputs else named.get(name, "linear" if name in outputs else hidden)
            for name in self.neurons
        ]
        for name, one in zip(self.neurons, found):
            if not (one is None or callable(one) or one in ACTIVATIONS):
                raise ValueError(
                    f"Graph: unknown activation {one!r} of neuron {name!r}: expected a callable or "
                    f"one of {', '.join(ACTIVATIONS)}"
                )
        return found

    def _find_levels(self) -> Tensor:
        if unknown := [name for name in self.operation if name not in self.index]:
            raise ValueError(f"Graph: operations of neurons not in the graph: {_listed(unknown)}")
        operations = None
        if self.operation:
            ids = {key: i for i, key in enumerate(dict.fromkeys(self.operation.values()))}
            operations = torch.tensor(
                [ids[self.operation[n]] if n in self.operation else -1 for n in self.neurons]
            )
        levels, cycle = torch.ops.rewire.neuron_levels(
            self.sources, self.targets, len(self.neurons), self.numbers(self.inputs), operations
        )
        if names := [self.neurons[i] for i in cycle.tolist() if i >= 0]:
            path = " -> ".join(map(repr, [*names, names[0]]))
            raise ValueError(f"Graph: the graph has a cycle: {path}")
        return levels

    @classmethod
    def from_dict(cls, adjacency: Mapping[Name, Iterable[Name]], inputs, outputs, **options):
        """From {source: its targets}; every key and every target is a neuron.

        >>> Graph.from_dict({0: [1, 2], 1: [2]}, inputs=[0], outputs=[2]).edges
        [(0, 1), (0, 2), (1, 2)]
        """
        edges = [(source, target) for source, targets in adjacency.items() for target in targets]
        names = dict.fromkeys(adjacency)
        names.update(dict.fromkeys(target for _, target in edges))
        return cls(edges, inputs, outputs, neurons=list(names), **options)

    @classmethod
    def from_networkx(cls, graph, inputs, outputs, **options):
        """From a `networkx.DiGraph`; of a multigraph, with `parallel=True`, every edge."""
        edges = [edge[:2] for edge in graph.edges]
        return cls(edges, inputs, outputs, neurons=list(graph.nodes), **options)

    @classmethod
    def from_json(cls, text: str) -> "Graph":
        """From what `to_json` gives.

        Raises
        ------
        ValueError
            If the text is no JSON, or not of that form, or the graph is none.
        """
        return cls(**graph_json.parsed(text))

    def to_json(self) -> str:
        """As JSON: neurons, inputs, outputs, edges, activations and operations, without weights.

        Raises
        ------
        ValueError
            If a name is neither text nor an integer, or a callable is among the activations.
        """
        return graph_json.written(self)

    def by_edge(self, numbers: Tensor) -> dict[Edge, float]:
        """{(source, target): number} of what is one an edge: weights, their gradients.

        Of parallel edges the last one's.
        """
        return dict(zip(self.edges, numbers.tolist(), strict=True))

    def by_neuron(self, numbers: Tensor) -> dict[Name, float]:
        """{name: number} of what is one a neuron: biases, their gradients, values of one sample."""
        return dict(zip(self.neurons, numbers.tolist(), strict=True))

    @property
    def levels(self) -> dict[Name, int]:
        """{name: level}."""
        return dict(zip(self.neurons, self.level.tolist()))

    @property
    def hidden(self) -> tuple[Name, ...]:
        """The neurons that are neither inputs nor outputs."""
        ends = {*self.inputs, *self.outputs}
        return tuple(name for name in self.neurons if name not in ends)

    @on_cpu
    def numbers(self, names: Iterable[Name]) -> Tensor:
        """Their places among the neurons, int64."""
        return torch.tensor([self.index[name] for name in names], dtype=torch.int64)

    def structure(self) -> list[Tensor]:
        """What `torch.ops.rewire.neuron_graph` takes; callables stand there as linear."""
        return list(self._structure)

    def _find_structure(self) -> tuple[Tensor, ...]:
        code = {name: i for i, name in enumerate(ACTIVATIONS)}
        codes = [code.get(one, 0) if isinstance(one, str) else 0 for one in self.activations]
        ends = (self.numbers(self.inputs), self.numbers(self.outputs))
        return torch.ops.rewire.neuron_structure(
            self.sources, self.targets, self.level, torch.tensor(codes), *ends
        )

    def to_networkx(self, weight=None):
        """As a `networkx.DiGraph`, or `MultiDiGraph` where edges may be parallel.

        weight: numbers by edge, or None.
        """
        import networkx

        graph = networkx.MultiDiGraph() if self.parallel else networkx.DiGraph()
        graph.add_nodes_from(self.neurons)
        if weight is None:
            graph.add_edges_from(self.edges)
        else:
            numbers = [float(w) for w in weight]
            graph.add_weighted_edges_from((*edge, w) for edge, w in zip(self.edges, numbers))
        return graph

    def to_graphml(self, weight=None, bias=None) -> str:
        """As GraphML, by networkx: neurons with their activation, edges; what is given with them.

        weight, bias: numbers by edge and by neuron, or None.

        Raises
        ------
        ValueError
            If two names are one as text, which is what GraphML has.
        """
        import networkx

        by_text = {str(name): name for name in self.neurons}
        if len(by_text) < len(self.neurons):
            twice = next(name for name in self.neurons if by_text[str(name)] is not name)
            raise ValueError(f"Graph: two neurons are called {str(twice)!r} in GraphML")
        graph = self.to_networkx(weight)
        for i, name in enumerate(self.neurons):
            activation = self.activations[i]
            graph.nodes[name]["activation"] = (
                activation if isinstance(activation, str) else repr(activation)
            )
            if bias is not None:
                graph.nodes[name]["bias"] = float(bias[i])
        return "\n".join(networkx.generate_graphml(graph))

    def __repr__(self) -> str:
        if not hasattr(self, "level"):  # it could not be made, and a traceback shows it
            return "Graph()"
        return (
            f"Graph({len(self.inputs)} inputs, {len(self.hidden)} hidden neurons, "
            f"{len(self.outputs)} outputs, {self.num_edges} edges, "
            f"{int(self.level.max())} levels)"
        )
