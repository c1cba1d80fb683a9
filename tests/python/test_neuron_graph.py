"""Networks of single neurons against the recorded results of Freewire and connex."""

import copy
import pickle

import pytest
import rewire
import torch
from golden_graphs import FLOAT32, FLOAT64, error, golden, graph_of, names, network_of, packed
from rewire.nn import NeuronGraph
from torch import nn
from torch.nn import functional

DTYPES = {torch.float32: "", torch.float64: "_f64"}
FREEWIRE = names("fw_*")
CONNEX = [
    name for name in names("cx_*") if not name.startswith("cx_edit") and "dropout" not in name
]


def tolerance(net, dtype, gradients=False):
    if dtype == torch.float64:
        return FLOAT64
    attention = "attention" if net.attention else "plain"
    if gradients:
        return FLOAT32["attention gradients" if net.attention else "gradients"]
    return FLOAT32[attention]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FREEWIRE)
def test_agrees_with_freewire(name, dtype):
    case, suffix = golden(name), DTYPES[dtype]
    net = network_of(case, dtype=dtype)
    assert [*net.graph.levels.values()] == case["level"].tolist()
    x = case["x"].to(dtype).requires_grad_()
    y = net(x)
    assert error(y, case[f"y{suffix}"]) < tolerance(net, dtype)
    assert error(net.values(x), case[f"values{suffix}"]) < tolerance(net, dtype)
    losses = {"mse": functional.mse_loss, "ce": functional.cross_entropy}
    for kind in [kind for kind in losses if f"{kind}.target" in case]:
        target = case[f"{kind}.target"]
        loss = losses[kind](y, target.to(dtype) if kind == "mse" else target)
        assert error(loss, case[f"{kind}.loss{suffix}"]) < tolerance(net, dtype)
        tensors = {"weight": net.weight, "bias": net.bias, "x": x}
        grads = torch.autograd.grad(loss, list(tensors.values()), retain_graph=True)
        for key, grad in zip(tensors, grads):
            assert error(grad, case[f"{kind}.grad_{key}{suffix}"]) < tolerance(net, dtype)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", FREEWIRE)
def test_trains_as_freewire(name, optimizer):
    case = golden(name)
    if f"{optimizer}.weight_f64" not in case:
        pytest.skip("no training is recorded")
    net = network_of(case)
    kinds = {"sgd": (torch.optim.SGD, 0.01), "adam": (torch.optim.Adam, 1e-3)}
    kind, lr = kinds[optimizer]
    stepping = kind(net.parameters(), lr=lr)
    losses = []
    for x, target in zip(case["train.x"].double(), case["train.target"]):
        y = net(x)
        loss = (
            functional.cross_entropy(y, target)
            if int(case["train.loss_kind"])
            else functional.mse_loss(y, target.double())
        )
        losses.append(loss.detach())
        stepping.zero_grad()
        loss.backward()
        stepping.step()
    assert error(torch.stack(losses), case[f"{optimizer}.losses_f64"]) < FLOAT64
    assert error(net.weight, case[f"{optimizer}.weight_f64"]) < FLOAT64
    assert error(net.bias, case[f"{optimizer}.bias_f64"]) < FLOAT64


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONNEX)
def test_agrees_with_connex(name, dtype):
    case, suffix = golden(name), DTYPES[dtype]
    net = network_of(case, dtype=dtype)
    x = case["x"].to(dtype).requires_grad_()
    y = net(x)
    assert error(y, case[f"y{suffix}"]) < tolerance(net, dtype)
    assert error(net.values(x), case[f"values{suffix}"]) < tolerance(net, dtype)
    loss = (y - case["target"].to(dtype)).square().mean()
    assert error(loss, case[f"loss{suffix}"]) < tolerance(net, dtype)
    loss.backward()
    assert error(x.grad, case[f"grad_x{suffix}"]) < tolerance(net, dtype, gradients=True)
    expected = packed(case, net, "grad.", suffix=suffix)
    found = dict(net.named_parameters())
    assert found.keys() == expected.keys()
    for key, parameter in found.items():
        assert error(parameter.grad, expected[key]) < tolerance(net, dtype, gradients=True), key


def test_dropout_with_the_recorded_mask():
    case = golden("cx_random_dropout")
    net = network_of(case)
    net.set_dropout(dict(zip(net.graph.neurons, case["dropout_p"].tolist())))
    draws = torch.where(case["keep_mask"], 1.0, 0.0)  # above every probability, or below
    original, torch.rand = torch.rand, lambda *size, **options: draws
    try:
        y = net(case["x"].double())
    finally:
        torch.rand = original
    assert error(y, case["y_f64"]) < FLOAT64


