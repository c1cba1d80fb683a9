"""Programs of Freewire and connex with the import changed."""

import networkx
import pytest
import rewire.compat.connex as cnx
import torch
from golden_graphs import FLOAT32, NAMES, error, golden
from rewire.compat.freewire import Graph, Model, Network, Node, neuron_level_densenet


def xor():
    """The network of Freewire's first example."""
    inputs = [Node(), Node()]
    hidden = [Node(inputs, activation="sigmoid") for _ in range(0, 5)]
    output = Node(hidden, activation="sigmoid")
    return Network(Graph(inputs, hidden, [output]))


def load(model, case, names=None):
    """Weights and biases of a case; names: its neurons in the order of the model's nodes."""
    names = names or list(range(len(case["bias"])))
    stored = case["edges"].tolist()
    order = [stored.index([names[s], names[t]]) for s, t in model.network.graph.edges]
    with torch.no_grad():
        model.network.weight.copy_(case["weight"][order])
        model.network.bias.copy_(case["bias"][names])
    return order


def test_freewire_s_xor(capsys):
    case = golden("fw_xor")
    net = xor()
    order = load(net, case)
    data = [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert error(net(data), case["y"]) < FLOAT32["plain"]
    assert torch.equal(case["x"], torch.tensor(data).float())
    net.compile("sgd", "mse")
    losses = net.fit(data, case["mse.target"].flatten().tolist(), epochs=200, batch_size=1)
    assert error(torch.tensor(losses), case["fit200.epoch_loss"]) < FLOAT32["plain"]
    assert error(net.network.weight, case["fit200.weight"][order]) < FLOAT32["plain"]
    assert error(net.network.bias, case["fit200.bias"]) < FLOAT32["plain"]
    assert error(net(data), case["fit200.y"]) < FLOAT32["plain"]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 200 and printed[0] == f"epoch [1/200] loss: {losses[0]:.6g}"


def test_freewire_s_mnist():
    """Neurons drawn with replacement: parallel edges have weights of their own."""
    generator = torch.Generator().manual_seed(0)
    inputs = [Node() for _ in range(0, 49)]
    hidden = [Node(inputs, activation="selu") for _ in range(0, 30)]
    draws = torch.randint(30, (20, 10), generator=generator)
    hidden2 = [Node([hidden[i] for i in row], activation="selu") for row in draws.tolist()]
    outputs = [Node(hidden + hidden2, activation="softmax") for _ in range(10)]
    torch.manual_seed(0)
    model = Model(Graph(inputs, hidden + hidden2, outputs), initialization="he")
    assert model.count_params() == 49 * 30 + 20 * 10 + 50 * 10
    images = torch.rand(256, 49, generator=generator)
    labels = (images[:, :24].sum(1) > images[:, 25:].sum(1)).long()
    model.compile("adam", "crossentropy")
    losses = model.fit(images, labels, epochs=80, batch_size=64, verbose=False)
    assert losses[-1] < losses[0] - 0.1
    predictions = model(images)
    torch.testing.assert_close(predictions.sum(1), torch.ones(256))
    assert (predictions.argmax(1) == labels).float().mean() > 0.7


def test_freewire_s_builder():
    case = golden("fw_densenet")
    model = Model(neuron_level_densenet(6, 10, 3, "relu"))
    load(model, case)
    assert error(model(case["x"]), case["y"]) < FLOAT32["plain"]


def test_freewire_s_operation_ids_and_order_of_outputs():
    case = golden("fw_operation_id")
    nodes, op_ids = {}, case["op_id"].tolist()
    sources = {n: [] for n in range(len(op_ids))}
    for source, target in case["edges"].tolist():
        sources[target].append(source)
    for n in sorted(sources, key=lambda n: int(case["level"][n])):
        activation = NAMES[int(case["activation"][n])] if sources[n] else "linear"
        op_id = "any" if op_ids[n] < 0 else op_ids[n]
        nodes[n] = Node([nodes[s] for s in sources[n]], activation=activation, op_id=op_id)
    inputs, outputs = case["inputs"].tolist(), case["outputs"].tolist()
    hidden = [n for n in sources if n not in {*inputs, *outputs}]
    model = Model(Graph(*([nodes[n] for n in part] for part in (inputs, hidden, outputs))))
    load(model, case, inputs + hidden + outputs)
    assert error(model(case["x"]), case["y"]) < FLOAT32["plain"]
    inputs = [Node()]
    last, first = Node(inputs, output_index=5), Node(inputs, output_index=2)
    ordered = Model(Graph(inputs, [], [last, first]))
    assert ordered.network.graph.outputs == (2, 1)


def test_freewire_s_graph_shows_weights_and_gradients():
    net = xor()
    net([[0.0, 1.0]]).sum().backward()
    graph = net.update_graph()
    assert [edge.weight for edge in graph.edges] == net.network.weight.tolist()
    assert [edge.grad for edge in graph.edges] == net.network.weight.grad.tolist()
    assert [node.bias for node in graph.nodes] == net.network.bias.tolist()
    assert graph.edges[0].start is graph.input_nodes[0]


@pytest.mark.parametrize(
    "message, program",
    [
        (
            "Model: node 0 reads a node that is in none of the lists of inputs, hidden nodes and outputs",
            lambda: Model(Graph([], [], [Node([Node()])])),
        ),
        (
            "Node: an input node has no activation, got 'relu'",
            lambda: Node(activation="relu"),
        ),
        (
            "compile: expected optimizer of sgd, adam, got 'rmsprop'",
            lambda: xor().compile("rmsprop", "mse"),
        ),
        (
            "compile: expected loss_function of mse, crossentropy, got 'l1'",
            lambda: xor().compile("sgd", "l1"),
        ),
        ("fit: call compile() first", lambda: xor().fit([[0, 0]], [0])),
    ],
)
def test_freewire_s_errors(message, program):
    with pytest.raises((ValueError, RuntimeError)) as caught:
        program()
    assert str(caught.value) == message


ADJACENCY = {
    0: [1, 2, 3],
    1: [4],
    2: [4, 5],
    4: [6],
    5: [7],
    6: [8, 9],
    7: [10],
    8: [11],
    9: [11],
    10: [11],
}


def worked_example(case):
    network = cnx.NeuralNetwork(ADJACENCY, [0], [3, 11], torch.relu)
    stored = case["edges"].tolist()
    with torch.no_grad():
        network.weight.copy_(case["weight"][[stored.index([*e]) for e in network.graph.edges]])
        network.bias.copy_(case["bias"][list(network.graph.neurons)])
    return network


def test_connex_s_first_example():
    case = golden("cx_worked_example")
    network = worked_example(case)
    assert network.levels is None  # torch.relu is known to the fused operator
    assert error(network(case["x"]), case["y"]) < FLOAT32["plain"]
    torch.testing.assert_close(network(case["x"][7]), network(case["x"])[7])  # one example
    edited = cnx.add_connections(network, [(1, 6), (2, 11)])
    edited = cnx.remove_neurons(edited, [9])
    assert set(edited.graph.edges) == set(map(tuple, case["edit.edges"].tolist()))
    weights = dict(zip(network.graph.edges, network.weight.tolist()))
    kept = dict(zip(edited.graph.edges, edited.weight.tolist()))
    assert all(kept[edge] == weights[edge] for edge in kept if edge in weights)
    edited.set_dropout_p(0.1)
    assert len(network.graph.edges) == 14 and network.dropout == 0.0
    weighted = network.to_networkx_weighted_digraph()
    assert weighted.edges[2, 5]["weight"] == weights[2, 5]


def test_connex_s_other_edits():
    network = cnx.NeuralNetwork({"x": ["h"], "h": ["y"]}, ["x"], ["y"])
    network = cnx.add_hidden_neurons(network, ["i"])
    network = cnx.add_input_neurons(network, ["w"])
    network = cnx.add_output_neurons(network, ["z"])
    network = cnx.add_connections(network, {"w": ["i"], "i": ["z"]})
    network = cnx.remove_connections(network, {"x": ["h"]})
    assert network.graph.inputs == ("w", "x") and network.graph.outputs == ("y", "z")
    assert set(network.graph.edges) == {("h", "y"), ("w", "i"), ("i", "z")}


def test_connex_s_new_interface():
    spec = cnx.GraphSpec(
        networkx.DiGraph([(0, 1), (1, 3), (0, 2), (2, 3)]), inputs=[0], outputs=[3]
    )
    model = cnx.NeuralDAG(spec, key=4)
    assert torch.equal(cnx.NeuralDAG(spec, key=4).weight, model.weight)
    edited = (
        cnx.edit(model).add_edges([(1, 2)]).remove_edges([(0, 2)]).set_dropout(0.25).build(key=1)
    )
    assert set(edited.graph.edges) == {(0, 1), (1, 3), (2, 3), (1, 2)}
    assert edited.dropout == 0.25 and model.dropout == 0.0
    options = cnx.ops.default_ops(
        topo_norm=True,
        topo_self_attention=True,
        neuron_self_attention=True,
        adaptive_activation=True,
    )
    full = cnx.NeuralDAG(spec, ops=options)
    assert full.norm and full.attention == "both" and full.adaptive
    assert full(torch.ones(1)).shape == (1,)


@pytest.mark.parametrize("name", ["cx_mlp_0", "cx_mlp_1", "cx_dense_mlp_0", "cx_dense_mlp_1"])
def test_connex_s_builders(name):
    case = golden(name)
    build = cnx.nn.DenseMLP if "dense" in name else cnx.nn.MLP
    sizes = [int(case[key]) for key in ("input_size", "output_size", "width", "depth")]
    network = build(*sizes, cnx.gelu)
    assert sorted(network.graph.edges) == [tuple(edge) for edge in case["edges"].tolist()]
    stored = case["edges"].tolist()
    with torch.no_grad():
        network.weight.copy_(case["weight"][[stored.index([*e]) for e in network.graph.edges]])
        network.bias.copy_(case["bias"])
    assert network.levels is None
    assert error(network(case["x"]), case["y"]) < FLOAT32["plain"]


@pytest.mark.parametrize(
    "message, program",
    [
        (
            "topo_sort breaks the edge from 0 to 1",
            lambda: cnx.NeuralNetwork({0: [1], 1: [2]}, [0], [2], topo_sort=[1, 0, 2]),
        ),
        (
            "topo_sort must contain exactly the neurons of the graph",
            lambda: cnx.NeuralNetwork({0: [1]}, [0], [1], topo_sort=[0]),
        ),
        (
            "Graph: the graph has a cycle: 1 -> 1",
            lambda: cnx.GraphSpec({0: [1], 1: [1, 2]}, [0], [2]),
        ),
        (
            "default_ops: expected affine of padded, sparse, matmul, hybrid, got 'dense'",
            lambda: cnx.ops.default_ops(affine="dense"),
        ),
        (
            "Node 9 does not exist",
            lambda: cnx.edit(cnx.NeuralNetwork({0: [1]}, [0], [1])).add_edges([(0, 9)]),
        ),
    ],
)
def test_connex_s_errors(message, program):
    with pytest.raises(ValueError) as caught:
        program()
    assert str(caught.value) == message
