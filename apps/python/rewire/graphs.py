"""Graphs of neurons by recipe. Names count up from 0: inputs, hidden neurons, outputs.

`options` are those of `rewire.Graph`: activation, output_transform and so on. What is random is a
function of `seed`.
"""

import itertools
from collections.abc import Sequence

import torch

from rewire.graph import Graph, on_cpu


def _layers(sizes: Sequence[int]) -> list[range]:
    if any(size < 1 for size in sizes):
        raise ValueError(f"rewire.graphs: expected layers of at least 1 neuron, got {list(sizes)}")
    ends = list(itertools.accumulate(sizes, initial=0))
    return [range(begin, end) for begin, end in itertools.pairwise(ends)]


def _graph(edges, num_inputs: int, num_outputs: int, num_neurons: int, options) -> Graph:
    return Graph(
        edges,
        inputs=range(num_inputs),
        outputs=range(num_neurons - num_outputs, num_neurons),
        neurons=range(num_neurons),
        **options,
    )


def mlp(inputs: int, outputs: int, width: int, depth: int, **options) -> Graph:
    """`depth` hidden layers of `width` neurons, each layer on the one before.

    >>> len(mlp(2, 1, width=3, depth=2).edges)
    18
    """
    layers = _layers([inputs, *[width] * depth, outputs])
    edges = [edge for pair in itertools.pairwise(layers) for edge in itertools.product(*pair)]
    return _graph(edges, inputs, outputs, layers[-1].stop, options)


def dense_mlp(inputs: int, outputs: int, width: int, depth: int, **options) -> Graph:
    """The same with each layer on all earlier ones. Source: connex."""
    layers = _layers([inputs, *[width] * depth, outputs])
    edges = [
        (source, target)
        for layer in layers[:-1]
        for source in layer
        for target in range(layer.stop, layers[-1].stop)
    ]
    return _graph(edges, inputs, outputs, layers[-1].stop, options)


def densenet(inputs: int, hidden: int, outputs: int, **options) -> Graph:
    """Each hidden neuron reads all inputs and all earlier hidden ones; outputs read all of them.

    Source: Freewire.
    """
    first = _layers([inputs, hidden, outputs])[2].start
    edges = [(source, target) for target in range(inputs, first) for source in range(target)]
    edges += [
        (source, target) for target in range(first, first + outputs) for source in range(first)
    ]
    return _graph(edges, inputs, outputs, first + outputs, options)


@on_cpu
def random_dag(
    inputs: int, hidden: int, outputs: int, edges: int, seed: int = 0, **options
) -> Graph:
    """`edges` edges drawn from all that lead from a neuron to a later one, each at most once.

    Raises
    ------
    ValueError
        If there are not so many.
    """
    _layers([inputs, hidden, outputs])
    num_neurons, last = inputs + hidden + outputs, inputs + hidden
    # Those into neuron t count min(t, last), from the inputs' end on.
    into = torch.arange(inputs, num_neurons).clamp(max=last)
    ends = into.cumsum(0)
    possible = int(ends[-1])
    if not 0 <= edges <= possible:
        raise ValueError(f"rewire.graphs: expected edges in [0, {possible}], got {edges}")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.empty(0, dtype=torch.int64)
    while len(drawn) < edges:  # far fewer than all: a few rounds; else all are shuffled
        if edges * 4 > possible:
            drawn = torch.randperm(possible, generator=generator)[:edges]
        else:
            more = torch.randint(possible, (edges,), generator=generator)
            drawn = torch.cat([drawn, more]).unique()
            drawn = drawn[torch.randperm(len(drawn), generator=generator)[:edges]]
    drawn = drawn.sort().values
    row = torch.searchsorted(ends, drawn, right=True)
    source = drawn - (ends - into)[row]
    pairs = torch.stack([source, row + inputs], dim=1)
    return _graph(pairs, inputs, outputs, num_neurons, options)


@on_cpu
def small_world(
    inputs: int,
    hidden: int,
    outputs: int,
    neighbours: int,
    rewired: float = 0.1,
    seed: int = 0,
    **options,
) -> Graph:
    """Each neuron reads its `neighbours` predecessors, or, with probability `rewired`, others in
    their place, drawn from all predecessors. Source: Watts and Strogatz 1998, as a DAG.
    """
    _layers([inputs, hidden, outputs])
    if not 0 <= rewired <= 1:
        raise ValueError(f"rewire.graphs: expected rewired in [0, 1], got {rewired}")
    generator = torch.Generator().manual_seed(seed)
    last = inputs + hidden
    edges = []
    for target in range(inputs, last + outputs):
        before = min(target, last)
        near = list(range(max(0, before - neighbours), before))
        redrawn = torch.rand(len(near), generator=generator) < rewired
        sources = {source for source, again in zip(near, redrawn.tolist()) if not again}
        for source in torch.randperm(before, generator=generator).tolist():
            if len(sources) == len(near):
                break
            sources.add(source)
        edges += [(source, target) for source in sorted(sources)]
    return _graph(edges, inputs, outputs, last + outputs, options)


@on_cpu
def layered(sizes: Sequence[int], skip: float = 0.0, seed: int = 0, **options) -> Graph:
    """Layers of these sizes, each on the one before; and each edge that skips layers with
    probability `skip`.
    """
    layers = _layers(sizes)
    if len(layers) < 2:
        raise ValueError(f"rewire.graphs: expected at least 2 layers, got {len(layers)}")
    generator = torch.Generator().manual_seed(seed)
    edges = []
    for number, layer in enumerate(layers[1:], start=1):
        for source_layer in layers[:number]:
            pairs = list(itertools.product(source_layer, layer))
            if source_layer.stop < layer.start:
                chosen = torch.rand(len(pairs), generator=generator) < skip
                pairs = [pair for pair, one in zip(pairs, chosen.tolist()) if one]
            edges += pairs
    return _graph(edges, sizes[0], sizes[-1], layers[-1].stop, options)
