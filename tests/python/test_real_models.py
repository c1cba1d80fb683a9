"""Models as people have them: made sparse, counted, trained by a step, made dense again."""

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.nn import functional

import rewire
from rewire.nn import DNWConv2d, DNWLinear, SparseConv2d, SparseLinear

KINDS = {"dnw": (DNWLinear, DNWConv2d), "random": (SparseLinear, SparseConv2d)}
Case = namedtuple("Case", "model inputs layers")  # layers: how many are to become sparse


class Attention(nn.Module):
    """[batch, places, 32] to the same."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(32, 32) for _ in range(4))

    def forward(self, x):
        q, k, v = (
            one(x).unflatten(2, (4, 8)).transpose(1, 2) for one in (self.query, self.key, self.value)
        )
        return x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Lstm(nn.Module):
    """A cell [batch, 12], called for each of [batch, times, 12]; its last state [batch, 16]."""

    def __init__(self):
        super().__init__()
        self.of_input, self.of_state = nn.Linear(12, 64), nn.Linear(16, 64, bias=False)

    def forward(self, x):
        state = memory = x.new_zeros(len(x), 16)
        for now in x.unbind(1):
            gates = self.of_input(now) + self.of_state(state)
            entering, leaving, new, shown = gates.chunk(4, 1)
            memory = leaving.sigmoid() * memory + entering.sigmoid() * new.tanh()
            state = shown.sigmoid() * memory.tanh()
        return state


def of_torchvision(name, layers):
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    return Case(getattr(models, name)(num_classes=10), torch.randn(4, 3, 64, 64), layers)


def encoder():
    """Its attention keeps its weights: they are no layers that are called."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0, batch_first=True)
    return Case(nn.TransformerEncoder(layer, 2), torch.randn(4, 6, 32), 4)


CASES = {
    "resnet18": lambda: of_torchvision("resnet18", 21),
    "mobilenet_v2": lambda: of_torchvision("mobilenet_v2", 53),
    "encoder": encoder,
    "attention": lambda: Case(Attention(), torch.randn(4, 6, 32), 4),
    "lstm": lambda: Case(Lstm(), torch.randn(4, 7, 12), 2),
}


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    return CASES[request.param]()


def outputs(model, x):
    """In evaluation mode, but for batch norms: their statistics are a batch's, not those of none."""
    for one in model.modules():
        one.training = isinstance(one, nn.BatchNorm2d)
    with torch.no_grad():
        return model(x)


def dense_layers(model):
    return {name: one for name, one in model.named_modules() if type(one) in (nn.Linear, nn.Conv2d)}


@pytest.mark.slow
@pytest.mark.parametrize("method", KINDS)
def test_sparsify_report_train_densify(case, method):
    model, x = case.model, case.inputs
    before = dense_layers(model)
    whole = outputs(model, x)
    assert rewire.sparsify(model, density=0.1, method=method, seed=1) is model
    assert len(before) == case.layers and not dense_layers(model)

    report = rewire.report(model)
    assert [layer.name for layer in report] == list(before)
    for layer in report:
        candidates = before[layer.name].weight.numel()
        assert isinstance(model.get_submodule(layer.name), KINDS[method])
        assert layer.candidates == candidates
        assert layer.edges == candidates - int(0.9 * candidates)
    assert not torch.allclose(outputs(model, x), whole)

    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights = {
        name: next(model.get_submodule(name).parameters()).detach().clone() for name in before
    }
    model(x).square().mean().backward()
    optimizer.step()
    for name, weight in weights.items():
        assert not torch.equal(next(model.get_submodule(name).parameters()), weight), name

    sparse = outputs(model, x)
    assert sparse.std() > 1e-3
    state = {name: model.get_submodule(name).used_edges() for name in before}
    assert rewire.densify(model) is model
    assert rewire.report(model) == [] and list(dense_layers(model)) == list(before)
    for name, used in state.items():
        assert not model.get_submodule(name).weight[~used].any(), name
    torch.testing.assert_close(outputs(model, x), sparse, rtol=1e-4, atol=1e-5)


class Tagger(nn.Module):
    """[batch, times, 12] to [batch, times, 5], by torch's own modules that keep their weights."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(12, 16, batch_first=True)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.out = nn.Linear(16, 5)

    def forward(self, x):
        x, _ = self.lstm(x)
        x, _ = self.attention(x, x, x, need_weights=False)
        return self.out(x)


@pytest.mark.parametrize("method", KINDS)
def test_weights_that_are_no_layers_stay_dense_and_learn(method):
    torch.manual_seed(0)
    model, x = Tagger(), torch.randn(4, 7, 12)
    kept = {name: one for name, one in model.named_parameters() if not name.startswith("out.")}
    before = {name: one.detach().clone() for name, one in kept.items()}
    rewire.sparsify(model, density=0.1, method=method, seed=1)
    assert [layer.name for layer in rewire.report(model)] == ["out"]
    parameters = dict(model.named_parameters())
    for name, one in kept.items():
        assert parameters[name] is one and torch.equal(one, before[name]), name
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(x).square().mean().backward()
    optimizer.step()
    assert not torch.equal(model.lstm.weight_hh_l0, before["lstm.weight_hh_l0"])
    assert not torch.equal(model.attention.in_proj_weight, before["attention.in_proj_weight"])


@pytest.mark.parametrize("model", [nn.LSTM(12, 16), nn.MultiheadAttention(16, 4)])
def test_a_model_of_nothing_else_is_refused(model):
    with pytest.raises(ValueError, match="the model has no linear layer or convolution to be chosen"):
        rewire.sparsify(model, density=0.1)
    with pytest.raises(ValueError, match="no linear layer or convolution named 'lstm'"):
        rewire.sparsify(Tagger(), density=0.1, layers=["lstm"])
