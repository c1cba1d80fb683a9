"""Rules by which layers choose their edges, against the publications restated with sorts and loops."""

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
from rewire.nn import (
    EdgePopupConv2d,
    EdgePopupLinear,
    NMConv2d,
    NMLinear,
    TopKASTConv2d,
    TopKASTLinear,
    exploration_penalty,
)

RULES = {
    "edge-popup": (EdgePopupLinear, EdgePopupConv2d, {"density": 0.3}),
    "top-kast": (TopKASTLinear, TopKASTConv2d, {"density": 0.3, "backward_density": 0.45}),
    "n:m": (NMLinear, NMConv2d, {"n": 2, "m": 4, "decay": 0.1}),
}
KINDS = {
    "linear": ((16, 10), {}),
    "pointwise": ((16, 10, 1), {"stride": (2, 1)}),
    "3x3": ((8, 6, 3), {"padding": 1, "stride": 2}),
    "grouped": ((16, 6, 3), {"groups": 2}),
    "circular": ((8, 6, 3), {"padding": 1, "padding_mode": "circular", "bias": False}),
}
all_rules = pytest.mark.parametrize("rule", RULES)
all_kinds = pytest.mark.parametrize("kind", KINDS)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(rule, kind, **more):
    torch.manual_seed(3)
    linear, conv2d, options = RULES[rule]
    sizes, geometry = KINDS[kind]
    layer = (linear if kind == "linear" else conv2d)(*sizes, **geometry, **options | more)
    return layer, drawn(5, 16) if kind == "linear" else drawn(3, sizes[0], 6, 7)


def dense(layer, x, weight, bias):
    """What torch computes with a weight."""
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight, bias)
    return layer._conv_forward(x, weight, bias)


def largest(size, count):
    """By a sort: the lower index wins among equals."""
    order = size.flatten().sort(descending=True, stable=True).indices
    mask = torch.zeros(size.numel(), dtype=torch.bool)
    mask[order[:count]] = True
    return mask.view(size.shape)


def edge_popup(layer):
    """Mask, and from the gradient of the used weight those of the parameters."""
    count = layer.scores.numel()
    mask = largest(layer.scores.detach().abs(), count - int((1 - 0.3) * count))
    return mask, lambda g: {"scores": g * layer.weight * layer.scores.detach().sign()}


def top_kast(layer):
    size = layer.weight.detach().abs()
    count = size.numel()
    used = largest(size, count - int((1 - 0.3) * count))
    learns = largest(size, count - int((1 - 0.45) * count))
    assert (used & ~learns).sum() == 0 and learns.sum() > used.sum()
    return used, lambda g: {"weight": g * learns}


def n_m(layer):
    weight = layer.weight.detach()
    rows = weight.reshape(*weight.shape[:2], -1)  # [out, in, places]
    mask = torch.zeros_like(rows, dtype=torch.bool)
    for out in range(rows.shape[0]):
        for place in range(rows.shape[2]):
            for first in range(0, rows.shape[1], 4):
                group = rows[out, first : first + 4, place].abs().tolist()
                for i in sorted(range(4), key=lambda i, group=group: (-group[i], i))[:2]:
                    mask[out, first + i, place] = True
    mask = mask.view(weight.shape)
    return mask, lambda g: {"weight": g + 0.1 * (~mask) * weight}


REFERENCES = {"edge-popup": edge_popup, "top-kast": top_kast, "n:m": n_m}


@all_rules
@all_kinds
def test_a_rule_computes_and_teaches_what_is_published(rule, kind):
    layer, x = made(rule, kind)
    mask, gradients = REFERENCES[rule](layer)
    assert torch.equal(layer.used_edges(), mask) and layer.keep == mask.sum()
    assert torch.equal(layer.used_weight(), layer.weight * mask)

    used = (layer.weight.detach() * mask).requires_grad_()
    inputs = x.clone().requires_grad_()
    bias = None if layer.bias is None else layer.bias.detach().clone().requires_grad_()
    out = dense(layer, inputs, used, bias)
    (out * drawn(*out.shape, seed=9)).sum().backward()
    expected = gradients(used.grad)
    if layer.bias is not None and rule != "edge-popup":
        expected["bias"] = bias.grad

    x.requires_grad_()
    mine = layer(x)
    (mine * drawn(*mine.shape, seed=9)).sum().backward()
    torch.testing.assert_close(mine, out, check_stride=False)
    torch.testing.assert_close(x.grad, inputs.grad, check_stride=False)
    learnt = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    assert learnt.keys() == expected.keys()
    for name, grad in expected.items():
        torch.testing.assert_close(learnt[name], grad.detach())
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), out, check_stride=False)


