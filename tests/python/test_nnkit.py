"""What NNKit offers, against its recorded results; where it is wrong, against the mathematics."""

import pytest
import rewire
import torch
from golden_graphs import error, golden
from rewire.nn import BatchNorm
from rewire.nn.functional import (
    huber_loss,
    l1_loss,
    l2_loss,
    l2_penalty,
    probability_cross_entropy,
)
from rewire.optim import AveragedSGD, UncorrectedAdam
from torch import nn
from torch.nn import functional

TOLERANCE = 5e-6  # of the largest entry; what is recorded is float32


@pytest.mark.parametrize(
    "name, function, given",
    [
        ("l1", l1_loss, ("prediction", "target")),
        ("l2", l2_loss, ("prediction", "target")),
        ("huber", huber_loss, ("prediction", "target")),
        ("cross_entropy", probability_cross_entropy, ("probability", "one_hot")),
    ],
)
def test_losses(name, function, given):
    case = golden("nk_losses")
    prediction, target = (case[key].double().requires_grad_() for key in given)
    loss = function(prediction, target)
    assert error(loss, case[f"{name}.loss"]) < TOLERANCE
    grads = torch.autograd.grad(loss, (prediction, target))
    for key, grad in zip(("prediction", "target"), grads, strict=True):
        assert error(grad, case[f"{name}.grad_{key}"]) < TOLERANCE


def test_the_penalty():
    case = golden("nk_losses")
    weight = case["l2_regulariser.w"].double().requires_grad_()
    penalty = l2_penalty([weight], float(case["l2_regulariser.lambda"]), len(case["prediction"]))
    assert error(penalty, case["l2_regulariser.value"]) < TOLERANCE
    penalty.backward()
    assert error(weight.grad, case["l2_regulariser.grad_w"]) < TOLERANCE


@pytest.mark.parametrize("name", ["gd", "gd_plain", "adam", "rmsprop"])
def test_optimisers(name):
    case = golden("nk_optimisers")
    parameter = case["parameter"].clone().requires_grad_()
    lr, momentum, second = case[f"{name}.settings"].tolist()
    optimizer = (
        AveragedSGD([parameter], lr, momentum)
        if name.startswith("gd")
        else UncorrectedAdam([parameter], lr, (momentum, second))
    )
    for gradient, expected in zip(case["gradients"], case[f"{name}.trace"], strict=True):
        parameter.grad = gradient
        optimizer.step()
        assert error(parameter, expected) < TOLERANCE
    assert error(optimizer.state[parameter]["average"], case[f"{name}.m"]) < TOLERANCE


def test_batch_norm():
    case = golden("nk_batch_norm")
    norm = BatchNorm(5).double()
    with torch.no_grad():
        norm.weight.copy_(case["gamma"][0])
        norm.bias.copy_(case["beta"][0])
        norm.running_mean.copy_(case["initial_average_mean"][0])
        norm.running_variance.copy_(case["initial_average_variance"][0])
    for step, (x, g) in enumerate(zip(case["x"].double(), case["g"].double(), strict=True)):
        x.requires_grad_()
        y = norm(x)
        assert error(y, case[f"step{step}.y"]) < TOLERANCE
        grads = torch.autograd.grad(y, (x, norm.weight, norm.bias), g)
        assert error(grads[0], case[f"step{step}.grad_x"]) < TOLERANCE
        assert error(grads[1], case[f"step{step}.grad_gamma"][0]) < TOLERANCE
        assert error(grads[2], case[f"step{step}.grad_beta"][0]) < TOLERANCE
        assert error(norm.running_mean, case[f"step{step}.average_mean"][0]) < TOLERANCE
        assert error(norm.running_variance, case[f"step{step}.average_variance"][0]) < TOLERANCE
    x, g = case["x"][0].double().requires_grad_(), case["g"][0].double()
    y = norm.eval()(x)
    assert error(y, case["inference.y"]) < TOLERANCE
    assert error(torch.autograd.grad(y, x, g)[0], case["inference.grad_x"]) < TOLERANCE


def classifier(case):
    """Points in the plane, three classes: 2-16-3 as a graph of neurons, tanh, softmax."""
    edges = [(f"x{i}", f"h{j}") for i in range(2) for j in range(16)]
    edges += [(f"h{j}", f"y{k}") for j in range(16) for k in range(3)]
    outputs = [f"y{k}" for k in range(3)]
    graph = rewire.Graph(
        edges, ["x0", "x1"], outputs, activation="tanh", output_transform="softmax"
    )
    net = rewire.nn.NeuronGraph(graph).double()
    with torch.no_grad():
        net.weight.copy_(torch.cat([case["w1"].flatten(), case["w2"].flatten()]))
        hidden = graph.numbers(f"h{j}" for j in range(16))
        net.bias[hidden] = case["b1"][0].double()
        net.bias[graph.numbers(outputs)] = case["b2"][0].double()
    return net


