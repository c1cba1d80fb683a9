"""Graphs of neurons: what they say of themselves, and what they refuse."""

import networkx
import pytest
import torch
from rewire import Graph, graphs, nn, pictures

EDGES = [("a", "h"), ("b", "h"), ("h", "y"), ("a", "y"), ("b", "z")]


def graph(edges=EDGES, inputs=("a", "b"), outputs=("y", "z"), **options):
    return Graph(edges, inputs, outputs, **options)


def test_says_what_it_is():
    g = graph()
    assert g.neurons == ("a", "b", "h", "y", "z")
    assert g.edges == EDGES
    assert g.hidden == ("h",)
    assert g.levels == {"a": 0, "b": 0, "h": 1, "y": 2, "z": 1}
    assert g.activations == [None, None, "relu", "linear", "linear"]
    assert repr(g) == "Graph(2 inputs, 1 hidden neurons, 2 outputs, 5 edges, 2 levels)"


@pytest.mark.parametrize(
    "other",
    [
        Graph.from_dict({"a": ["h", "y"], "b": ["h", "z"], "h": ["y"]}, ["a", "b"], ["y", "z"]),
        Graph.from_networkx(networkx.DiGraph(EDGES), ["a", "b"], ["y", "z"]),
    ],
)
def test_other_ways_to_build_it(other):
    assert set(other.edges) == set(EDGES)
    assert other.levels == graph().levels


def test_edges_as_a_tensor():
    g = Graph(torch.tensor([[7, 3], [3, 5]]), inputs=[7], outputs=[5])
    assert g.levels == {7: 0, 3: 1, 5: 2}


def test_names_may_be_anything_hashable():
    g = Graph([((0, 0), "h"), ("h", None)], inputs=[(0, 0)], outputs=[None])
    assert g.levels == {(0, 0): 0, "h": 1, None: 2}


def test_weights_go_to_networkx():
    found = graph().to_networkx(torch.arange(5.0))
    assert isinstance(found, networkx.DiGraph)
    assert found.edges["h", "y"]["weight"] == 2 and set(found.edges) == set(EDGES)
    parallel = Graph([("x", "y")] * 2, ["x"], ["y"], parallel=True).to_networkx([1.0, 2.0])
    assert sorted(w for *_, w in parallel.edges(data="weight")) == [1, 2]


def test_numbers_go_to_graphml():
    g = Graph([("x", 1), (1, "y<")], ["x"], ["y<"], activation="tanh")
    text = g.to_graphml(weight=[0.5, -2.0], bias=torch.tensor([0.0, 3.0, 0.25]))
    found = networkx.parse_graphml(text)
    assert {(s, t, d["weight"]) for s, t, d in found.edges(data=True)} == {("x", "1", 0.5), ("1", "y<", -2.0)}
    assert found.nodes["1"] == {"activation": "tanh", "bias": 3.0}
    assert "weight" not in g.to_graphml()
    parallel = Graph([("x", "y")] * 2, ["x"], ["y"], parallel=True).to_graphml([1.0, 2.0])
    assert len(networkx.parse_graphml(parallel).edges) == 2
    with pytest.raises(ValueError, match="two neurons are called '1' in GraphML"):
        Graph([(1, "1")], [1], ["1"]).to_graphml()


def test_neurons_without_sources_or_readers():
    """Isolated, without sources, without readers, an output without sources: all are allowed."""
    g = Graph(
        [("x", "dead"), ("constant", "y")],
        inputs=["x", "unread"],
        outputs=["y", "bias"],
        neurons=["x", "unread", "alone", "constant", "dead", "y", "bias"],
    )
    assert g.levels["alone"] == g.levels["bias"] == g.levels["constant"] == 1
    assert g.levels["y"] == 2