@all_rules
@all_kinds
def test_is_made_sparse_and_dense(rule, kind):
    layer, x = made(rule, kind)
    others = [layer.to_dense()]
    if kind != "circular":
        others += [layer.to_sparse(), layer.to_sparse().to_dense()]
        assert layer.to_sparse().num_edges == layer.keep
    for other in others:
        torch.testing.assert_close(other(x), layer(x), check_stride=False)
        assert all(parameter.requires_grad for parameter in other.parameters())
    (report,) = rewire.report(nn.Sequential(layer))
    assert (report.edges, report.kind) == (layer.keep, type(layer).__name__)


@all_rules
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["linear", "3x3"])
def test_other_types(rule, kind, dtype):
    layer, x = made(rule, kind)
    layer, x = layer.to(dtype), x.to(dtype)
    expected = dense(layer, x, layer.weight * layer.used_edges(), layer.bias)
    torch.testing.assert_close(layer(x), expected, check_stride=False)
    layer(x).sum().backward()
    learns = layer.scores if rule == "edge-popup" else layer.weight
    assert learns.grad.dtype == dtype and (learns.grad != 0).any()


@all_rules
def test_every_edge(rule):
    whole = {"n": 4, "m": 4} if rule == "n:m" else {"density": 1.0}
    whole |= {"backward_density": 1.0} if rule == "top-kast" else {}
    for kind in ("linear", "pointwise", "3x3"):
        layer, x = made(rule, kind, **whole)
        assert layer.used_edges().all()
        torch.testing.assert_close(layer(x), dense(layer, x, layer.weight, layer.bias))
        layer(x).sum().backward()
        assert (layer.scores if rule == "edge-popup" else layer.weight).grad.abs().sum() > 0


@all_rules
@pytest.mark.parametrize("kind", ["linear", "3x3"])
def test_is_copied_pickled_and_loaded(rule, kind):
    layer, x = made(rule, kind)
    expected = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), expected)
        assert [p.requires_grad for p in other.parameters()] == [
            p.requires_grad for p in layer.parameters()
        ]
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    torch.manual_seed(4)
    fresh = type(layer)(*KINDS[kind][0], **KINDS[kind][1], **RULES[rule][2])
    assert not torch.equal(fresh(x), expected)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(x), expected)


@pytest.mark.slow
@all_rules
@pytest.mark.parametrize("kind", ["linear", "pointwise", "3x3"])
def test_compiles(rule, kind):
    layer, x = made(rule, kind)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    learns = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    torch.testing.assert_close(compiled(x), layer(x))
    grads = [torch.autograd.grad(f(x).square().sum(), learns) for f in (compiled, layer)]
    torch.testing.assert_close(*grads)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), layer(x))


@all_rules
def test_frozen_layers_stay_so(rule):
    linear, conv2d, options = RULES[rule]
    for kind, torch_layer in ((linear, nn.Linear(8, 4)), (conv2d, nn.Conv2d(8, 4, 3))):
        layer = kind.from_dense(torch_layer.requires_grad_(False).eval(), **options)
        assert layer.weight is torch_layer.weight and not layer.training
        for other in (layer, layer.to_sparse(), layer.to_dense()):
            assert not any(parameter.requires_grad for parameter in other.parameters())


def test_scores_alone_learn_and_weights_keep_their_bits():
    found = nn.Linear(16, 10)
    found(drawn(5, 16)).sum().backward()
    optimizer = torch.optim.SGD(found.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    layer = EdgePopupLinear.from_dense(found, density=0.5)
    assert layer.weight is found.weight and layer.weight.grad is None
    before, used = layer.weight.clone(), layer.used_edges()
    optimizer.add_param_group({"params": [layer.scores], "lr": 1.0})
    for _ in range(20):
        (layer(drawn(5, 16)) - 1).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(layer.weight, before) and not torch.equal(layer.used_edges(), used)
    assert layer.used_edges().sum() == 80
    assert [p.requires_grad for p in (layer.weight, layer.bias, layer.scores)] == [False, False, True]


def test_scores_begin_as_published_and_by_a_seed():
    layer = EdgePopupConv2d(8, 50, 3, density=0.5)
    bound = (8 * 9) ** -0.5
    assert layer.scores.abs().max() <= bound and layer.scores.abs().max() > 0.99 * bound
    assert abs(layer.scores.mean()) < 0.02 * bound
    values = []
    for seed in (1, 1, 2):
        layer.reset_scores(torch.Generator().manual_seed(seed))
        values.append(layer.scores.detach().clone())
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
    layer.reset_parameters()
    assert not torch.equal(layer.scores, values[2])


def test_fixed_weights_begin_with_one_magnitude():
    for layer in (EdgePopupConv2d(8, 50, 3, density=0.5), EdgePopupLinear(72, 50, density=0.5)):
        torch.testing.assert_close(layer.weight.abs(), torch.full_like(layer.weight, (2 / 72) ** 0.5))
        assert 0.45 < (layer.weight > 0).float().mean() < 0.55 and not layer.bias.any()


def test_the_lower_index_wins_among_equals():
    popup = EdgePopupLinear(4, 2, density=0.5)
    kast = TopKASTLinear(4, 2, density=0.25, backward_density=0.5)
    two_of_four = NMLinear(4, 2, n=2, m=4)
    with torch.no_grad():
        popup.scores.copy_(torch.tensor([[1.0, -2, 1, 1], [-1, 1, 1, 1]]))
        kast.weight.copy_(torch.tensor([[1.0, -2, 1, 1], [-1, 1, 1, 1]]))
        two_of_four.weight.copy_(torch.tensor([[1.0, -1, 1, -1], [0, 2, 0, 0]]))
    assert popup.used_edges().int().tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]
    assert kast.used_edges().int().tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    assert kast.learning_edges().int().tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]
    assert two_of_four.used_edges().int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]


