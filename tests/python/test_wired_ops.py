"""Layers whose edges are data, as torch sees them: opcheck, gradients, compiling and scripting."""

import pytest
import torch
from torch.library import opcheck

from gpu import needs_gpu

ops = torch.ops.rewire

# Scripting is in maintenance; torch says so at each use.
ignore_script_warning = pytest.mark.filterwarnings(
    "ignore:`torch.jit.*` is deprecated:DeprecationWarning"
)

LAYOUTS = ("contiguous", "permuted", "empty", "half", "one element")


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def layer(layout="contiguous", lines=False):
    """Input, values, candidates, bias and structure of a layer of 6 to 4 channels."""
    out, channels = (1, 1) if layout == "one element" else (4, 6)
    weight = drawn(out, channels, seed=1)
    structure = ops.select(weight, max(1, weight.numel() // 3))[:5]
    batch = {"empty": 0, "one element": 1}.get(layout, 3)
    x = drawn(batch, 5, channels, seed=2) if lines else drawn(batch, channels, 2, 3, seed=2)
    if layout == "one element":
        x = x[..., :1, :] if lines else x[..., :1, :1]
    if layout == "permuted":
        x = x.transpose(0, -1).contiguous().transpose(0, -1)
    floating = [x, drawn(structure[1].numel(), seed=3), weight, drawn(out, seed=4)]
    if layout == "half":
        floating = [t.half() for t in floating]
    return [t.requires_grad_() for t in floating], structure


@pytest.mark.parametrize("execution", ["sparse", "dense"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck_layers(layout, execution):
    for lines, sparse, wired in (
        (True, ops.sparse_linear, ops.wired_linear),
        (False, ops.sparse_pointwise, ops.wired_pointwise),
    ):
        (x, values, weight, bias), structure = layer(layout, lines)
        for b in (None, bias):
            opcheck(sparse, (x, values, b, *structure, execution))
            for gradient in ("all", "kept"):
                opcheck(wired, (x, weight, b, *structure, gradient, execution))
            rates = torch.ones_like(weight[:, 0]).detach()
            rates[::2] = 0
            opcheck(wired, (x, weight, b, *structure, "candidates", execution, rates))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck_parts(layout):
    (x, values, weight, _), structure = layer(layout)
    opcheck(ops.edge_values, (weight, *structure[:2]))
    opcheck(ops.edge_matrix, (values, *structure[:2], weight.shape[1]))
    grad = torch.zeros(x.shape[0], weight.shape[0], *x.shape[2:], dtype=x.dtype, requires_grad=True)
    opcheck(ops.candidate_gradient, (grad, x, torch.ones_like(weight[:, 0]).detach()))
    opcheck(ops.candidate_gradient, (grad, x))
    for to_input, to_values in ((True, True), (True, False), (False, True)):
        opcheck(
            ops.sparse_pointwise_backward,
            (grad, x, values, *structure, to_input, to_values, "sparse"),
        )


@pytest.mark.parametrize("execution", ["sparse", "dense"])
def test_layers_can_be_differentiated_twice(execution):
    (x, values, weight, bias), structure = layer()
    for op, w, more in (
        (ops.sparse_pointwise, values, ()),
        (ops.wired_pointwise, weight, ("kept",)),
    ):
        def apply(x, w, bias):
            return op(x, w, bias, *structure, *more, execution)

        assert torch.autograd.gradcheck(apply, (x, w, bias))
        assert torch.autograd.gradgradcheck(apply, (x, w, bias))


@pytest.mark.parametrize("execution", ["sparse", "dense"])
def test_straight_through_gradients_can_be_differentiated(execution):
    (x, _, weight, bias), structure = layer()
    rates = torch.arange(float(weight.shape[0]), dtype=weight.dtype)
    for more in (("all", execution), ("candidates", execution, rates)):
        def apply(x, w, bias):
            return ops.wired_pointwise(x, w, bias, *structure, *more)

        assert torch.autograd.gradgradcheck(apply, (x, weight, bias))
    grad = drawn(x.shape[0], weight.shape[0], *x.shape[2:], seed=9)
    for arguments in ((grad, x, rates), (grad, x)):
        assert torch.autograd.gradcheck(ops.candidate_gradient, arguments)
        assert torch.autograd.gradgradcheck(ops.candidate_gradient, arguments)


@pytest.mark.parametrize("layout", ["contiguous", "permuted"])
def test_candidates_of_rate_0_take_no_part_in_derivatives(layout):
    (x, _, weight, _), _ = layer(layout)
    x = x.detach().clone()
    x[0, 0] = float("inf")
    grad = torch.ones(x.shape[0], weight.shape[0], *x.shape[2:], dtype=x.dtype)
    grad[:, 0] = float("nan")
    rates = torch.ones_like(weight[:, 0]).detach()
    rates[0] = 0
    x.requires_grad_(), grad.requires_grad_()
    found = ops.candidate_gradient(grad, x, rates)
    assert (found[0] == 0).all() and found[1:, 1:].isfinite().all()
    to_grad, to_x = torch.autograd.grad(found[:, 1:].sum(), (grad, x))
    assert (to_grad[:, 0] == 0).all() and to_x.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("places", [1, 5, 64])
def test_dense_execution_of_maps_does_not_depend_on_threads(dtype, places):
    channels = 70
    x = drawn(9, channels, places, seed=1).to(dtype)
    weight = drawn(channels, channels, seed=2).to(dtype)
    grad = drawn(9, channels, places, seed=3).to(dtype)
    structure = ops.select(weight, 3000)[:5]

    def results(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            found = [ops.candidate_gradient(grad, x)]
            if places > 1:  # those of lines are torch's
                leaf = x.clone().requires_grad_()
                out = ops.wired_pointwise(leaf, weight, None, *structure, "all", "dense")
                found += [out.detach(), *torch.autograd.grad(out, leaf, grad)]
            return found
        finally:
            torch.set_num_threads(before)

    for one, several in zip(results(1), results(2), strict=True):
        assert torch.equal(one, several)


def test_layers_without_bias_have_gradients():
    (x, values, weight, _), structure = layer()
    for gradient in ("all", "kept"):
        ops.wired_pointwise(x, weight, None, *structure, gradient).sum().backward()
    ops.sparse_pointwise(x, values, None, *structure).sum().backward()
    assert x.grad is not None and weight.grad is not None and values.grad is not None


def blocks(layout="contiguous", norm="instance", structure=True, dtype=torch.float64):
    """Arguments of wired_blocks: three blocks over nine channels."""
    batch, size = {"empty": (0, 3), "one element": (1, 1)}.get(layout, (2, 3))
    own = 9
    x = drawn(batch, 2, size, size, seed=1)
    if layout == "permuted":
        x = x.transpose(0, 3).contiguous().transpose(0, 3)
    weight = drawn(9, 9, seed=2)
    floating = [x, weight, drawn(own, 1, 3, 3, seed=3), drawn(own, seed=4), drawn(own, seed=5)]
    x, weight, *others = [t.to(dtype).requires_grad_() for t in floating]
    given = norm == "given"
    statistics = [drawn(own, seed=6), drawn(own, seed=7).abs() + 0.5] if given else [None, None]
    statistics = [t if t is None else t.to(dtype) for t in statistics]
    edges = list(ops.select(weight.detach(), 40)[:5]) if structure else []
    return [x, weight, edges, *others, *statistics, [2, 5, 9], [2, 5, 7], norm]


@pytest.mark.parametrize("norm", ["instance", "batch", "given"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck_blocks(layout, norm):
    if layout == "one element" and norm != "given":
        pytest.skip("one number has no deviation: its gradient is a difference of infinities")
    if layout == "empty" and norm == "batch":
        pytest.skip("the mean of no images is NaN, which opcheck takes for a difference")
    dtype = torch.float16 if layout == "half" else torch.float64
    for structure in (True, False):
        arguments = blocks(layout, norm, structure, dtype)
        opcheck(ops.wired_blocks, (*arguments, 1e-5, "all", "sparse"))
        rates = torch.ones_like(arguments[1][:, 0]).detach()
        opcheck(ops.wired_blocks, (*arguments, 1e-5, "candidates", "sparse", rates))
    x = torch.rand(2, 3, 5, 4, dtype=dtype, requires_grad=True)
    entry = [x, *blocks("contiguous", norm, True, dtype)[1:]]
    entry[8:10] = [2, 6], [2, 6]  # 3 + 6 of 9 columns
    opcheck(ops.wired_blocks, (*entry, 1e-5, "kept", "sparse", None, 2))
    alone = [t.detach() if isinstance(t, torch.Tensor) else t for t in entry]
    opcheck(ops.wired_blocks, (*alone, 1e-5, "all", "sparse", None, 2, False))


def test_candidates_of_half_type_do_not_overflow_at_edges():
    weight = torch.ones(1, 2, dtype=torch.float16, requires_grad=True)
    x = torch.tensor([[100.0, 100.0]], dtype=torch.float16)
    edges = ops.select(torch.tensor([[2.0, 1.0]]), 1)[:5]
    rates = torch.tensor([10.0], dtype=torch.float16)
    out = ops.wired_linear(x, weight, None, *edges, "candidates", "sparse", rates)
    out.backward(torch.full_like(out, 100))
    assert weight.grad[0, 0] == 10000


def test_blocks_backward_refuses_what_forward_would():
    x, weight, edges, *rest = blocks()
    _, mean, variance, state = ops.wired_blocks(x, weight, edges, *rest, 1e-5, "all", "sparse")
    depthwise, norm_weight, norm_bias, _, _, ends, targets, norm = rest

    def backward(x, grad, stride=0):
        return ops.wired_blocks_backward(
            *(grad, weight, edges, depthwise, norm_weight, norm_bias, mean, variance, state, x),
            *(ends, targets, norm, 1e-5, "all", "sparse", None, stride),
        )

    grad = drawn(2, 2, 3, 3)
    backward(x, grad)
    for wrong, message in (
        ((drawn(2, 10, 3, 3), grad), r"input of shape \[batch, at most 9, height, width\]"),
        ((x[0], grad), r"input of shape \[batch, channels, height, width\]"),
        ((x.float(), grad), "input of dtype Double"),
        ((x, grad[:1]), r"grad_output of shape \[2, 2, 3, 3\]"),
        ((x[:1], grad[:1]), r"mean of shape \[1, 9\]"),
        ((x, grad, -1), "entry_stride of at least 0"),
    ):
        with pytest.raises(RuntimeError, match="wired_blocks_backward: expected " + message):
            backward(*wrong)


def test_rotating_rates_give_the_whole_gradient_in_the_mean():
    arguments = blocks()
    x, weight = arguments[:2]
    turn_of = torch.arange(weight.shape[0]) % 3

    def gradient(*last):
        out = ops.wired_blocks(*arguments, 1e-5, *last)[0]
        return torch.autograd.grad(out.square().sum(), weight)[0]

    turns = [gradient("candidates", "sparse", 3.0 * (turn_of == i).to(weight)) for i in range(3)]
    assert torch.allclose(sum(turns) / 3, gradient("all", "sparse"))
    kept = gradient("kept", "sparse")
    for i, turn in enumerate(turns):
        assert torch.allclose(turn[turn_of != i], kept[turn_of != i])


@pytest.mark.parametrize("norm", ["instance", "batch", "given"])
def test_blocks_gradient(norm):
    arguments = blocks(norm=norm)
    tensors = [arguments[i] for i in (0, 1, 3, 4, 5)]

    def apply(x, weight, depthwise, norm_weight, norm_bias):
        _, _, edges, _, _, _, *rest = arguments
        given = (x, weight, edges, depthwise, norm_weight, norm_bias, *rest)
        return ops.wired_blocks(*given, 1e-5, "kept", "sparse")[0]

    assert torch.autograd.gradcheck(apply, tensors)
    (grad,) = torch.autograd.grad(apply(*tensors).sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="wired_blocks can be differentiated once"):
        grad.sum().backward()


def test_a_network_compiles():
    x, weight, _, depthwise, norm_weight, norm_bias, *rest = blocks(dtype=torch.float32)

    def network(x, weight, depthwise, norm_weight, norm_bias):
        edges = ops.select(weight, 40)[:5]
        x = ops.wired_blocks(x, weight, list(edges), depthwise, norm_weight, norm_bias, *rest)[0]
        return ops.wired_linear(x.mean((2, 3)), weight[:3, :2], None, *ops.select(weight[:3, :2], 4)[:5])

    tensors = (x, weight, depthwise, norm_weight, norm_bias)
    expected = network(*tensors)
    expected_grads = torch.autograd.grad(expected.square().sum(), tensors)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    actual = compiled(*tensors)
    assert torch.allclose(actual, expected)
    for a, b in zip(torch.autograd.grad(actual.square().sum(), tensors), expected_grads):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@ignore_script_warning
def test_a_layer_scripts():
    (x, _, weight, bias), _ = layer()

    @torch.jit.script
    def apply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        s = torch.ops.rewire.select(weight, 8)
        return torch.ops.rewire.wired_pointwise(x, weight, bias, s[0], s[1], s[2], s[3], s[4])

    effective = ops.keep_strongest(weight, 8)
    expected = torch.einsum("vu,nuhw->nvhw", effective, x) + bias.view(-1, 1, 1)
    assert torch.allclose(apply(x, weight, bias), expected)


@pytest.mark.parametrize("execution", ["sparse", "dense"])
@pytest.mark.parametrize("name", ["sparse_linear", "sparse_pointwise", "wired_linear", "wired_pointwise"])
def test_autocast_lowers_the_layers_as_it_does_torchs_own(name, execution):
    (x, values, weight, bias), structure = layer(lines=name.endswith("linear"))
    weights = values if name.startswith("sparse") else weight
    single = [t.detach().float().requires_grad_() for t in (x, weights, bias)]
    options = {"execution": execution}

    def apply(*tensors):
        return getattr(ops, name)(*tensors, *structure, **options)

    lower = [t.detach().bfloat16().requires_grad_() for t in single]
    expected = apply(*lower)
    for first in (single[0], lower[0]):  # what comes from a layer before has its type already
        for t in single:
            t.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            result = apply(first, *single[1:])
        assert result.dtype == torch.bfloat16
        assert torch.equal(result, expected)
        result.float().square().sum().backward()
        assert single[1].grad.dtype == single[2].grad.dtype == torch.float32
    with torch.autocast("cpu", torch.float16):
        assert apply(*single).dtype == torch.float16
    double = [t.detach().double() for t in single]
    with torch.autocast("cpu", torch.bfloat16):  # as torch has it, doubles stay
        assert torch.equal(apply(*double), apply(*(t.clone() for t in double)))
        assert apply(*double).dtype == torch.float64
        compiled = torch.compile(apply, fullgraph=True, backend="aot_eager")(*single)
    assert torch.equal(compiled, expected)


def test_autocast_leaves_blocks_and_choices_in_single_precision():
    torch.manual_seed(3)
    x, weight, depthwise = torch.randn(2, 4, 6, 6), torch.randn(8, 4), torch.randn(4, 1, 3, 3)
    scale, shift = torch.rand(4) + 0.5, torch.randn(4)

    def blocks(x):
        structure = list(ops.select(weight, 13)[:5])
        return ops.wired_blocks(x, weight, structure, depthwise, scale, shift, None, None, [4], [4])

    expected = blocks(x)[:3]
    lower = x.bfloat16()
    expected_of_lower = blocks(lower.float())[:3]
    with torch.autocast("cpu", torch.bfloat16):
        for a, b in zip(blocks(x)[:3] + blocks(lower)[:3], expected + expected_of_lower, strict=True):
            assert a.dtype == torch.float32 and torch.equal(a, b)
        kept = ops.keep_strongest(weight, 13)
    assert torch.equal(kept, ops.keep_strongest(weight, 13)) and kept.dtype == torch.float32


@needs_gpu
@pytest.mark.parametrize("execution", ["sparse", "dense"])
def test_gradients_on_a_gpu(execution):
    """Those of the CPU; without waiting for the device; in a CUDA graph."""
    ends, targets = [2, 60, 100], [2, 60, 90]
    x, graph, taps, scale, shift, last = [
        drawn(*shape, seed=seed, dtype=torch.float32).requires_grad_()
        for seed, shape in enumerate(
            [(16, 2, 8, 8), (100, 100), (100, 1, 3, 3), (100,), (100,), (20, 10)]
        )
    ]

    def gradients(x, graph, taps, scale, shift, last):
        *edges, _ = ops.select(graph.detach(), 500)
        y, *_ = ops.wired_blocks(
            x, graph, edges, taps, scale, shift, None, None, ends, targets, "instance", 1e-5, "all",
            execution,
        )
        edges = ops.select(last.detach(), 50)[:5]
        y = ops.wired_pointwise(y, last, None, *edges, "kept", execution)
        return torch.autograd.grad(y.square().sum(), (x, graph, taps, scale, shift, last))

    parameters = (x, graph, taps, scale, shift, last)
    expected = gradients(*parameters)
    there = [parameter.detach().cuda().requires_grad_() for parameter in parameters]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        gradients(*there)  # cuBLAS makes itself ready
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = gradients(*there)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    stream.synchronize()
    captured_graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured_graph):
        captured = gradients(*there)
    captured_graph.replay()
    torch.cuda.synchronize()
    for results in (found, captured):
        for actual, wanted in zip(results, expected, strict=True):
            largest = wanted.abs().max()
            torch.testing.assert_close(actual.cpu() / largest, wanted / largest, rtol=0, atol=1e-4)