@pytest.mark.parametrize(
    "message, change",
    [
        ("inputs and outputs must be non-empty", {"inputs": []}),
        ("inputs and outputs must be non-empty", {"outputs": []}),
        ("inputs name a neuron twice: 'a'", {"inputs": ["a", "b", "a"]}),
        ("neurons are inputs and outputs: 'a'", {"outputs": ["a", "y"]}),
        ("inputs are not in the graph: 'c', 'd'", {"inputs": ["a", "b", "c", "d"]}),
        ("outputs are not in the graph: 'q'", {"outputs": ["y", "z", "q"]}),
        ("input 'h' has incoming edges, from 'a', 'b'", {"inputs": ["a", "b", "h"]}),
        ("output 'h' has outgoing edges, to 'y'", {"outputs": ["y", "z", "h"]}),
        (
            "edges are there twice: ('a', 'h') (parallel=True allows it)",
            {"edges": [*EDGES, ("a", "h")]},
        ),
        ("the graph has a cycle: 'i' -> 'i'", {"edges": [*EDGES, ("i", "i")]}),
        ("activations of neurons not in the graph: 'q'", {"activation": {"q": "relu"}}),
        ("operations of neurons not in the graph: 'q'", {"operation": {"q": 1}}),
    ],
)
def test_refuses(message, change):
    with pytest.raises(ValueError) as caught:
        graph(**change)
    assert str(caught.value) == f"Graph: {message}"


def test_names_a_cycle_in_the_order_of_its_edges():
    with pytest.raises(ValueError) as caught:
        graph([*EDGES, ("h", "i"), ("i", "j"), ("j", "i")])
    assert str(caught.value) in (
        "Graph: the graph has a cycle: 'i' -> 'j' -> 'i'",
        "Graph: the graph has a cycle: 'j' -> 'i' -> 'j'",
    )


def test_an_unknown_activation_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown activation 'rely' of neuron 'h': .* relu, selu"):
        graph(activation="rely")


def test_neurons_of_one_operation_share_a_level():
    g = graph(operation={"y": 3, "z": 3})
    assert g.levels["y"] == g.levels["z"] == 2


def test_builders_have_the_edges_that_they_say():
    assert graphs.densenet(2, 2, 1).edges == [
        *((0, 2), (1, 2), (0, 3), (1, 3), (2, 3)),
        *((0, 4), (1, 4), (2, 4), (3, 4)),
    ]
    assert graphs.mlp(2, 1, width=2, depth=0).edges == [(0, 2), (1, 2)]
    assert graphs.layered([2, 1, 1]).edges == [(0, 2), (1, 2), (2, 3)]
    assert set(graphs.layered([2, 1, 1], skip=1.0).edges) == {
        (0, 2),
        (1, 2),
        (0, 3),
        (1, 3),
        (2, 3),
    }
    ring = graphs.small_world(3, 4, 2, neighbours=2, rewired=0.0)
    assert [s for s, t in ring.edges if t == 5] == [3, 4]
    assert [s for s, t in ring.edges if t == 8] == [5, 6]


