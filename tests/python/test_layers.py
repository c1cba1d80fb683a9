"""Layers of few edges: values, gradients, what they are made of, and what torch does with modules."""

import copy
import doctest
import importlib
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

import rewire
from rewire.nn import DNWConv2d, DNWLinear, SparseConv2d, SparseLinear

EXECUTIONS = ["sparse", "dense", "auto"]
CONVOLUTIONS = {
    "pointwise": ((6, 8, 1), {}),
    "strided pointwise": ((6, 8, 1), {"stride": (2, 3)}),
    "without bias": ((6, 8, 1), {"bias": False}),
    "padded pointwise": ((6, 8, 1), {"padding": 1}),
    "3x3": ((6, 8, 3), {"padding": 1, "stride": 2}),
    "same": ((6, 8, (3, 5)), {"padding": "same", "dilation": 2}),
    "depthwise": ((6, 12, 3), {"groups": 6}),
    "grouped pointwise": ((6, 8, 1), {"groups": 2}),
}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def strongest(weight, keep):
    """By a sort: the lower index wins among equals."""
    order = weight.detach().abs().flatten().sort(descending=True, stable=True).indices
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[order[:keep]] = True
    return mask.view(weight.shape)


def gradients_of(run, *tensors):
    tensors = [t.detach().clone().requires_grad_() for t in tensors]
    out = run(*tensors)
    (out * drawn(*out.shape, seed=9)).sum().backward()
    return [out, *(t.grad for t in tensors)]


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("shape", [(), (5,), (2, 5), (0,)])
def test_dnw_linear_computes_its_strongest_edges_and_teaches_all(execution, shape):
    layer = DNWLinear(12, 9, density=0.3, execution=execution)
    assert layer.keep == 108 - int(0.7 * 108)
    mask = strongest(layer.weight, layer.keep)
    assert torch.equal(layer.used_edges(), mask)
    x = drawn(*shape, 12)
    out, grad_x, grad_weight, grad_bias = gradients_of(
        lambda x, w, b: functional.linear(x, w + (w * mask - w).detach(), b), x, layer.weight, layer.bias
    )
    x.requires_grad_()
    mine = layer(x)
    (mine * drawn(*mine.shape, seed=9)).sum().backward()
    torch.testing.assert_close(mine, out, check_stride=False)
    torch.testing.assert_close(x.grad, functional.linear(drawn(*out.shape, seed=9), (layer.weight * mask).t()))
    torch.testing.assert_close(layer.weight.grad, grad_weight)
    torch.testing.assert_close(layer.bias.grad, grad_bias)


def test_kept_edges_alone_learn():
    layer = DNWLinear(12, 9, density=0.3, gradient="kept")
    layer(drawn(4, 12)).sum().backward()
    assert torch.equal(layer.weight.grad != 0, layer.used_edges())


@pytest.mark.parametrize("layer", ["linear", "pointwise"])
def test_a_fraction_of_the_candidates_learns_in_turn(layer):
    def made(gradient):
        torch.manual_seed(1)
        if layer == "linear":
            return DNWLinear(12, 40, density=0.3, gradient=gradient)
        return DNWConv2d(12, 40, 1, density=0.3, gradient=gradient)

    some, every = made(0.25), made("all")
    x = drawn(6, 12) if layer == "linear" else drawn(6, 12, 3, 3)
    every(x).square().sum().backward()
    total, used = torch.zeros_like(some.weight), some.used_edges()
    for _ in range(4):
        some.weight.grad = None
        some(x).square().sum().backward()
        total += some.weight.grad / 4
        learning = (some.weight.grad != 0).logical_and(~used).flatten(1).any(1)
        assert learning.sum() == 10
    torch.testing.assert_close(total, every.weight.grad)
    some.eval().weight.grad = None
    some(x).square().sum().backward()
    torch.testing.assert_close(some.weight.grad, every.weight.grad)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("gradient", ["all", "kept"])
