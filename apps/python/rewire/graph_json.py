"""Graphs of neurons as JSON: the wiring, without weights. Nothing that is read is executed."""

import itertools
import json

_BY_NEURON = ("activations", "operations")
_LISTS = ("neurons", "inputs", "outputs", "edges", *_BY_NEURON)


def _check(holds: bool, message: str):
    if not holds:
        raise ValueError(f"Graph.from_json: {message}")


def parsed(text: str) -> dict:
    """The keyword arguments of the `rewire.Graph` that a text describes; see `Graph.from_json`."""
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"Graph.from_json: {error}") from None
    _check(isinstance(found, dict), f"expected an object, got {type(found).__name__}")
    for key in found:
        _check(key in (*_LISTS, "output_transform", "parallel"), f"unknown key {key!r}")
    lists = {key: found.get(key, []) for key in _LISTS}
    for key, value in lists.items():
        _check(isinstance(value, list), f"expected {key} as a list, got {value!r}")
    names, edges = lists["neurons"], lists["edges"]
    for edge in edges:
        pair = isinstance(edge, list) and len(edge) == 2
        _check(pair, f"expected edges as pairs, got {edge!r}")
    for name in itertools.chain(names, lists["inputs"], lists["outputs"], *edges):
        _check(isinstance(name, (str, int)), f"expected names as text or integers, got {name!r}")
    for key in _BY_NEURON:
        message = f"expected as many {key} as neurons, {len(names)}, got {len(lists[key])}"
        _check(len(lists[key]) == len(names), message)
    for number in lists["operations"]:
        whole = number is None or isinstance(number, int)
        _check(whole, f"expected operations as integers or null, got {number!r}")
    transform = found.get("output_transform")
    message = f"expected output_transform null or 'softmax', got {transform!r}"
    _check(transform in (None, "softmax"), message)
    by_neuron = {
        key: {n: one for n, one in zip(names, lists[key], strict=True) if one is not None}
        for key in _BY_NEURON
    }
    return {
        "edges": [tuple(edge) for edge in edges],
        "inputs": lists["inputs"],
        "outputs": lists["outputs"],
        "activation": by_neuron["activations"],
        "output_transform": transform,
        "operation": by_neuron["operations"],
        "neurons": names,
        "parallel": bool(found.get("parallel", False)),
    }


def written(graph) -> str:
    """A graph as text; see `Graph.to_json`."""
    for name in graph.neurons:
        if not isinstance(name, (str, int)):
            raise ValueError(f"Graph.to_json: neuron {name!r} is no text and no integer")
    for one in (*graph.activations, graph.output_transform):
        if callable(one):
            raise ValueError(f"Graph.to_json: {one!r} is a callable and has no name")
    return json.dumps(
        {
            "neurons": graph.neurons,
            "inputs": graph.inputs,
            "outputs": graph.outputs,
            "edges": graph.edges,
            "activations": graph.activations,
            "operations": [graph.operation.get(name) for name in graph.neurons],
            "output_transform": graph.output_transform,
            "parallel": graph.parallel,
        }
    )