def test_groups_of_a_convolution_are_channels_at_a_place_of_the_kernel():
    layer = NMConv2d(4, 1, (1, 2), n=1, m=2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 8], [2, 7], [3, 6], [4, 5]]).view(1, 4, 1, 2))
    assert layer.used_edges().int().view(4, 2).tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]


def test_exploration_penalty_by_hand():
    layer = TopKASTLinear(5, 2, density=0.2, backward_density=0.4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 9, 2, -7, 3], [-8, 4, 5, 0, 6]]))
    penalty = exploration_penalty(layer)
    assert penalty.item() == 9 + 8 + (7 + 6) / 0.2
    penalty.backward()
    assert layer.weight.grad.tolist() == [[0, 1, 0, -5, 0], [-1, 0, 0, 0, 5]]
    both = nn.Sequential(layer, nn.ReLU(), copy.deepcopy(layer))
    assert exploration_penalty(both).item() == 2 * penalty.item()


def test_no_product_of_top_kast_is_dense():
    layer, x = made("top-kast", "linear", execution="sparse")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
        layer(x.requires_grad_()).sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert "rewire::wired_linear" in names
    assert not names & {"aten::mm", "aten::addmm", "aten::matmul", "rewire::candidate_gradient"}


def test_what_is_not_in_use_decays_once_a_backward_pass():
    layer = NMLinear(4, 1, n=2, m=4, decay=0.5, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[4.0, -2, 1, 8]]))
    layer(torch.tensor([[1.0, 10, 100, 1000]])).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 10 - 1, 100 + 0.5, 1000]]
    plain = NMLinear(4, 1, n=2, m=4)
    assert plain.decay == 2e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EdgePopupLinear(3, 2, density=1.5), r"density in \[0, 1\], got 1.5"),
        (lambda: EdgePopupLinear(3, 2, density=0.5, execution="fast"), "EdgePopupLinear: expected execution"),
        (
            lambda: TopKASTLinear(3, 2, density=0.5, backward_density=0.4),
            "TopKASTLinear: expected 0 < density <= backward_density <= 1, got 0.5 and 0.4",
        ),
        (lambda: TopKASTConv2d(3, 2, 1, density=0), "TopKASTConv2d: expected 0 < density .* got 0 and 0"),
        (lambda: NMLinear(6, 2, n=2, m=4), "NMLinear: expected in_features of a multiple of m = 4, got 6"),
        (
            lambda: NMConv2d(8, 4, 3, groups=4, n=2, m=4),
            "NMConv2d: expected in_channels / groups of a multiple of m = 4, got 2",
        ),
        (lambda: NMLinear(8, 2, n=5, m=4), "expected integers 0 < n <= m, got 5 and 4"),
        (lambda: NMLinear(8, 2, n=0, m=4), "expected integers 0 < n <= m, got 0 and 4"),
        (lambda: NMLinear(8, 2, n=2, m=4, decay=-1), "decay of at least 0, got -1"),
        (lambda: exploration_penalty(nn.Linear(2, 2)), "has no TopKASTLinear or TopKASTConv2d"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_says_what_it_is():
    ends = {
        "edge-popup": "bias=True, keep=48 (30 %))",
        "top-kast": "bias=True, keep=48 (30 %), backward_keep=72 (45 %))",
        "n:m": "bias=True, 2:4, decay=0.1)",
    }
    for rule, end in ends.items():
        assert repr(made(rule, "linear")[0]).endswith(end), repr(made(rule, "linear")[0])


@pytest.mark.parametrize("module", ["edge_popup", "top_kast", "n_m"])
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"rewire.nn.{module}"))
    assert result.attempted > 0 and result.failed == 0
