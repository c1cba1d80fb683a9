"""What becomes of a graph that is edited, and of what was learned in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rewire.graph import Edge, Graph, Name, _listed, on_cpu


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
        places = self.parameters[name]
        kept = (places >= 0).nonzero().flatten()
        survivors = old.index_select(-1, places[kept].to(old.device))
        new.index_copy_(-1, kept.to(new.device), survivors.to(new))


@on_cpu
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
    wanted = list(map(tuple, add_edges))
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
    for edge in wanted:
        if unknown := [name for name in edge if name not in known]:
            raise ValueError(f"NeuronGraph.edit: no neuron {unknown[0]!r}, of edge {edge}")

    # Edges as one number each, of the old neurons.
    count = len(graph.neurons)
    keys = graph.sources * count + graph.targets
    left_out = torch.tensor([graph.index[s] * count + graph.index[t] for s, t in gone])
    lost = torch.zeros(count, dtype=torch.bool)
    lost[graph.numbers(removed)] = True
    stays = ~(lost[graph.sources] | lost[graph.targets] | torch.isin(keys, left_out.long()))
    edges = stays.nonzero().flatten()
    present = set(keys[edges].tolist()) if wanted else set()
    new_edges = [
        edge
        for edge in dict.fromkeys(wanted)
        if not all(name in graph.index for name in edge)
        or graph.index[edge[0]] * count + graph.index[edge[1]] not in present
    ]

    neurons = names + added
    number = {name: i for i, name in enumerate(neurons)}
    place = torch.full((count,), -1)
    place[torch.tensor(kept, dtype=torch.int64)] = torch.arange(len(kept))
    old = place[torch.stack([graph.sources[edges], graph.targets[edges]], dim=1)]
    more = torch.tensor([[number[s], number[t]] for s, t in new_edges], dtype=torch.int64)
    activation = graph.activation
    if isinstance(activation, Mapping) or isinstance(add_hidden, Mapping):
        activations = zip(graph.neurons, graph.activations, strict=True)
        activation = {n: one for n, one in activations if one is not None and n not in removed}
        activation |= add_hidden if isinstance(add_hidden, Mapping) else {}
    new = Graph._of_numbers(
        torch.cat([old, more.view(-1, 2)]),
        neurons,
        inputs + [name for name in graph.inputs if name not in removed],
        [name for name in graph.outputs if name not in removed] + outputs,
        activation,
        {n: key for n, key in graph.operation.items() if n not in removed},
        like=graph,
    )
    fresh = torch.full((len(new_edges),), -1)
    return new, Changes(
        edges=torch.cat([edges, fresh]),
        neurons=torch.tensor(kept + [-1] * len(added), dtype=torch.int64),
    )
