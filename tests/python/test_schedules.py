"""Edges that move while a model trains, and edges that become fewer."""

import copy
import doctest
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import rewire
from rewire import schedules
from rewire.nn import SparseConv2d, SparseLinear


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer_of(kind):
    torch.manual_seed(0)
    if kind == "linear":
        return rewire.sparsify(nn.Linear(20, 12), 0.2, method="rigl", seed=1), drawn(6, 20)
    size = 1 if kind == "pointwise" else 3
    conv = nn.Conv2d(10, 12, size, groups=2 if kind == "grouped" else 1)
    return rewire.sparsify(conv, 0.2, method="random", seed=1), drawn(3, 10, 5, 5)


KINDS = ["linear", "pointwise", "3x3", "grouped"]


def learn(model, x, optimizer, rewiring, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        rewiring.step()


def test_edges_are_moved_by_hand():
    layer = SparseLinear.from_edges([(0, 0), (2, 0), (1, 1)], 3, 2, values=torch.tensor([1.0, 2, 3]))
    old = layer.move_edges(torch.tensor([True, False, True]), torch.tensor([1]), torch.tensor([5.0]))
    assert layer.edges.tolist() == [[0, 0], [1, 0], [1, 1]] and layer.values.tolist() == [1, 5, 3]
    assert old.tolist() == [0, -1, 2] and layer.places().tolist() == [0, 1, 4]
    assert layer.to_dense().weight.tolist() == [[1, 5, 0], [0, 3, 0]]
    with pytest.raises(ValueError, match="as many edges as before, 3, each once, got 3"):
        layer.move_edges(torch.tensor([True, False, True]), torch.tensor([0]), torch.tensor([5.0]))
    with pytest.raises(ValueError, match="as before, 3, each once, got 2"):
        layer.move_edges(torch.tensor([True, False, True]), torch.tensor([], dtype=torch.int64), torch.tensor([]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_watched_layer_gives_the_gradient_of_every_candidate(kind):
    layer, x = layer_of(kind)
    dense = layer.to_dense()
    expected = torch.autograd.grad(dense(x).square().sum(), dense.weight)[0]
    plain = torch.autograd.grad(layer(x).square().sum(), layer.values)[0]
    layer.watch_candidates(True)
    layer(x).square().sum().backward()
    torch.testing.assert_close(layer.candidate_gradient(), expected)
    torch.testing.assert_close(layer.values.grad, plain)
    layer.watch_candidates(False)
    with pytest.raises(RuntimeError, match="no gradient of candidates"):
        layer.candidate_gradient()


@pytest.mark.parametrize("kind", KINDS)
def test_a_watched_layer_is_copied_and_saved_by_its_edges(kind, tmp_path):
    layer, x = layer_of(kind)
    layer.watch_candidates(True)
    layer(x).sum().backward()
    torch.save(layer, tmp_path / "layer.pt")
    for other in (copy.deepcopy(layer), torch.load(tmp_path / "layer.pt", weights_only=False)):
        assert torch.equal(other(x), layer(x))
        other(x).sum().backward()
        torch.testing.assert_close(other.candidate_gradient(), layer.candidate_gradient())


@pytest.mark.parametrize("kind", KINDS)
def test_rigl_drops_the_weakest_and_grows_where_the_gradient_is_largest(kind):
    layer, x = layer_of(kind)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0, momentum=0.9)
    rewiring = rewire.Rewiring(nn.Sequential(layer), optimizer, fraction=0.5, every=2, until=8)
    learn(layer, x, optimizer, rewiring, 1)
    before, count = layer.dense_weight().detach().clone(), layer.num_edges
    used = layer.used_edges()
    dense = layer.to_dense()
    gradient = torch.autograd.grad(dense(x).square().mean(), dense.weight)[0].abs()

    learn(layer, x, optimizer, rewiring, 1)
    moving = int(0.25 * (1 + math.cos(math.pi * 2 / 8)) * count)
    magnitudes = before.abs().masked_fill(~used, math.inf).flatten()
    dropped = torch.zeros_like(used).flatten()
    dropped[magnitudes.argsort()[:moving]] = True
    stay = used & ~dropped.view_as(used)
    grown = torch.zeros_like(used).flatten()
    grown[gradient.masked_fill(stay, -1).flatten().topk(moving).indices] = True
    assert torch.equal(layer.used_edges(), stay | grown.view_as(used))
    assert torch.equal(layer.dense_weight(), before * stay)
    assert layer.num_edges == count and moving > 3


def test_momentum_goes_with_its_edge():
    layer, x = layer_of("linear")
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    rewiring = rewire.Rewiring(layer, optimizer, method="set", every=3, until=100)
    learn(layer, x, optimizer, rewiring, 2)
    places = layer.places()
    optimizer.zero_grad()
    layer(x).square().mean().backward()
    optimizer.step()
    moments = optimizer.state[layer.values]["exp_avg"].clone()
    assert (moments != 0).all()
    rewiring.step()
    own = {int(place): i for i, place in enumerate(places)}
    old = [own.get(int(place), -1) for place in layer.places()]
    expected = torch.tensor([0.0 if i < 0 else moments[i] for i in old])
    # What was dropped and drawn again begins anew too: it is no smaller a set than the new ones.
    now = optimizer.state[layer.values]["exp_avg"]
    assert torch.equal(now[now != 0], expected[now != 0]) and (now[torch.tensor(old) < 0] == 0).all()
    assert (now != 0).sum() == len(places) - int(0.15 * (1 + math.cos(math.pi * 3 / 100)) * len(places))
    assert optimizer.state[layer.values]["step"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_set_draws_by_its_seed(kind):
    layer, x = layer_of(kind)
    results = []
    for seed in (1, 1, 2):
        own = copy.deepcopy(layer)
        optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
        learn(own, x, optimizer, rewire.Rewiring(own, optimizer, "set", 0.5, 1, 10, seed=seed), 3)
        assert len(own.places().unique()) == layer.num_edges
        results.append(own)
    assert torch.equal(results[0].dense_weight(), results[1].dense_weight())
    assert not torch.equal(results[0].used_edges(), results[2].used_edges())
    fan_in = results[0].row_offsets.diff().clamp(min=1)
    assert results[0].values.abs().max() < 2 * fan_in.float().rsqrt().max()


@pytest.mark.parametrize("method", ["rigl", "set"])
def test_goes_on_from_its_state(method):
    layer, x = layer_of("linear")
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    rewiring = rewire.Rewiring(layer, optimizer, method, every=3, until=20)
    learn(layer, x, optimizer, rewiring, 5)
    other = copy.deepcopy(layer)
    other_optimizer = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    other_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    resumed = rewire.Rewiring(other, other_optimizer, method, every=3, until=20, seed=9)
    resumed.load_state_dict(rewiring.state_dict())
    learn(layer, x, optimizer, rewiring, 15)
    learn(other, x, other_optimizer, resumed, 15)
    assert torch.equal(layer.dense_weight(), other.dense_weight())
    before = layer.used_edges()
    learn(layer, x, optimizer, rewiring, 10)  # beyond `until`
    assert torch.equal(layer.used_edges(), before)


def test_every_call_of_a_layer_counts_and_a_frozen_one_stays():
    layer = SparseLinear.from_edges([(0, 0)], 2, 2, values=torch.tensor([1.0]), bias=False)
    layer.watch_candidates(True)
    (layer(torch.tensor([1.0, 2.0])) + layer(torch.tensor([3.0, 6.0]))).sum().backward()
    assert layer.candidate_gradient().tolist() == [[4, 8], [4, 8]] and layer.values.grad.tolist() == [4]
    frozen, x = layer_of("linear")
    model = nn.Sequential(frozen, rewire.sparsify(nn.Linear(12, 12), 0.2, method="random"))
    frozen.requires_grad_(False)
    before = frozen.places()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    learn(model, x, optimizer, rewire.Rewiring(model, optimizer, every=1), 3)
    assert torch.equal(frozen.places(), before)


def test_rigl_finds_the_wiring_of_what_it_learns_from():
    torch.manual_seed(0)
    target = SparseLinear.from_edges([(i, i % 8) for i in range(24)], 64, 8, bias=False)
    layer = rewire.sparsify(nn.Linear(64, 8), 0.05, method="random", seed=1)

    def found():
        return int((layer.used_edges() & target.used_edges()).sum())

    assert found() < 8
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    rewiring = rewire.Rewiring(layer, optimizer, every=20, until=400)
    x = drawn(512, 64)
    for _ in range(400):
        optimizer.zero_grad()
        functional.mse_loss(layer(x), target(x).detach()).backward()
        optimizer.step()
        rewiring.step()
    assert found() > 20


def test_a_dense_and_an_empty_layer_stay():
    for density in (0.0, 1.0):
        layer = rewire.sparsify(nn.Linear(5, 4), density, method="random")
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        learn(layer, drawn(3, 5), optimizer, rewire.Rewiring(layer, optimizer, every=1), 2)
        assert layer.num_edges == 20 * density


def pruned(**options):
    torch.manual_seed(0)
    model = rewire.sparsify(nn.Sequential(nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 10)), 1.0, gradient="kept")
    return model, rewire.GradualPruning(model, **options)


def test_edges_become_fewer_by_the_cube():
    model, pruning = pruned(final=0.1, begin=4, end=24, every=5)
    seen = []
    for step in range(30):
        expected = 0.1 + 0.9 * (1 - min(max((step - 4) // 5 * 5, 0), 20) / 20) ** 3
        assert pruning.density(step) == pytest.approx(expected), step
        seen.append(model[0].keep)
        pruning.step()
    assert seen[0] == 800 and seen[-1] == 80 and sorted(seen, reverse=True) == seen
    assert len(set(seen)) == 5
    assert model[2].keep == 20


def test_pruning_goes_on_from_its_state():
    model, pruning = pruned(final=0.1, end=20, every=1)
    for _ in range(7):
        pruning.step()
    other, resumed = pruned(final=0.1, end=20, every=1)
    resumed.load_state_dict(pruning.state_dict())
    assert other[0].keep == model[0].keep < 800


def test_each_layer_ends_at_the_density_that_it_was_given():
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(60, 40), nn.ReLU(), nn.Linear(40, 10))
    model = rewire.sparsify(copy.deepcopy(dense), 0.2, method="gradual", distribution="erk")
    assert [layer.edges for layer in rewire.report(model)] == [2400, 400]
    assert {layer.gradient for layer in (model[0], model[2])} == {"kept"}
    final = rewire.sparsify(copy.deepcopy(dense), 0.2, method="random", distribution="erk")
    pruning = rewire.GradualPruning(model, end=10, every=1)
    for _ in range(10):
        pruning.step()
    assert [model[0].keep, model[2].keep] == [final[0].num_edges, final[2].num_edges]
    assert model[0].density < 0.2 < model[2].density
    assert pruning.density(10, final=0.3) == 0.3
    with pytest.raises(ValueError, match="final density of a layer, got None"):
        pruning.density(10)
    named = rewire.sparsify(copy.deepcopy(dense), {"0": 0.5, "2": 0.25}, method="gradual")
    rewire.GradualPruning(named, end=1).step()
    assert [named[0].keep, named[2].keep] == [1200, 100]


@pytest.mark.parametrize("method", ["edge-popup", "top-kast", "2:4"])
def test_only_learned_wiring_is_pruned(method):
    model = rewire.sparsify(nn.Sequential(nn.Linear(8, 4)), None if method == "2:4" else 0.5, method=method)
    with pytest.raises(ValueError, match="no DNWLinear or DNWConv2d"):
        rewire.GradualPruning(model, 0.1, 10)


def wrong(**options):
    layer = rewire.sparsify(nn.Linear(5, 4), 0.5, method="random")
    return rewire.Rewiring(layer, torch.optim.SGD(layer.parameters(), lr=0.1), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wrong(method="magic"), "method 'rigl' or 'set', got 'magic'"),
        (lambda: wrong(fraction=2), r"fraction in \[0, 1\], got 2"),
        (lambda: wrong(every=0), "at least 1, got 0, 10000"),
        (lambda: rewire.Rewiring(nn.Linear(2, 2), None), "no SparseLinear or SparseConv2d"),
        (lambda: rewire.GradualPruning(nn.Linear(2, 2), 0.1, 10), "no DNWLinear or DNWConv2d"),
        (lambda: pruned(final=-1, end=3), r"final in \[0, 1\], got -1"),
        (lambda: pruned(final=0.1, begin=3, end=3), "0 <= begin < end and every of at least 1, got 3, 3 and 100"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_examples_in_docstrings():
    result = doctest.testmod(schedules)
    assert result.attempted > 0 and result.failed == 0


def test_a_convolution_of_several_places_moves_its_taps():
    layer, _ = layer_of("3x3")
    assert isinstance(layer, SparseConv2d)
    assert layer.places().max() < 12 * 10 * 9