@pytest.mark.parametrize("edges", [0, 40, 600, 5 * 60 + 60 * 59 // 2 + 3 * 65])
def test_a_random_dag_has_so_many_edges(edges):
    g = graphs.random_dag(5, 60, 3, edges, seed=2)
    assert len(g.edges) == len(set(g.edges)) == edges
    assert all(source < target and source < 65 and target >= 5 for source, target in g.edges)
    assert g.edges == graphs.random_dag(5, 60, 3, edges, seed=2).edges
    assert edges in (0, 2265) or g.edges != graphs.random_dag(5, 60, 3, edges, seed=3).edges


def test_a_small_world_is_partly_rewired():
    near = set(graphs.small_world(10, 90, 5, neighbours=4, rewired=0.0).edges)
    g = graphs.small_world(10, 90, 5, neighbours=4, rewired=0.3)
    assert len(g.edges) == len(set(g.edges)) == len(near)
    assert 0.15 < len(set(g.edges) - near) / len(near) < 0.45


@pytest.mark.parametrize(
    "message, build",
    [
        ("expected edges in [0, 3], got 5", lambda: graphs.random_dag(1, 1, 1, 5)),
        ("expected layers of at least 1 neuron, got [2, 0, 1]", lambda: graphs.layered([2, 0, 1])),
        ("expected at least 2 layers, got 1", lambda: graphs.layered([2])),
        ("expected rewired in [0, 1], got 2", lambda: graphs.small_world(1, 1, 1, 1, rewired=2)),
    ],
)
def test_builders_refuse(message, build):
    with pytest.raises(ValueError) as caught:
        build()
    assert str(caught.value) == f"rewire.graphs: {message}"


@pytest.mark.parametrize(
    "g",
    [
        graph(),
        graph(activation={"h": "selu", "z": "softmax"}, output_transform="softmax"),
        graph(operation={"y": 3, "z": 3}),
        Graph([(0, 1), (0, 1)], [0], [1], parallel=True),
    ],
)
def test_json_brings_it_back(g):
    other = Graph.from_json(g.to_json())
    for key in ("neurons", "edges", "inputs", "outputs", "activations", "levels", "parallel"):
        assert getattr(other, key) == getattr(g, key), key
    assert other.output_transform == g.output_transform and other.operation == g.operation


@pytest.mark.parametrize(
    "message, text",
    [
        ("Expecting value: line 1 column 1 (char 0)", "graph"),
        ("expected an object, got list", "[]"),
        ("unknown key 'nodes'", '{"nodes": []}'),
        ("expected edges as a list, got 7", '{"edges": 7}'),
        ("expected edges as pairs, got [1]", '{"edges": [[1]]}'),
        ("expected names as text or integers, got {}", '{"edges": [[1, {}]]}'),
        ("expected names as text or integers, got 1.5", '{"neurons": [1.5]}'),
        ("expected as many activations as neurons, 1, got 0", '{"neurons": ["x"]}'),
        (
            "expected as many operations as neurons, 1, got 0",
            '{"neurons": ["x"], "activations": [null]}',
        ),
        (
            "expected operations as integers or null, got []",
            '{"neurons": ["x"], "activations": [null], "operations": [[]]}',
        ),
        ("expected output_transform null or 'softmax', got 'exec'", '{"output_transform": "exec"}'),
    ],
)
def test_other_json_is_refused(message, text):
    with pytest.raises(ValueError) as caught:
        Graph.from_json(text)
    assert str(caught.value) == f"Graph.from_json: {message}"


def test_deeply_nested_json_is_refused():
    with pytest.raises(ValueError, match="Graph.from_json"):
        Graph.from_json("[" * 100_000)


def test_json_needs_names():
    with pytest.raises(ValueError, match=r"neuron \(0, 0\) is no text and no integer"):
        Graph([((0, 0), "y")], [(0, 0)], ["y"]).to_json()
    with pytest.raises(ValueError, match="is a callable and has no name"):
        graph(activation=torch.relu).to_json()


def test_numbers_by_name():
    g = graph()
    assert g.by_edge(torch.arange(5.0))["h", "y"] == 2
    assert g.by_neuron(torch.arange(5.0)) == {"a": 0, "b": 1, "h": 2, "y": 3, "z": 4}


def test_a_picture_of_a_network():
    net = nn.NeuronGraph(Graph([("x", 'say "h"'), ('say "h"', "y")], ["x"], ["y"]))
    with torch.no_grad():
        net.weight.copy_(torch.tensor([2.0, -1.0]))
        net.bias.copy_(torch.tensor([0.0, 0.5, -0.25]))
    lines = pictures.dot(net).splitlines()
    assert lines[2:] == [
        '  0 [label="x\\n0" shape=doublecircle fillcolor="#ffffff"];',
        '  1 [label="say \\"h\\"\\n0.5" fillcolor="#2563eb"];',
        '  2 [label="y\\n-0.25" shape=doublecircle fillcolor="#f4ac86"];',
        '  0 -> 1 [label="2" color="#2563eb"];',
        '  1 -> 2 [label="-1" color="#f4ac86"];',
        "}",
    ]
    assert '"x\\n3"' in pictures.dot(net, torch.tensor([3.0]))
    assert '"y\\n-6.75"' in pictures.dot(net, torch.tensor([3.0]))
    with pytest.raises(ValueError, match=r"dot: expected one sample \[inputs\], got \[2, 1\]"):
        pictures.dot(net, torch.ones(2, 1))


def test_statistics():
    assert pictures.statistics(graph([*EDGES, ("a", "dead")])) == {
        "neurons": 6,
        "edges": 6,
        "levels": 2,
        "neurons_by_level": [2, 3, 1],
        "fan_in": (1, 1.5, 2),
        "fan_out": (0, 1.5, 3),
        "unread": 1,
        "constant": 0,
    }
