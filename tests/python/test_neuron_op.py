"""Graphs of neurons as torch sees them: opcheck, gradients, compiling, scripting, structure that
changes between calls."""

import pytest
import torch
from gpu import DEVICES
from torch._dynamo.testing import CompileCounterWithBackend
from torch.library import opcheck

ops = torch.ops.rewire

RELU, SIGMOID, SOFTMAX, TANH = 1, 4, 5, 7


def structure(sources, targets, activations, inputs, outputs, device="cpu"):
    """The ten tensors that neuron_graph takes."""
    ends = [
        torch.as_tensor(ends, dtype=torch.int64) for ends in (sources, targets, inputs, outputs)
    ]
    activations = torch.tensor(activations)
    levels, cycle = ops.neuron_levels(ends[0], ends[1], len(activations), ends[2])
    assert (cycle < 0).all()
    return [
        part.to(device)
        for part in ops.neuron_structure(ends[0], ends[1], levels, activations, *ends[2:])
    ]


def small(device="cpu"):
    """0 and 1 are inputs; 2 and 3 are hidden; 4 and 5, a softmax, and 3 are outputs."""
    sources, targets = [0, 1, 1, 2, 0, 2, 3, 3], [2, 2, 3, 3, 4, 4, 5, 4]
    activations = [0, 0, TANH, SIGMOID, SOFTMAX, SOFTMAX]
    return structure(sources, targets, activations, [0, 1], [4, 5, 3], device)


def arguments(batch=3, dtype=torch.float64, requires_grad=True, device="cpu"):
    generator = torch.Generator().manual_seed(3)
    shapes = ((batch, 2), (8,), (6,))
    return [
        torch.randn(shape, generator=generator).to(device, dtype).requires_grad_(requires_grad)
        for shape in shapes
    ]


