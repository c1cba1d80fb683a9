"""Networks of neurons that are edited: what survives, in the network and in its optimiser."""

import pytest
import rewire
import torch
from golden_graphs import FLOAT64, error, golden, names, network_of, packed
from rewire.nn import NeuronGraph


def edit_of(case):
    """The keyword arguments of `edit` that a case records."""

    def listed(key):
        return case[f"edit.{key}"].tolist() if f"edit.{key}" in case else []

    return {
        "add_edges": [tuple(edge) for edge in listed("add_edges")],
        "remove_edges": [tuple(edge) for edge in listed("remove_edges")],
        "add_hidden": dict.fromkeys(listed("add_hidden"), "tanh"),
        "add_inputs": listed("add_input"),
        "add_outputs": listed("add_output"),
        "remove": listed("remove_neurons"),
    }


@pytest.mark.parametrize("name", names("cx_edit_*"))
def test_edits_agree_with_connex(name):
    case = golden(name)
    before = network_of(case, "before.")
    assert error(before(case["before.x"].double()), case["before.y_f64"]) < FLOAT64
    learned = {key: value.clone() for key, value in before.state_dict().items()}
    after, changes = before.edit(**edit_of(case))
    assert after.graph.inputs == tuple(case["after.inputs"].tolist())
    assert after.graph.outputs == tuple(case["after.outputs"].tolist())
    expected_edges = case["after.edges"].tolist()
    assert set(after.graph.edges) == set(map(tuple, expected_edges))

    # Into the order of the edited network's own neurons and edges.
    neurons = case["after.neurons"].tolist()
    edges = torch.tensor([expected_edges.index(list(edge)) for edge in after.graph.edges])
    order = torch.tensor([neurons.index(name) for name in after.graph.neurons])
    assert torch.equal(changes.edges < 0, case["after.edge_is_new"].bool()[edges])
    assert torch.equal(changes.neurons < 0, case["after.neuron_is_new"].bool()[order])
    expected = packed(case, after, prefix="after.")
    for key, places in (("weight", edges), ("bias", order), ("gain", order), ("rate", order)):
        expected[key] = expected[key][places]

    own = dict(after.named_parameters())
    assert own.keys() == expected.keys()
    for key, parameter in own.items():
        survives = changes.parameters[key] >= 0
        assert torch.equal(parameter[..., survives], expected[key][..., survives].double()), key
        # What the record made afresh is nothing that was there before.
        fresh = expected[key][..., ~survives]
        if key not in ("gain", "rate", "bias"):  # of inputs and outputs: constants
            assert not torch.isin(fresh.double(), learned[key]).any(), key
        with torch.no_grad():
            parameter.copy_(expected[key])
    assert error(after(case["after.x"].double()), case["after.y_f64"]) < FLOAT64
    assert all(torch.equal(value, learned[key]) for key, value in before.state_dict().items())


GRAPH = rewire.Graph(
    [("x", "h"), ("x", "i"), ("h", "i"), ("i", "y"), ("h", "y")], ["x"], ["y"], activation="tanh"
)


