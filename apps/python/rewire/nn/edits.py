"""What becomes of a graph that is edited, and of what was learned in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rewire.graph import Edge, Graph, Name, _listed


@dataclass
class Changes:
    """Where the parts of an edited network come from: old places, int64, -1 for what is new.

    edges [edges], neurons [neurons]; parameters: {name: places along its last dimension}.
    """

    edges: Tensor
    neurons: Tensor
    parameters: dict[str, Tensor] = field(default_factory=dict)

    def copy(self, name: str, old: Tensor, new: Tensor):
        """Writes what survives of `old`, a tensor of that parameter's shape, into `new`."""
        places = self.parameters[name].to(new.device)
        kept = places >= 0
        new[..., kept] = old.index_select(-1, places[kept]).to(new.dtype)


def edited(
    graph: Graph,
    add_edges: Iterable[Edge],
    remove_edges: Iterable[Edge],
    add_hidden: Iterable[Name] | Mapping[Name, str],
    add_inputs: Iterable[Name],
    add_outputs: Iterable[Name],
    remove: Iterable[Name],
) -> tuple[Graph, Changes]:
    """The edited graph. Neurons and edges keep their order; new ones come last."""
    hidden, inputs, outputs = list(add_hidden), list(add_inputs), list(add_outputs)
    removed, gone = set(remove), set(map(tuple, remove_edges))
    if unknown := [name for name in removed if name not in graph.index]:
        raise ValueError(f"NeuronGraph.edit: neurons to remove are not there: {_listed(unknown)}")
    added = [*hidden, *inputs, *outputs]
    kept = [i for i, name in enumerate(graph.neurons) if name not in removed]
    names = [graph.neurons[i] for i in kept]
    known = set(names)
    for name in added:
        if name in known:
            raise ValueError(f"NeuronGraph.edit: neuron {name!r} is there already")
        known.add(name)
    for edge in gone:
        if unknown := [name for name in edge if name not in graph.index]:
            raise ValueError(f"NeuronGraph.edit: no neuron {unknown[0]!r}, of edge {edge}")

    edges = [
        i
        for i, edge in enumerate(graph.edges)
        if edge not in gone and edge[0] not in removed and edge[1] not in removed
    ]
    pairs = [graph.edges[i] for i in edges]
    present, new_edges = set(pairs), []
    for edge in map(tuple, add_edges):
        if unknown := [name for name in edge if name not in known]:
            raise ValueError(f"NeuronGraph.edit: no neuron {unknown[0]!r}, of edge {edge}")
        if edge not in present:
            present.add(edge)
            new_edges.append(edge)

    activation = graph.activation
    if isinstance(activation, Mapping) or isinstance(add_hidden, Mapping):
        activations = zip(graph.neurons, graph.activations)
        activation = {n: one for n, one in activations if one is not None and n not in removed}
        activation |= add_hidden if isinstance(add_hidden, Mapping) else {}
    new = Graph(
        pairs + new_edges,
        inputs + [name for name in graph.inputs if name not in removed],
        [name for name in graph.outputs if name not in removed] + outputs,
        activation=activation,
        output_transform=graph.output_transform,
        operation={n: key for n, key in graph.operation.items() if n not in removed},
        neurons=names + added,
        parallel=graph.parallel,
    )
    return new, Changes(
        edges=torch.tensor(edges + [-1] * len(new_edges), dtype=torch.int64),
        neurons=torch.tensor(kept + [-1] * len(added), dtype=torch.int64),
    )