def test_dnw_conv2d_is_a_convolution_with_its_strongest_edges(name, gradient):
    sizes, options = CONVOLUTIONS[name]
    layer = DNWConv2d(*sizes, **options, density=0.4, gradient=gradient)
    mask = strongest(layer.weight, layer.keep)
    x = drawn(2, 6, 7, 8)
    dense = nn.Conv2d(*sizes, **options)

    def run(x, weight):
        used = weight * mask if gradient == "kept" else weight + (weight * mask - weight).detach()
        return dense._conv_forward(x, used, layer.bias)

    out, grad_x, grad_weight = gradients_of(run, x, layer.weight)
    x.requires_grad_()
    mine = layer(x)
    (mine * drawn(*mine.shape, seed=9)).sum().backward()
    torch.testing.assert_close(mine, out)
    torch.testing.assert_close(layer.weight.grad, grad_weight)
    # What flows back goes by the edges in use, whatever the candidates learn.
    (expected,) = torch.autograd.grad(
        (dense._conv_forward(x, layer.weight.detach() * mask, None) * drawn(*mine.shape, seed=9)).sum(), x
    )
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_made_sparse_and_dense(name):
    sizes, options = CONVOLUTIONS[name]
    layer = DNWConv2d(*sizes, **options, density=0.4)
    x = drawn(2, 6, 7, 8)
    sparse = layer.to_sparse()
    assert sparse.num_edges == layer.keep
    assert torch.equal(sparse.used_edges(), layer.used_edges())
    for other in (sparse, sparse.to_dense(), layer.to_dense(), SparseConv2d.from_dense(sparse.to_dense())):
        torch.testing.assert_close(other(x), layer(x))
        torch.testing.assert_close(other(x[0]), layer(x[0]))
    sparse(x).sum().backward()
    assert sparse.values.grad.abs().sum() > 0


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_no_edge_and_every_edge(density):
    for layer, dense, x in (
        (DNWLinear(5, 4, density=density), nn.Linear(5, 4), drawn(3, 5)),
        (DNWConv2d(5, 4, 1, density=density), nn.Conv2d(5, 4, 1), drawn(3, 5, 2, 2)),
        (DNWConv2d(5, 4, 2, density=density), nn.Conv2d(5, 4, 2), drawn(3, 5, 2, 2)),
    ):
        dense.load_state_dict(layer.state_dict())
        with torch.no_grad():
            dense.weight.mul_(density)
        torch.testing.assert_close(layer(x), dense(x))
        torch.testing.assert_close(layer.to_sparse()(x), dense(x))


def test_edges_by_hand():
    layer = SparseLinear.from_edges(
        [(2, 1), (0, 0), (1, 1)], 3, 2, values=torch.tensor([10.0, 1.0, 100.0]), bias=False
    )
    assert layer.edges.tolist() == [[0, 0], [1, 1], [2, 1]]
    assert layer.values.tolist() == [1, 100, 10]
    assert layer(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[1, 230]]
    assert layer.to_dense().weight.tolist() == [[1, 0, 0], [0, 100, 10]]


def test_values_begin_by_the_fan_in():
    edges = [(i, 0) for i in range(400)] + [(i, 1) for i in range(100)]
    layer = SparseLinear.from_edges(torch.tensor(edges), 400, 3)
    for values, fan_in in ((layer.values[:400], 400), (layer.values[400:], 100)):
        assert values.abs().max() <= fan_in**-0.5 and values.abs().max() > 0.9 * fan_in**-0.5
    assert layer.bias.abs()[2] <= 1
    assert SparseLinear.from_edges([], 3, 2, bias=False)(drawn(4, 3)).tolist() == [[0, 0]] * 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SparseLinear.from_edges([(0, 1), (1, 1), (0, 1)], 2, 2), r"edge \(0, 1\) comes twice"),
        (lambda: SparseLinear.from_edges([(0, 1), (2, 1)], 2, 2), r"sources in \[0, 2\), got 2 of edge 1"),
        (lambda: SparseLinear.from_edges([(0, -1)], 2, 2), r"targets in \[0, 2\), got -1 of edge 0"),
        (lambda: SparseLinear.from_edges(torch.ones(2, 2), 2, 2), r"integers \[edges, 2\], got torch.float32"),
        (lambda: SparseLinear.from_edges([(0.9, 1.7)], 2, 2), r"integers \[edges, 2\], got torch.float32"),
        (lambda: SparseLinear.from_edges(torch.ones(2, 3).int(), 2, 2), r"got torch.int32 \[2, 3\]"),
        (lambda: SparseLinear.from_edges([(0, 1)], 2, 2, values=torch.ones(2)), r"\[edges = 1\], got \[2\]"),
        (lambda: SparseLinear.from_dense(nn.Linear(3, 2), torch.ones(3, 2)), r"shape \[2, 3\], got \[3, 2\]"),
        (lambda: SparseConv2d.from_dense(nn.Conv2d(1, 1, 3, padding_mode="circular")), "zeros, got 'circular'"),
        (lambda: DNWLinear(3, 2, density=1.5), r"density in \[0, 1\], got 1.5"),
        (lambda: DNWLinear(3, 2, density=0.5, gradient="some"), "fraction in .0.001, 1., got 'some'"),
        (lambda: DNWLinear(3, 2, density=0.5, gradient=0), "fraction in .0.001, 1., got 0"),
        (lambda: DNWLinear(3, 2, density=0.5, gradient=None), "fraction in .0.001, 1., got None"),
        (lambda: DNWLinear(3, 2, density=0.5, gradient=True), "fraction in .0.001, 1., got True"),
        (lambda: DNWConv2d(3, 2, 1, density=0.5, gradient=["all"]), r"DNWConv2d: .* got \['all'\]"),
        (lambda: DNWLinear(3, 2, density=0.5, execution="fast"), "DNWLinear: expected execution"),
        (lambda: DNWConv2d(3, 2, 3, density=0.5, gradient=0.1), "computed dense, got 0.1"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def all_layers():
    linear = DNWLinear(12, 9, density=0.3, gradient=0.5)
    conv = DNWConv2d(6, 8, 3, padding=1, density=0.3)
    x, image = drawn(4, 12), drawn(4, 6, 5, 5)
    return [(linear, x), (linear.to_sparse(), x), (conv, image), (conv.to_sparse(), image)]


@pytest.mark.parametrize("number", range(4))
def test_is_copied_pickled_and_loaded(number):
    layer, x = all_layers()[number]
    expected = layer.eval()(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), expected)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    fresh = copy.deepcopy(layer)
    for tensor in fresh.state_dict().values():
        tensor.zero_()
    fresh.load_state_dict(state)
    assert torch.equal(fresh(x), expected)