def test_dropout_that_is_certain_or_off():
    case = golden("cx_random_dropout_certain")
    net = network_of(case)
    net.set_dropout(dict(zip(net.graph.neurons, case["dropout_p"].tolist())))
    x = case["x"].double()
    assert error(net(x), case["y_f64"]) < FLOAT64
    without = network_of(case)(x)
    assert error(without, case["y_f64"]) > 1e-3
    assert torch.equal(net.eval()(x), without)
    net.train().set_dropout(None)
    assert torch.equal(net(x), without)


def test_worked_example():
    """Spec: train, add two edges and remove a neuron, train on with a new optimiser."""
    case = golden("cx_worked_example")
    net = network_of(case)
    x, target = case["x"].double(), case["target"].double()

    def train(net, steps, optimizer):
        losses = []
        for _ in range(steps):
            loss = (net(x) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = train(net, 10, optimizer)
    for key in ("weight", "bias"):
        assert error(getattr(net, key), case[f"train10.{key}_f64"]) < 1e-9
    losses = torch.cat([losses, train(net, 990, optimizer)])
    assert error(losses, case["train.losses_f64"]) < 1e-6
    assert error(net(x), case["train.y_f64"]) < 1e-6

    new, changes = network_of(case).edit(add_edges=[(1, 6), (2, 11)], remove=[9])
    assert (changes.edges[-2:] == -1).all() and (changes.edges[:-2] >= 0).all()
    with torch.no_grad():
        new.weight[new.edge(1, 6)], new.weight[new.edge(2, 11)] = 0.05, -0.07
    assert [new.graph.levels[n] for n in case["edit.neurons"].tolist()] == case[
        "edit.level"
    ].tolist()
    places = [new.edge(*edge) for edge in case["edit.edges"].tolist()]
    assert error(new.weight[places], case["edit.weight_f64"]) < 1e-8
    assert error(new(x), case["edit.y_f64"]) < 1e-8
    losses = train(new, 100, torch.optim.Adam(new.parameters(), lr=1e-3))
    assert error(losses, case["edit.train.losses_f64"]) < 1e-6


@pytest.mark.parametrize("options", [{"keep": 60}, {"fan_in": 2}])
def test_learned_wiring_is_that_of_the_effective_weight(options):
    case = golden("cx_random_plain")
    net = NeuronGraph(graph_of(case), **options).double()
    with torch.no_grad():
        net.weight.copy_(case["weight"])
    x = case["x"].double()
    used = net.used_edges()
    if "keep" in options:
        smallest_kept, largest_left = net.weight[used].abs().min(), net.weight[~used].abs().max()
        assert used.sum() == 60 and smallest_kept > largest_left
    else:
        _, targets = zip(*net.graph.edges)
        for target in set(targets):
            own = torch.tensor([t == target for t in targets])
            kept, left = net.weight[own & used].abs(), net.weight[own & ~used].abs()
            assert len(kept) == min(2, own.sum())
            assert len(left) == 0 or kept.min() > left.max()
    net(x).square().sum().backward()
    plain = NeuronGraph(net.graph).double()
    with torch.no_grad():
        plain.weight.copy_(torch.where(used, net.weight, 0))
        plain.bias.copy_(net.bias)
    torch.testing.assert_close(plain(x), net(x))
    plain(x).square().sum().backward()
    torch.testing.assert_close(net.weight.grad, plain.weight.grad)  # to edges not in use too
    assert (net.weight.grad[~used] != 0).any()


def test_one_layer_is_a_layer():
    """The k strongest of a bipartite graph are those that `select` keeps of the same matrix."""
    edges = [(f"x{u}", f"y{v}") for v in range(5) for u in range(7)]
    graph = rewire.Graph(edges, [f"x{u}" for u in range(7)], [f"y{v}" for v in range(5)])
    net = NeuronGraph(graph, keep=11)
    x = torch.randn(4, 7)
    matrix = net.weight.detach().view(5, 7).clone().requires_grad_()
    out = torch.ops.rewire.wired_linear(
        x, matrix, net.bias[-5:], *torch.ops.rewire.select(matrix, 11)[:5]
    )
    torch.testing.assert_close(net(x), out)
    net(x).square().sum().backward()
    out.square().sum().backward()
    torch.testing.assert_close(net.weight.grad.view(5, 7), matrix.grad)


def test_level_by_level_is_the_same():
    """With callables in the place of names, and with nothing done between levels."""
    case = golden("fw_random_mixed")
    net = network_of(case)
    x = case["x"].double()
    between = NeuronGraph(net.graph, between=lambda level, values: values).double()
    between.load_state_dict(net.state_dict())
    assert between.levels is not None and net.levels is None
    torch.testing.assert_close(between(x), net(x))
    doubled = NeuronGraph(net.graph, between=lambda level, values: values * 2).double()
    doubled.load_state_dict(net.state_dict())
    assert (doubled(x) - net(x)).abs().max() > 0.1


def test_an_activation_may_be_a_module():
    edges = [("x", "a"), ("x", "b"), ("a", "y"), ("b", "y")]
    prelu = torch.nn.PReLU()
    callable_graph = rewire.Graph(edges, ["x"], ["y"], activation=prelu)
    named = rewire.Graph(edges, ["x"], ["y"], activation="leaky_relu")
    with torch.no_grad():
        prelu.weight.fill_(0.01)
    net, plain = NeuronGraph(callable_graph), NeuronGraph(named)
    plain.load_state_dict(net.state_dict(), strict=False)
    x = torch.randn(5, 1)
    torch.testing.assert_close(net(x), plain(x))
    assert any(parameter is prelu.weight for parameter in net.parameters())
    shrinking = rewire.Graph(edges, ["x"], ["y"], activation=lambda s: s.sum(-1))
    with pytest.raises(ValueError, match=r"an activation must keep the shape \[5, 2\], got \[5\]"):
        NeuronGraph(shrinking)(x)


def test_is_copied_pickled_and_loaded():
    case = golden("cx_layered_all_options")
    net = network_of(case, dtype=torch.float32)
    x = case["x"]
    expected = net(x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x), expected)
    fresh = NeuronGraph(net.graph, norm=True, attention="both", adaptive=True)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh(x), expected)