@pytest.mark.parametrize("name", ["gd", "adam"])
def test_the_classifier(name):
    """400 steps with the true gradients; the loss is the record's, step by step, to its end."""
    case = golden("nk_classifier")
    net = classifier(case)
    lr, momentum, second = case[f"published.{name}.settings"].tolist()
    optimizer = (
        AveragedSGD(net.parameters(), lr, momentum)
        if name == "gd"
        else UncorrectedAdam(net.parameters(), lr, (momentum, second))
    )
    x, target = case["x"].double(), case["target"].double()
    losses = []
    for step in range(400):
        loss = probability_cross_entropy(net(x), target)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            first, second_layer = net.weight.grad.split([32, 48])
            assert error(first.view(2, 16), case["grad_w1"]) < TOLERANCE
            assert error(second_layer.view(16, 3), case["grad_w2"]) < TOLERANCE
        optimizer.step()
        losses.append(loss.detach())
        if step == 4:
            first, second_layer = net.weight.split([32, 48])
            assert error(first.view(2, 16), case[f"{name}.step5.w1"]) < TOLERANCE
            assert error(second_layer.view(16, 3), case[f"{name}.step5.w2"]) < TOLERANCE
    assert error(torch.stack(losses), case[f"{name}.losses"]) < TOLERANCE


def test_dropout_and_operators_are_torch_s():
    case = golden("nk_dropout")
    keep = float(case["keep"])
    assert error(case["x"] * case["mask"] / keep, case["y"]) < TOLERANCE
    case = golden("nk_operators")
    functions = {
        "relu": torch.relu,
        "leaky_relu": functional.leaky_relu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softmax": lambda x: x.softmax(1),
    }
    for name, function in functions.items():
        x = case["x"].clone().requires_grad_()
        y = function(x)
        y.backward(case["g_in"])
        assert error(y, case[f"{name}.y"]) < TOLERANCE
        assert error(x.grad, case[f"{name}.grad_x"]) < TOLERANCE


def test_a_topology_that_differs_at_every_call():
    """Parameters last while the edges between them change from call to call."""
    weight = torch.randn(6, requires_grad=True)
    bias = torch.zeros(4, requires_grad=True)
    seen = set()
    for targets in ([2, 2, 3, 3], [3, 2, 3, 3], [2, 3, 2, 3]):
        graph = rewire.Graph(
            torch.tensor(
                [[0, targets[0]], [1, targets[1]], [0, targets[2]], [1, targets[3]]]
            ).unique(dim=0),
            inputs=[0, 1],
            outputs=[2, 3],
            neurons=range(4),
        )
        used = weight[: graph.num_edges]
        out, _ = torch.ops.rewire.neuron_graph(torch.ones(1, 2), used, bias, graph.structure())
        (grad,) = torch.autograd.grad(out.sum(), weight)
        seen.add(tuple(graph.edges))
        assert grad[: graph.num_edges].tolist() == [1.0] * graph.num_edges
    assert len(seen) == 3


def test_a_sequential_model_that_changes_and_is_kept_in_one_file(tmp_path):
    net = rewire.nn.NeuronGraph(rewire.graphs.mlp(3, 4, width=5, depth=1))
    model = nn.Sequential(net, BatchNorm(4), nn.Dropout(0.2))
    x = torch.randn(6, 3)
    model.append(nn.Softmax(1))
    model.eval()
    expected = model(x)
    torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    assert torch.equal(loaded(x), expected)
    model.pop(3)
    assert not torch.equal(model(x), expected)


@pytest.mark.parametrize(
    "message, make",
    [
        ("AveragedSGD: expected momentum in [0, 1], got 2", lambda p: AveragedSGD(p, momentum=2)),
        ("AveragedSGD: expected lr in [0, inf], got -1", lambda p: AveragedSGD(p, lr=-1)),
        (
            "UncorrectedAdam: expected beta2 in [0, 1], got 1.5",
            lambda p: UncorrectedAdam(p, betas=(0.9, 1.5)),
        ),
    ],
)
def test_settings_out_of_range(message, make):
    with pytest.raises(ValueError) as caught:
        make([torch.zeros(1, requires_grad=True)])
    assert str(caught.value) == message


def test_batch_norm_refuses_other_shapes():
    with pytest.raises(ValueError) as caught:
        BatchNorm(3)(torch.ones(2, 4))
    message = "BatchNorm: expected input of shape [batch, features = 3], got [2, 4]"
    assert str(caught.value) == message


def test_cross_entropy_of_what_does_not_occur_is_0():
    probability = torch.tensor([[1.0, 0.0], [0.5, 0.5]], requires_grad=True)
    loss = probability_cross_entropy(probability, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(0.5).log() / -2)
    assert probability.grad.tolist() == [[-0.5, 0], [0, -1]]