@pytest.mark.parametrize(
    "optimizer, options, moments",
    [
        (torch.optim.SGD, {"momentum": 0.9, "lr": 0.1}, ["momentum_buffer"]),
        (torch.optim.Adam, {"amsgrad": True}, ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
    ],
)
def test_an_optimiser_is_carried_over(optimizer, options, moments):
    net = NeuronGraph(GRAPH)
    other = torch.nn.Linear(1, 1)
    carried = optimizer([*net.parameters(), *other.parameters()], **options)
    x = torch.randn(6, 1)
    for _ in range(3):
        carried.zero_grad()
        net(other(x)).square().sum().backward()
        carried.step()
    old = {key: carried.state[net.weight][key].clone() for key in moments}
    of_other = carried.state[other.weight]
    new, changes = net.edit(add_edges=[("x", "y")], remove_edges=[("h", "i")], add_hidden=["j"])
    assert rewire.optim.carry(carried, net, new, changes) is carried
    assert changes.edges.tolist() == [0, 1, 3, 4, -1]
    assert changes.neurons.tolist() == [*range(4), -1]
    params = carried.param_groups[0]["params"]
    expected = [*new.parameters(), *other.parameters()]
    assert all(a is b for a, b in zip(params, expected, strict=True))
    for key in moments:
        state = carried.state[new.weight][key]
        assert torch.equal(state[:4], old[key][[0, 1, 3, 4]]) and state[4] == 0
        assert carried.state[new.bias][key][-1] == 0
    assert carried.state[other.weight] is of_other
    assert net.weight not in carried.state
    before = new.weight.clone()
    carried.zero_grad()
    new(other(x)).square().sum().backward()
    carried.step()
    assert (new.weight != before).all()


def test_training_goes_on_where_it_was():
    """An edit that changes nothing: the next steps are the same, bit for bit."""
    results = []
    for edited in (False, True):
        torch.manual_seed(0)
        net = NeuronGraph(GRAPH)
        optimizer = torch.optim.Adam(net.parameters())
        x = torch.randn(6, 1)
        for step in range(6):
            if edited and step == 3:
                new, changes = net.edit(add_edges=[("x", "h")], remove_edges=[("x", "y")])
                optimizer = rewire.optim.carry(optimizer, net, new, changes)
                net = new
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
        results.append(net.weight)
    assert torch.equal(*results)


def test_an_activation_s_own_parameters_are_shared():
    prelu = torch.nn.PReLU()
    net = NeuronGraph(rewire.Graph([("x", "h"), ("h", "y")], ["x"], ["y"], activation=prelu))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(3, 1)).sum().backward()
    optimizer.step()
    moment = optimizer.state[prelu.weight]["exp_avg"]
    new, changes = net.edit(add_edges=[("x", "y")])
    rewire.optim.carry(optimizer, net, new, changes)
    assert optimizer.state[prelu.weight]["exp_avg"] is moment
    assert sum(p is prelu.weight for p in optimizer.param_groups[0]["params"]) == 1


def test_new_neurons_have_the_graph_s_activation_or_their_own():
    assert NeuronGraph(GRAPH).edit(add_hidden=["j"])[0].graph.activations[-1] == "tanh"
    new, _ = NeuronGraph(GRAPH).edit(add_hidden={"j": "selu"})
    assert new.graph.activations == [None, "tanh", "tanh", "linear", "selu"]
    assert new.edit(add_hidden=["k"])[0].graph.activations[-2:] == ["selu", "relu"]


def test_options_live_on():
    net = NeuronGraph(GRAPH, dropout={"h": 0.5, "i": 1.0}, keep=4).double().eval()
    new, _ = net.edit(remove=["i"])
    assert new.dropout == {"h": 0.5} and new.keep == 2 and not new.training
    assert new.weight.dtype == torch.float64


@pytest.mark.parametrize(
    "message, edit",
    [
        ("NeuronGraph.edit: no neuron 'q', of edge ('x', 'q')", {"add_edges": [("x", "q")]}),
        ("NeuronGraph.edit: no neuron 'q', of edge ('q', 'y')", {"remove_edges": [("q", "y")]}),
        ("NeuronGraph.edit: neurons to remove are not there: 'q'", {"remove": ["q"]}),
        ("NeuronGraph.edit: neuron 'h' is there already", {"add_hidden": ["h"]}),
        ("Graph: the graph has a cycle: 'i' -> 'h' -> 'i'", {"add_edges": [("i", "h")]}),
        ("Graph: input 'x' has incoming edges, from 'h'", {"add_edges": [("h", "x")]}),
        ("Graph: inputs and outputs must be non-empty", {"remove": ["y"]}),
    ],
)
def test_edits_that_are_refused(message, edit):
    with pytest.raises(ValueError) as caught:
        NeuronGraph(GRAPH).edit(**edit)
    found = str(caught.value)
    assert found == message or found == message.replace("'i' -> 'h' -> 'i'", "'h' -> 'i' -> 'h'")