@pytest.mark.parametrize("shape", [(), (2, 3), (0,)])
def test_takes_any_leading_dimensions(shape):
    net = network_of(golden("fw_densenet"))
    x = torch.randn(*shape, 6, dtype=torch.float64)
    y = net(x)
    assert y.shape == (*shape, 3)
    flat = [net(one[None])[0] for one in x.reshape(-1, 6)]
    assert all(torch.equal(a, b) for a, b in zip(y.reshape(-1, 3), flat, strict=True))


@pytest.mark.parametrize("options", [{"keep": 20}, {"fan_in": 2}])
def test_edges_not_in_use_have_a_gradient_and_give_none_to_activations(options):
    graph = rewire.graphs.dense_mlp(3, 2, 4, 2, activation="tanh")
    folded = NeuronGraph(graph, adaptive=True, **options).double()
    for parameter in (folded.gain, folded.rate):
        nn.init.uniform_(parameter, 0.5, 2)
    by_level = NeuronGraph(graph, adaptive=True, between=lambda _, v: v, **options).double()
    by_level.load_state_dict(folded.state_dict())
    x = torch.randn(5, 3, dtype=torch.float64)
    grads = {}
    for net in (folded, by_level):
        net(x).square().sum().backward()
        grads[net] = [net.weight.grad, net.bias.grad, *map(net.of_hidden, (net.gain.grad, net.rate.grad))]
    torch.testing.assert_close(grads[folded], grads[by_level])
    assert (folded.weight.grad[~folded.used_edges()] != 0).any()


def test_a_draw_of_0_drops_nothing_where_there_is_no_dropout(monkeypatch):
    graph = rewire.Graph([("x", "h"), ("h", "y")], inputs=["x"], outputs=["y"])
    net = NeuronGraph(graph, dropout={"h": 0.5})
    x = torch.ones(4, 1)
    monkeypatch.setattr(torch, "rand", lambda *size, device: torch.zeros(*size, device=device))
    values = net.values(x)[:, [graph.index["x"], graph.index["y"]]]
    with torch.no_grad():
        net.bias[graph.index["y"]] += 1
    assert (values[:, 0] == 1).all() and (net.values(x)[:, graph.index["y"]] == values[:, 1] + 1).all()