MASK = torch.tensor([True, False, True, True, True, False, True, True])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("batch", [3, 0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_opcheck(batch, dtype, device):
    graph, mask = small(device), MASK.to(device)
    x, weight, bias = arguments(batch, dtype, device=device)
    keep = torch.rand(batch, 6, device=device) < 0.5
    opcheck(ops.neuron_graph, (x, weight, bias, graph))
    opcheck(ops.neuron_graph, (x, weight, bias, graph, mask, keep, "kept"))
    opcheck(ops.neuron_graph, (x.t().contiguous().t(), weight, bias, graph, mask))
    detached = arguments(batch, dtype, requires_grad=False, device=device)
    opcheck(ops.neuron_graph, (*detached, graph, None, None, "all", False))


def test_opcheck_of_structure():
    sources, targets = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    opcheck(ops.neuron_levels, (sources, targets, 3, torch.tensor([0])))
    levels = torch.tensor([0, 1, 2])
    opcheck(
        ops.neuron_structure,
        (sources, targets, levels, torch.zeros(3).long(), torch.tensor([0]), torch.tensor([2])),
    )


def test_gradients_are_derivatives():
    graph = small()
    keep = torch.rand(3, 6, generator=torch.Generator().manual_seed(1)) < 0.7
    for mask, kept, gradient in ((None, None, "all"), (None, keep, "all"), (MASK, None, "kept")):
        assert torch.autograd.gradcheck(
            lambda *a: ops.neuron_graph(*a, graph, mask, kept, gradient)[0], arguments()
        )


def test_gradient_of_a_mask_goes_straight_through():
    """To an edge not in use as if it were, at the values that there are without it."""
    graph = small()
    x, weight, bias = arguments()
    out = ops.neuron_graph(x, weight, bias, graph, MASK)[0]
    (found,) = torch.autograd.grad(out.square().sum(), weight)
    used = (weight.detach() * MASK).requires_grad_()
    expected = ops.neuron_graph(x, used, bias, graph)[0]
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(found, torch.autograd.grad(expected.square().sum(), used)[0])


@pytest.mark.parametrize("asking", [0, 1, 2])
def test_a_gradient_asked_for_alone_is_the_same(asking):
    graph = small()
    tensors = arguments()
    every = torch.autograd.grad(ops.neuron_graph(*tensors, graph)[0].sum(), tensors)
    alone = [t if i == asking else t.detach() for i, t in enumerate(tensors)]
    out = ops.neuron_graph(*alone, graph)[0].sum()
    assert torch.equal(torch.autograd.grad(out, alone[asking])[0], every[asking])


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_once_for_structures_that_change(backend):
    def function(x, weight, bias, graph):
        return ops.neuron_graph(x, weight, bias, graph)[0].tanh()

    torch._dynamo.reset()
    counting = CompileCounterWithBackend(backend)
    compiled = torch.compile(function, fullgraph=True, backend=counting, dynamic=True)
    other = structure(
        [0, 1, 2, 3, 4, 0, 1, 0], [2, 3, 3, 4, 5, 5, 5, 4], [0, 0, 1, 7, 4, 0], [0, 1], [5, 4, 2]
    )
    for graph, batch in ((small(), 4), (other, 4), (small(), 9)):
        tensors = arguments(batch)
        results = []
        for f in (function, compiled):
            out = f(*tensors, graph)
            results.append([out, *torch.autograd.grad(out.sum(), tensors)])
        assert all(map(torch.equal, *results))
    assert counting.frame_count == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
def test_scripts():
    def function(x, weight, bias, graph: list[torch.Tensor]):
        output, _ = torch.ops.rewire.neuron_graph(x, weight, bias, graph)
        return output

    tensors = arguments()
    expected = function(*tensors, small())
    assert torch.equal(torch.jit.script(function)(*tensors, small()), expected)


def test_a_cycle_is_named():
    levels, cycle = ops.neuron_levels(
        torch.tensor([0, 1, 2, 3, 3]), torch.tensor([1, 2, 3, 1, 4]), 5, torch.tensor([0])
    )
    assert levels.tolist() == [0, -1, -1, -1, -1]
    assert sorted(cycle[:3].tolist()) == [1, 2, 3] and cycle[3:].tolist() == [-1, -1]
    following = {1: 2, 2: 3, 3: 1}
    assert all(following[a] == b for a, b in zip(cycle[:2].tolist(), cycle[1:3].tolist()))


def test_a_cycle_through_neurons_that_wait_for_one_another():
    """2 waits for 3, which reads 2's reader."""
    levels, cycle = ops.neuron_levels(
        torch.tensor([0, 2, 1]),
        torch.tensor([2, 1, 3]),
        4,
        torch.tensor([0]),
        torch.tensor([-1, -1, 0, 0]),
    )
    assert levels.tolist() == [0, -1, -1, -1]
    assert {n for n in cycle.tolist() if n >= 0} >= {1}


def test_large_batches_do_not_depend_on_threads():
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(20, 1000, (20_000,), generator=generator).sort().values
    sources = (torch.rand(20_000, generator=generator) * targets).long()
    graph = structure(sources, targets, [RELU] * 1000, list(range(20)), [999, 998])
    tensors = [torch.randn(300, 20), torch.randn(20_000) * 0.2, torch.randn(1000)]
    for tensor in tensors:
        tensor.requires_grad_()
    threads = torch.get_num_threads()
    results = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        out = ops.neuron_graph(*tensors, graph)[0]
        results.append([out, *torch.autograd.grad(out.sum(), tensors)])
    torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


@pytest.mark.parametrize(
    "message, change",
    [
        ("expected state of shape [2, 6, 16], got [2, 5, 16]", {"state": torch.zeros(2, 5, 16)}),
        (
            "expected state of dtype Double, got Float",
            {"state": torch.zeros(2, 6, 16, dtype=torch.float32)},
        ),
        (
            "expected grad_output of shape [batch, outputs = 3], got [3, 2]",
            {"grad_output": torch.zeros(3, 2)},
        ),
        ("expected gradient `all` or `kept`, got `some`", {"gradient": "some"}),
    ],
)
def test_backward_refuses_what_forward_did_not_give(message, change):
    x, weight, bias = arguments(requires_grad=False)
    graph = small()
    output, state = ops.neuron_graph(x, weight, bias, graph)
    given = {"grad_output": output, "state": state, "gradient": "all", **change}
    for key in ("grad_output", "state"):
        if given[key].dtype == torch.float32 and "dtype" not in message:
            given[key] = given[key].double()
    with pytest.raises(RuntimeError) as caught:
        ops.neuron_graph_backward(
            given["grad_output"],
            weight,
            graph,
            given["state"],
            None,
            given["gradient"],
            2,
            True,
            True,
        )
    assert str(caught.value).splitlines()[0] == f"neuron_graph_backward: {message}"


def test_backward_has_no_derivative():
    x, weight, bias = arguments()
    out = ops.neuron_graph(x, weight, bias, small())[0]
    (grad,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="neuron_graph can be differentiated once"):
        grad.sum().backward()


def test_a_transpose_that_is_none_is_refused():
    x, weight, bias = arguments()
    graph = small()
    graph[8] = graph[8].flip(0)
    out = ops.neuron_graph(x, weight, bias, graph)[0]
    with pytest.raises(RuntimeError, match=r"expected order\[0\] to be the place of the edge"):
        out.sum().backward()
