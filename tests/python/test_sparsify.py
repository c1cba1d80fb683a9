"""Models made sparse and dense again."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune, spectral_norm

import rewire
from rewire import nn as rnn
from rewire.nn import DNWConv2d, DNWLinear, SparseConv2d, SparseLinear
from rewire.sparsity import layer_densities


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 1, stride=2),
        nn.Flatten(),
        nn.Sequential(nn.Linear(32 * 16, 20), nn.ReLU()),
        nn.Linear(20, 10, bias=False),
    )


IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_layers_become_wired_and_keep_their_parameters():
    model = network()
    parameters = list(model.parameters())
    assert rewire.sparsify(model, density=0.1) is model
    kinds = [DNWConv2d, nn.BatchNorm2d, nn.ReLU, DNWConv2d, nn.Flatten, nn.Sequential, DNWLinear]
    assert [type(layer) for layer in model] == kinds and type(model[5][0]) is DNWLinear
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    for layer in rewire.report(model):
        assert layer.edges == layer.candidates - int(0.9 * layer.candidates)


def test_random_wiring_is_drawn_by_the_seed_and_stored_alone():
    first, same, other = (
        rewire.sparsify(network(), 0.2, method="random", seed=seed) for seed in (1, 1, 2)
    )
    assert type(first[0]) is SparseConv2d and type(first[6]) is SparseLinear
    assert torch.equal(first(IMAGES), same(IMAGES)) and not torch.equal(first(IMAGES), other(IMAGES))
    dense = network()
    used = first[0].used_edges()
    assert torch.equal(first[0].dense_weight(), dense[0].weight * used)
    assert used.sum() == 432 - int(0.8 * 432)


KINDS = {
    "rigl": (SparseConv2d, SparseLinear),
    "set": (SparseConv2d, SparseLinear),
    "gradual": (DNWConv2d, DNWLinear),
    "edge-popup": (rnn.EdgePopupConv2d, rnn.EdgePopupLinear),
    "top-kast": (rnn.TopKASTConv2d, rnn.TopKASTLinear),
    "2:4": (rnn.NMConv2d, rnn.NMLinear),
}


@pytest.mark.parametrize("method", KINDS)
def test_methods_make_their_layers(method):
    model, dense = network(), network()
    density = 0.5 if method == "2:4" else 0.3
    rewire.sparsify(model, density, method=method, layers=["3", "5.0", "6"], seed=1)
    conv2d, linear = KINDS[method]
    assert [type(model[3]), type(model[5][0]), type(model[6])] == [conv2d, linear, linear]
    assert type(model[0]) is nn.Conv2d
    for layer in rewire.report(model):
        density = 1 if method == "gradual" else density
        assert layer.edges == layer.candidates - int((1 - density) * layer.candidates)
    if conv2d is not SparseConv2d:
        assert torch.equal(model[3].weight, dense[3].weight)
    rewire.densify(model)
    assert torch.equal(model[6].weight, dense[6].weight * (model[6].weight != 0))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_edges_that_are_to_move_are_drawn_as_those_that_stay():
    first, *others = (rewire.sparsify(network(), 0.2, m, seed=1) for m in ("random", "rigl", "set"))
    assert all(torch.equal(first(IMAGES), other(IMAGES)) for other in others)


def test_options_of_methods():
    popups = [rewire.sparsify(network(), 0.5, "edge-popup", seed=seed)[6].scores for seed in (1, 1, 2)]
    assert torch.equal(popups[0], popups[1]) and not torch.equal(popups[0], popups[2])
    kast = rewire.sparsify(network(), {"0": 0.1, "6": 0.5}, "top-kast", backward_density=0.3)
    assert [kast[0].backward_keep, kast[6].backward_keep] == [432 - int(0.7 * 432), 100]
    assert rewire.sparsify(network(), 0.1, "top-kast")[6].backward_keep == 40
    assert rewire.sparsify(nn.Linear(8, 2), method="1:8", decay=0.1).decay == 0.1
    assert rewire.sparsify(nn.Linear(8, 2), 0.25, method="1:4").keep == 4
    assert rewire.sparsify(network(), 0.1, "gradual", gradient="all")[6].gradient == "all"


def test_what_is_frozen_stays_so():
    for method in ("dnw", "random", "gradual", "edge-popup", "top-kast"):
        model = rewire.sparsify(network().requires_grad_(False), 0.3, method=method)
        assert not any(parameter.requires_grad for parameter in model.parameters())
        rewire.densify(model)
        assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("method", ["dnw", "random"])
def test_hooks_go_with_their_layer(method):
    model = network()
    seen = []
    handles = [
        model[6].register_forward_hook(lambda layer, args, out: seen.append(type(layer))),
        model[6].register_forward_pre_hook(
            lambda layer, args, kwargs: seen.append("before"), with_kwargs=True
        ),
        model[6].register_full_backward_hook(lambda layer, grad_in, grad_out: seen.append("back")),
    ]
    kind = type(rewire.sparsify(model, 0.5, method=method)[6])
    model(IMAGES).sum().backward()
    assert seen == ["before", kind, "back"] and kind is not nn.Linear
    seen.clear()
    handles[1].remove()
    rewire.densify(model)(IMAGES).sum().backward()
    assert seen == [nn.Linear, "back"]
    seen.clear()
    for handle in handles:
        handle.remove()
    model(IMAGES).sum().backward()
    assert seen == []


def test_a_weight_that_is_computed_is_refused():
    for compute in (
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
        spectral_norm,
    ):
        model = network()
        compute(model[6])
        with pytest.raises(ValueError, match="layer '6' computes its weight: make it a parameter"):
            rewire.sparsify(model, 0.5, "edge-popup")
        assert model[0].weight.requires_grad


@pytest.mark.parametrize("method", ["dnw", "random"])
def test_densify_gives_the_same_outputs(method):
    model = rewire.sparsify(network(), 0.3, method=method).eval()
    expected = model(IMAGES)
    assert rewire.densify(model) is model
    assert {type(layer) for layer in (model[0], model[3], model[5][0], model[6])} == {nn.Conv2d, nn.Linear}
    torch.testing.assert_close(model(IMAGES), expected)
    assert rewire.report(model) == []


def test_erk_keeps_so_many_in_all():
    weights = {"large": torch.ones(300, 200), "kernel": torch.ones(16, 16, 3, 3), "small": torch.ones(10, 5)}
    densities = layer_densities(weights, 0.1, "erk")
    assert densities["small"] == 1
    sizes = {name: weight.numel() for name, weight in weights.items()}
    kept = sum(densities[name] * sizes[name] for name in sizes)
    assert kept == pytest.approx(0.1 * sum(sizes.values()))
    raw = {"large": 500 / 60000, "kernel": 38 / 2304}
    assert densities["kernel"] / densities["large"] == pytest.approx(raw["kernel"] / raw["large"])
    assert layer_densities(weights, 0, "erk") == {"large": 0, "kernel": 0, "small": 0}
    assert layer_densities(weights, 1, "erk") == pytest.approx({"large": 1, "kernel": 1, "small": 1})


def test_global_keeps_the_strongest_of_all_layers():
    weights = {"a": torch.tensor([[5.0, -4.0], [3.0, 0.1]]), "b": torch.tensor([[2.0, -0.2]])}
    with pytest.warns(UserWarning, match="no weight of b is among the strongest"):
        assert layer_densities(weights, 0.5, "global") == {"a": 0.75, "b": 0.0}
    model = rewire.sparsify(network(), 0.1, distribution="global")
    total = sum(layer.candidates for layer in rewire.report(model))
    # A layer's count is its density's, cut to a whole number.
    assert abs(sum(layer.edges for layer in rewire.report(model)) - 0.1 * total) < 5


def test_layers_may_be_named_or_chosen():
    named = rewire.sparsify(network(), {"0": 0.5, "5.0": 0.1})
    assert [(layer.name, layer.edges) for layer in rewire.report(named)] == [("0", 216), ("5.0", 1024)]
    listed = rewire.sparsify(network(), 0.5, layers=["6"])
    assert [layer.name for layer in rewire.report(listed)] == ["6"]
    chosen = rewire.sparsify(network(), 0.5, layers=lambda name, layer: isinstance(layer, nn.Conv2d))
    assert [layer.name for layer in rewire.report(chosen)] == ["0", "3"]
    assert isinstance(rewire.sparsify(nn.Linear(4, 4), 0.5), DNWLinear)
    assert isinstance(rewire.densify(rewire.sparsify(nn.Linear(4, 4), 0.5)), nn.Linear)


def test_a_fraction_of_the_gradient_where_a_layer_is_sparse():
    model = rewire.sparsify(network(), 0.1, gradient=0.25)
    assert [model[0].gradient, model[3].gradient, model[6].gradient] == ["all", 0.25, 0.25]
    assert rewire.sparsify(network(), 0.1, gradient="kept")[0].gradient == "kept"


def test_channels_without_edges_are_reported():
    linear = SparseLinear.from_edges([(0, 1), (2, 1)], 4, 3)
    (layer,) = rewire.report(nn.Sequential(linear))
    assert (layer.kind, layer.edges, layer.candidates) == ("SparseLinear", 2, 12)
    assert (layer.dead_inputs, layer.dead_outputs) == (2, 2) and layer.density == 2 / 12
    conv = nn.Conv2d(4, 6, 3, groups=2, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 1, 2, 2] = conv.weight[3, 0, 0, 0] = 1
    (layer,) = rewire.report(nn.Sequential(SparseConv2d.from_dense(conv)))
    assert (layer.edges, layer.dead_inputs, layer.dead_outputs) == (2, 2, 4)
    for inputs, outputs in ((0, 3), (3, 0)):
        (layer,) = rewire.report(nn.Sequential(SparseLinear.from_edges([], inputs, outputs)))
        assert (layer.edges, layer.dead_inputs, layer.dead_outputs) == (0, inputs, outputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "magic"},
            "method of dnw, random, rigl, set, gradual, edge-popup, top-kast, n:m as in '2:4', got 'magic'",
        ),
        ({"method": "n:m"}, "n:m as in '2:4', got 'n:m'"),
        ({"method": None}, "n:m as in '2:4', got None"),
        ({"method": "4:2"}, "expected n:m with 0 < n <= m, got '4:2'"),
        ({"method": "2:4"}, "layer '0': NMConv2d: expected in_channels / groups of a multiple of m = 4, got 3"),
        ({"method": "2:4", "density": 0.1}, "density 0.5, 'uniform', of method '2:4', got 0.1 and 'uniform'"),
        ({"method": "2:4", "distribution": "erk"}, "of method '2:4', got None and 'erk'"),
        ({"method": "random", "gradient": "all"}, "method 'random' has no gradient"),
        ({"method": "top-kast", "decay": 1e-4}, "method 'top-kast' has no decay"),
        ({"method": "dnw", "backward_density": 0.2}, "method 'dnw' has no backward_density"),
        ({"method": "top-kast", "density": 0.0}, "layer '0': TopKASTConv2d: expected 0 < density"),
        ({"method": "edge-popup", "density": {"0": 0.5, "6": 2.0}}, r"density in \[0, 1\], got 2.0"),
        ({"density": 2}, r"density in \[0, 1\], got 2"),
        ({"distribution": "even"}, "'uniform', 'erk' or 'global', got 'even'"),
        ({"layers": ["1"]}, "no linear layer or convolution named '1'"),
        ({"density": {"9": 0.1}}, "no linear layer or convolution named '9'"),
        ({"layers": lambda name, layer: False}, "has no linear layer or convolution to be chosen"),
    ],
)
def test_refusals(options, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        rewire.sparsify(model, **options)
    assert rewire.report(model) == [] and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("method", ["dnw", "random"])
def test_a_transformer_layer_computes_what_it_says(method):
    """In evaluation torch's own would read the weights of its layers, and not call them."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0, batch_first=True)
    rewire.sparsify(layer, 0.2, method=method, seed=1)
    assert [one.name for one in rewire.report(layer)] == ["linear1", "linear2"]
    x = torch.randn(3, 5, 16)
    with torch.no_grad():
        trained = layer(x)
        torch.testing.assert_close(layer.eval()(x), trained)


