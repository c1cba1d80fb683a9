"""connex's interface, of 0.3 and of 0.4: `import rewire.compat.connex as cnx`.

Networks are `rewire.nn.NeuronGraph`: torch modules, trained by torch's optimisers. They take one
example or a batch; a `key` is a seed. Activations are functions of torch, or names of
`rewire.graph.ACTIVATIONS`. Source: github.com/leonard-gleyzer/connex.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
from torch.nn import functional

import rewire
from rewire import graphs
from rewire.graph import Graph, Name

# torch's functions that the fused operator knows.
_NAMED = {
    torch.relu: "relu",
    functional.relu: "relu",
    torch.selu: "selu",
    functional.selu: "selu",
    functional.leaky_relu: "leaky_relu",
    torch.sigmoid: "sigmoid",
    functional.sigmoid: "sigmoid",
    torch.tanh: "tanh",
    functional.tanh: "tanh",
    functional.silu: "silu",
    functional.gelu: "gelu",
    functional.elu: "elu",
    functional.softplus: "softplus",
}


def gelu(x: torch.Tensor) -> torch.Tensor:
    """In its tanh form: connex's default."""
    return functional.gelu(x, approximate="tanh")


_NAMED[gelu] = "gelu_tanh"


def _pairs(connections) -> list:
    if isinstance(connections, Mapping):
        return [(source, target) for source, targets in connections.items() for target in targets]
    return [tuple(pair) for pair in connections]


class NeuralNetwork(rewire.nn.NeuronGraph):
    """A network from an adjacency dict {source: targets} or a networkx digraph. (connex 0.3)

    Raises
    ------
    ValueError
        As `rewire.Graph`; and if `topo_sort` is not exactly the neurons, or breaks an edge.
    """

    def __init__(
        self,
        graph,
        input_neurons: Sequence[Name],
        output_neurons: Sequence[Name],
        hidden_activation=gelu,
        output_transformation=None,
        dropout_p=0.0,
        use_topo_norm: bool = False,
        use_topo_self_attention: bool = False,
        use_neuron_self_attention: bool = False,
        use_adaptive_activations: bool = False,
        *,
        topo_sort: Sequence[Name] | None = None,
        key: int | None = None,
    ):
        build = Graph.from_dict if isinstance(graph, Mapping) else Graph.from_networkx
        built = build(
            graph,
            list(input_neurons),
            list(output_neurons),
            activation=_NAMED.get(hidden_activation, hidden_activation),
            output_transform=output_transformation,
        )
        if topo_sort is not None:
            _check_order(built, list(topo_sort))
        kinds = (use_topo_self_attention, use_neuron_self_attention)
        attention = {(True, True): "both", (True, False): "level", (False, True): "neuron"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0 if key is None else key)
            super().__init__(
                built,
                dropout=dropout_p,
                norm=use_topo_norm,
                attention=attention.get(kinds),
                adaptive=use_adaptive_activations,
                init="connex",
            )

    def set_dropout_p(self, dropout_p):
        """Changes the probabilities: a number for all hidden neurons, or {neuron: number}."""
        self.set_dropout(dropout_p)

    def to_networkx_weighted_digraph(self):
        """The graph with each edge's `weight` and each neuron's `bias`."""
        weighted = self.graph.to_networkx(self.weight.detach())
        for name, bias in zip(self.graph.neurons, self.bias.tolist(), strict=True):
            weighted.nodes[name]["bias"] = bias
        return weighted


def _check_order(graph: Graph, order: list[Name]):
    if len(order) != len(graph.neurons) or set(order) != set(graph.neurons):
        raise ValueError("topo_sort must contain exactly the neurons of the graph")
    place = {name: i for i, name in enumerate(order)}
    for source, target in graph.edges:
        if place[source] > place[target]:
            raise ValueError(f"topo_sort breaks the edge from {source!r} to {target!r}")


def _edited(network, **edit):
    return network.edit(**edit)[0]


def add_connections(network, connections, *, key=None):
    """A new network with the connections of a dict or a list of pairs; existing ones stay."""
    return _edited(network, add_edges=_pairs(connections))


def remove_connections(network, connections):
    """A new network without them; missing ones are no error."""
    return _edited(network, remove_edges=_pairs(connections))


def add_hidden_neurons(network, new_hidden_neurons, *, key=None):
    """A new network with those neurons, not connected yet."""
    return _edited(network, add_hidden=new_hidden_neurons)


def add_input_neurons(network, new_input_neurons, *, key=None):
    """The same for inputs, in front of the others."""
    return _edited(network, add_inputs=new_input_neurons)


def add_output_neurons(network, new_output_neurons, *, key=None):
    """The same for outputs, behind the others."""
    return _edited(network, add_outputs=new_output_neurons)