@pytest.mark.parametrize("number", range(4))
def test_moves_to_float64(number):
    layer, x = all_layers()[number]
    expected = layer.eval()(x)
    wide = layer.double()(x.double())
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_compiles(number):
    layer, x = all_layers()[number]
    layer.eval()
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    parameters = list(layer.parameters())
    grads = [torch.autograd.grad(f(x).square().sum(), parameters) for f in (compiled, layer)]
    torch.testing.assert_close(*grads)


def test_a_torch_layer_keeps_its_parameters():
    linear, conv = nn.Linear(5, 4), nn.Conv2d(5, 4, 3, bias=False)
    assert DNWLinear.from_dense(linear, density=0.5).weight is linear.weight
    wired = DNWConv2d.from_dense(conv, density=0.5)
    assert wired.weight is conv.weight and wired.bias is None
    assert set(wired.state_dict()) == set(conv.state_dict())


def test_what_is_frozen_stays_so():
    for dense in (nn.Linear(5, 4), nn.Conv2d(5, 4, 3), nn.Conv2d(5, 4, 1)):
        dense.weight.requires_grad_(False)
        wired = (DNWLinear if isinstance(dense, nn.Linear) else DNWConv2d).from_dense(dense, density=0.5)
        sparse = wired.to_sparse()
        for weight, bias in (
            (wired.weight, wired.bias),
            (sparse.values, sparse.bias),
            *((other.weight, other.bias) for other in (wired.to_dense(), sparse.to_dense())),
        ):
            assert not weight.requires_grad and bias.requires_grad


@pytest.mark.parametrize("shape", [(3, 6), (6,), (2, 6, 4, 4, 4)])
@pytest.mark.parametrize("density", [0.5, 1.0])
def test_a_convolution_takes_images_alone(shape, density):
    layer = DNWConv2d(6, 8, 1, density=density)
    for one in (layer, layer.to_sparse(), nn.Conv2d(6, 8, 1)):
        with pytest.raises(RuntimeError, match=r"Expected 3D .* 4D .* input of size: \[" + str(shape[0])):
            one(drawn(*shape))


@pytest.mark.parametrize("layer", [DNWLinear, lambda *size, **wiring: DNWConv2d(*size, 1, **wiring)])
def test_what_is_fixed_is_computed_as_before(layer):
    assert layer(6, 8, density=0.5, execution="dense").to_sparse().execution == "dense"


def test_a_convolution_names_the_channels_that_it_expects():
    layer = DNWConv2d(6, 8, 1, density=0.5)
    for one in (layer, layer.to_sparse(), nn.Conv2d(6, 8, 1)):
        with pytest.raises(RuntimeError, match=r"expected input\[2, 5, 4, 4\] to have 6 channels, but got 5"):
            one(drawn(2, 5, 4, 4))


def test_says_what_it_is():
    layer = DNWLinear(100, 20, density=0.05)
    assert repr(layer) == "DNWLinear(in_features=100, out_features=20, bias=True, keep=100 (5 %), gradient='all')"
    assert repr(layer.to_sparse()) == "SparseLinear(in_features=100, out_features=20, edges=100 (5 %), bias=True)"
    conv = DNWConv2d(4, 8, 1, density=0.5, bias=False)
    assert repr(conv).endswith("bias=False, keep=16 (50 %), gradient='all')")
    assert "edges=16, bias=False" in repr(conv.to_sparse())


@pytest.mark.parametrize("module", ["nn.dnw", "sparsity"])
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"rewire.{module}"))
    assert result.attempted > 0 and result.failed == 0


def test_finds_the_wiring_of_what_it_learns_from():
    torch.manual_seed(0)
    target = SparseLinear.from_edges([(i, i % 8) for i in range(24)], 64, 8, bias=False)
    layer = rewire.nn.DNWLinear(64, 8, density=0.05)

    def found():
        return int((layer.used_edges() & target.used_edges()).sum())

    assert found() < 8
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    x = drawn(512, 64)
    for _ in range(300):
        loss = functional.mse_loss(layer(x), target(x).detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found() > 20