@pytest.mark.parametrize("method", ["dnw", "random"])
def test_fast_paths_of_transformers_are_off_while_a_layer_is_sparse(method):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0, batch_first=True, activation="gelu")
    model = nn.TransformerEncoder(layer, 2).eval()
    x, padded = torch.randn(2, 5, 16), torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]).bool()

    def fast():
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True) as profile:
            out = model(x, src_key_padding_mask=padded)
        names = {event.key for event in profile.key_averages()}
        return "aten::_transformer_encoder_layer_fwd" in names, out[~padded]

    with torch.no_grad():
        assert fast()[0]
        rewire.sparsify(model, {"layers.1.linear1": 0.2}, method=method, seed=1)
        rewire.sparsify(model, {"layers.1.linear2": 0.2}, method=method, seed=1)
        assert not model.layers[1].activation_relu_or_gelu and not model.use_nested_tensor
        sparse = fast()[1]
        rewire.densify(model)
        is_fast, dense = fast()
    assert is_fast and model.use_nested_tensor and model.layers[1].activation_relu_or_gelu == 2
    torch.testing.assert_close(dense, sparse)
    assert not [name for name in vars(model.layers[1]) if "found" in name]


@pytest.mark.parametrize("method", ["dnw", "random"])
def test_a_layer_in_two_places_stays_one(method):
    shared = nn.Linear(4, 4)
    model = rewire.sparsify(nn.Sequential(shared, nn.ReLU(), shared), 0.5, method=method)
    assert model[0] is model[2] and len(rewire.report(model)) == 1
    rewire.densify(model)
    assert model[0] is model[2] and type(model[0]) is nn.Linear


def test_a_failure_changes_nothing():
    model = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"))
    with pytest.raises(ValueError, match="padding of zeros"):
        rewire.sparsify(model, 0.5, method="random")
    with pytest.raises(ValueError, match="density in"):
        rewire.sparsify(model, {"0": 0.5, "1": 2.0})
    assert rewire.report(model) == []
    image = torch.randn(1, 2, 4, 4)
    expected = rewire.sparsify(model, 0.5)[1](image)
    torch.testing.assert_close(rewire.densify(model)[1](image), expected)


def test_a_sparse_network_trains():
    model = rewire.sparsify(network(), 0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    labels = torch.tensor([1, 2, 3, 4])
    losses = []
    for _ in range(40):
        loss = functional.cross_entropy(model(IMAGES), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
