"""Small graphs of neurons as pictures, in Graphviz's language, and large ones as figures."""

from torch import Tensor

from rewire.graph import Graph
from rewire.nn import NeuronGraph

_POSITIVE, _NEGATIVE = (37, 99, 235), (234, 88, 12)  # of what has a sign: blue and orange


def _color(value: float, largest: float) -> str:
    """White at 0, the sign's colour at the largest magnitude."""
    share = abs(value) / largest if largest > 0 else 0.0
    end = _POSITIVE if value > 0 else _NEGATIVE
    return "#" + "".join(f"{round(255 + (part - 255) * min(share, 1.0)):02x}" for part in end)


def _quoted(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def dot(net: NeuronGraph | Graph, x: Tensor | None = None) -> str:
    """The graph as DOT text: `dot -Tsvg` makes a picture of it.

    Of a network, neurons are coloured by bias, or by their value for the one sample x [inputs], and
    edges by weight; both have it as a label. Blue is positive, orange negative. Inputs and outputs
    have a double line. Of a graph alone, the wiring.

    >>> print(dot(Graph([("x", "y")], ["x"], ["y"])))
    digraph {
      rankdir=LR; node [shape=circle style=filled fillcolor=white];
      0 [label="x" shape=doublecircle];
      1 [label="y" shape=doublecircle];
      0 -> 1;
    }
    """
    graph = net if isinstance(net, Graph) else net.graph
    of_neurons = of_edges = None
    if net is not graph:
        values = net.bias if x is None else net.values(x)
        if values.shape != (len(graph.neurons),):
            raise ValueError(f"dot: expected one sample [inputs], got {list(x.shape)}")
        of_neurons, of_edges = values.tolist(), net.weight.tolist()
    ends = {*graph.inputs, *graph.outputs}
    lines = ["digraph {", "  rankdir=LR; node [shape=circle style=filled fillcolor=white];"]
    largest = max(map(abs, of_neurons), default=0.0) if of_neurons else 0.0
    for i, name in enumerate(graph.neurons):
        label = str(name) if of_neurons is None else f"{name}\n{of_neurons[i]:.3g}"
        fill = "" if of_neurons is None else f' fillcolor="{_color(of_neurons[i], largest)}"'
        shape = " shape=doublecircle" if name in ends else ""
        lines.append(f"  {i} [label={_quoted(label)}{shape}{fill}];")
    largest = max(map(abs, of_edges), default=0.0) if of_edges else 0.0
    ends = zip(graph.sources.tolist(), graph.targets.tolist(), strict=True)
    for i, (source, target) in enumerate(ends):
        more = ""
        if of_edges is not None:
            more = f' [label="{of_edges[i]:.3g}" color="{_color(of_edges[i], largest)}"]'
        lines.append(f"  {source} -> {target}{more};")
    return "\n".join([*lines, "}"])


def statistics(graph: Graph) -> dict[str, object]:
    """Counts, levels and degrees: what a picture of a large graph would not show.

    neurons_by_level: how many neurons each level has; fan_in, fan_out: (smallest, mean, largest)
    of the neurons that are no inputs, and no outputs; unread: hidden neurons and inputs that
    nobody reads; constant: neurons that read nobody.
    """
    count = len(graph.neurons)
    fan_in = graph.targets.bincount(minlength=count)
    fan_out = graph.sources.bincount(minlength=count)
    is_input, is_output = fan_in.new_zeros(count).bool(), fan_in.new_zeros(count).bool()
    is_input[graph.numbers(graph.inputs)] = True
    is_output[graph.numbers(graph.outputs)] = True

    def span(degrees: Tensor) -> tuple[int, float, int]:
        return int(degrees.min()), float(degrees.double().mean()), int(degrees.max())

    return {
        "neurons": count,
        "edges": graph.num_edges,
        "levels": int(graph.level.max()),
        "neurons_by_level": graph.level.bincount().tolist(),
        "fan_in": span(fan_in[~is_input]),
        "fan_out": span(fan_out[~is_output]),
        "unread": int((fan_out[~is_output] == 0).sum()),
        "constant": int((fan_in[~is_input] == 0).sum()),
    }