OPTIONS = [{}, {"keep": 60}, {"fan_in": 2}, {"adaptive": True}, {"norm": True, "attention": "both"}]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS)
def test_compiles_and_exports(options):
    graph = rewire.graphs.random_dag(5, 30, 3, 150, output_transform="softmax")
    net = NeuronGraph(graph, **options)
    x = torch.randn(7, 5)
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), net(x))
    weights = [p for p in net.parameters() if p is not net.bias]
    grads = [torch.autograd.grad(f(x)[:, 0].sum(), weights) for f in (compiled, net)]
    torch.testing.assert_close(*grads)
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(exported(x), net(x))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("options", OPTIONS)
def test_a_trace_takes_any_batch_and_learns(options, tmp_path):
    graph = rewire.graphs.random_dag(5, 30, 3, 150, output_transform="softmax")
    net = NeuronGraph(graph, **options)
    torch.jit.trace(net, torch.randn(2, 5)).save(tmp_path / "net.pt")
    traced = torch.jit.load(tmp_path / "net.pt")
    x = torch.randn(7, 5)
    with torch.no_grad():
        assert torch.equal(traced(x), net(x))
    for run in (net, traced):
        run(x)[:, 0].sum().backward()
    assert torch.equal(traced.weight.grad, net.weight.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_summed_in_float32(dtype):
    net = network_of(golden("fw_densenet"), dtype=dtype)
    x = golden("fw_densenet")["x"].to(dtype)
    wide = network_of(golden("fw_densenet"), dtype=torch.float32)
    wide.load_state_dict(net.state_dict())
    assert net(x).dtype == dtype
    assert torch.equal(net(x), wide(x.float()).to(dtype))


def test_inputs_have_no_bias():
    net = NeuronGraph(rewire.Graph([("x", "y")], ["x"], ["y"]), init="connex")
    assert net.bias[net.graph.index["x"]] == 0 and net.bias[net.graph.index["y"]] != 0
    net(torch.randn(3, 1)).sum().backward()
    assert net.bias.grad.tolist() == [0, 3]


GRAPH = rewire.Graph([("x", "h"), ("h", "y")], ["x"], ["y"])


@pytest.mark.parametrize(
    "kind, message, options",
    [
        (ValueError, "expected keep in [0, 2], got 3", {"keep": 3}),
        (ValueError, "expected fan_in of at least 0, got -1", {"fan_in": -1}),
        (ValueError, "expected keep or fan_in, got both", {"keep": 1, "fan_in": 1}),
        (
            ValueError,
            "expected attention None, 'level', 'neuron' or 'both', got 'all'",
            {"attention": "all"},
        ),
        (
            ValueError,
            "expected init of he, uniform, self_normalized, connex, xavier, got 'zero'",
            {"init": "zero"},
        ),
        (ValueError, "expected dropout in [0, 1], got 1.5", {"dropout": 1.5}),
        (ValueError, "expected dropout of neuron 'h' in [0, 1], got -1", {"dropout": {"h": -1}}),
        (ValueError, "dropout of neuron 'z', which is not there", {"dropout": {"z": 0.5}}),
        (TypeError, "dropout of neuron 'h' is no number: 'half'", {"dropout": {"h": "half"}}),
        (
            TypeError,
            "expected dropout as a number or a mapping from neurons to numbers, got list",
            {"dropout": [0.5]},
        ),
    ],
)
def test_options_out_of_range(kind, message, options):
    with pytest.raises(kind) as caught:
        NeuronGraph(GRAPH, **options)
    assert str(caught.value) == f"NeuronGraph: {message}"


def test_an_input_of_the_wrong_length():
    with pytest.raises(ValueError) as caught:
        NeuronGraph(GRAPH)(torch.ones(4, 2))
    message = "NeuronGraph: expected input of shape [*, inputs = 1], got [4, 2]"
    assert str(caught.value) == message


def test_default_device_is_that_of_the_parameters():
    """Wiring is found on the CPU, also where new tensors are made elsewhere."""
    with torch.device("meta"):
        graph = rewire.graphs.random_dag(3, 5, 2, 12)
        net = NeuronGraph(graph, dropout=0.5, norm=True)
        new, _ = net.edit(add_hidden=["h"], add_edges=[(0, "h")])
        numbers = graph.numbers(graph.outputs)
    for one in (net, new):
        tensors = [*one.parameters(), *one.buffers()]
        assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert {graph.level.device.type, numbers.device.type} == {"cpu"}
    assert graph.edges == rewire.graphs.random_dag(3, 5, 2, 12).edges