def remove_neurons(network, neurons):
    """A new network without them and their connections."""
    return _edited(network, remove=neurons)


@dataclass(frozen=True)
class GraphSpec:
    """A digraph with ordered inputs and outputs. (connex 0.4)"""

    graph: object
    inputs: Sequence[Name]
    outputs: Sequence[Name]
    topo_sort: Sequence[Name] | None = None
    dropout: float | Mapping[Name, float] = 0.0

    def __post_init__(self):
        build = Graph.from_dict if isinstance(self.graph, Mapping) else Graph.from_networkx
        built = build(self.graph, list(self.inputs), list(self.outputs))
        if self.topo_sort is not None:
            _check_order(built, list(self.topo_sort))


def default_ops(
    affine: str = "hybrid",
    topo_norm: bool = False,
    topo_self_attention: bool = False,
    neuron_self_attention: bool = False,
    adaptive_activation: bool = False,
    activation=gelu,
    dropout=None,
    output_transform=None,
    fused: bool = False,
) -> dict:
    """The options of a `NeuralDAG`. affine and fused say how to compute: here nothing follows."""
    known = ("padded", "sparse", "matmul", "hybrid")
    if affine not in known:
        raise ValueError(f"default_ops: expected affine of {', '.join(known)}, got {affine!r}")
    return {
        "hidden_activation": activation,
        "output_transformation": output_transform,
        "dropout": dropout,
        "use_topo_norm": topo_norm,
        "use_topo_self_attention": topo_self_attention,
        "use_neuron_self_attention": neuron_self_attention,
        "use_adaptive_activations": adaptive_activation,
    }


ops = SimpleNamespace(default_ops=default_ops)


def NeuralDAG(spec: GraphSpec, ops: dict | None = None, key: int | None = None) -> NeuralNetwork:
    """The network of a spec. (connex 0.4)"""
    options = dict(ops or default_ops())
    dropout = options.pop("dropout")
    return NeuralNetwork(
        spec.graph,
        spec.inputs,
        spec.outputs,
        dropout_p=spec.dropout if dropout is None else dropout,
        topo_sort=spec.topo_sort,
        key=key,
        **options,
    )


@dataclass
class Editor:
    """Collects edits; `build` makes them all at once. (connex 0.4)"""

    network: NeuralNetwork
    edits: dict[str, list] = field(default_factory=dict)
    dropout: object = None

    def _add(self, kind: str, what: Iterable) -> "Editor":
        self.edits.setdefault(kind, []).extend(what)
        return self

    def add_edges(self, edges) -> "Editor":
        """Of pairs, or {source: targets}; ends that are not there are an error at once."""
        known = {*self.network.graph.neurons}.union(
            *(self.edits.get(kind, []) for kind in ("add_hidden", "add_inputs", "add_outputs"))
        )
        for edge in _pairs(edges):
            for name in edge:
                if name not in known:
                    raise ValueError(f"Node {name!r} does not exist")
        return self._add("add_edges", _pairs(edges))

    def remove_edges(self, edges) -> "Editor":
        """Of pairs, or {source: targets}."""
        return self._add("remove_edges", _pairs(edges))

    def add_hidden_nodes(self, nodes) -> "Editor":
        """Hidden neurons, not connected yet."""
        return self._add("add_hidden", nodes)

    def add_input_nodes(self, nodes) -> "Editor":
        """Inputs, in front of the others."""
        return self._add("add_inputs", nodes)

    def add_output_nodes(self, nodes) -> "Editor":
        """Outputs, behind the others."""
        return self._add("add_outputs", nodes)

    def remove_nodes(self, nodes) -> "Editor":
        """Neurons and their edges."""
        return self._add("remove", nodes)

    def set_dropout(self, dropout) -> "Editor":
        """Of the new network alone."""
        self.dropout = dropout
        return self

    def build(self, *, key: int | None = None) -> NeuralNetwork:
        """The edited network; the other one stays as it is."""
        new, _ = self.network.edit(**self.edits)
        if self.dropout is not None:
            new.set_dropout(self.dropout)
        return new


edit = Editor


def _builder(make):
    def build(
        input_size: int,
        output_size: int,
        width: int,
        depth: int,
        hidden_activation=functional.silu,
        output_transformation=None,
        *,
        key: int | None = None,
        **options,
    ) -> NeuralNetwork:
        graph = make(input_size, output_size, width, depth)
        return NeuralNetwork(
            graph.to_networkx(),
            graph.inputs,
            graph.outputs,
            hidden_activation,
            output_transformation,
            key=key,
            **options,
        )

    build.__doc__ = f"A network of the graph that `rewire.graphs.{make.__name__}` makes."
    return build


nn = SimpleNamespace(MLP=_builder(graphs.mlp), DenseMLP=_builder(graphs.dense_mlp))
