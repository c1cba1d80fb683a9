"""What torch does with whole models: export, compiling ahead of time, scripting, determinism, autocast,
and the transforms of torch.func."""

import copy
import shutil

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, vmap

import rewire
from rewire.nn import DNWConv2d, DNWLinear, NeuronGraph, SparseConv2d, SparseLinear

NO_RULE = "ignore:There is a performance drop because we have not yet implemented the batching rule"
TRANSFORMS = r"cannot use C\+\+ torch::autograd::Function with functorch transforms"


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layers():
    """Images [*, 3, 6, 6] to [*, 5], by every kind of layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        DNWConv2d(3, 8, 3, padding=1, density=0.3),
        nn.ReLU(),
        DNWConv2d(8, 12, 1, density=0.3),
        nn.ReLU(),
        SparseConv2d.from_dense(nn.Conv2d(12, 8, 1), drawn(8, 12, 1, 1) > 0.5),
        nn.ReLU(),
        SparseConv2d.from_dense(nn.Conv2d(8, 8, 3, stride=2), drawn(8, 8, 3, 3) > 0.5),
        nn.Flatten(),
        DNWLinear(32, 12, density=0.3),
        nn.ReLU(),
        SparseLinear.from_dense(nn.Linear(12, 5), drawn(5, 12) > 0.5),
    ).eval()


def neurons():
    """[*, 5] to [*, 3]."""
    torch.manual_seed(0)
    graph = rewire.graphs.random_dag(5, 30, 3, 150, output_transform="softmax")
    return NeuronGraph(graph, keep=60).eval()


MODELS = {"layers": (layers, (3, 6, 6)), "neurons": (neurons, (5,))}
every_model = pytest.mark.parametrize("name", MODELS)


def made(name):
    make, sizes = MODELS[name]
    return make(), drawn(4, *sizes), drawn(7, *sizes, seed=2)


def exported(model, x):
    return torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def gradients(outputs, tensors):
    return torch.autograd.grad(outputs.square().sum(), list(tensors), allow_unused=True)


@pytest.mark.slow
@every_model
def test_an_exported_program_is_saved_and_takes_any_batch(name, tmp_path):
    model, x, other = made(name)
    torch.export.save(exported(model, x), tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    for batch in (x, other, x[:1]):
        assert torch.equal(program(batch), model(batch))
    # The choice of edges is in the program: it obeys the weights that it is given.
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=number))
    assert not torch.equal(program(x), model(x))
    program.load_state_dict(model.state_dict(), strict=False)
    assert torch.equal(program(x), model(x))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling ahead of time needs g++")
@every_model
def test_compiles_ahead_of_time(name, tmp_path):
    model, x, other = made(name)
    with torch.no_grad():
        package = torch._inductor.aoti_compile_and_package(
            exported(model, x), package_path=str(tmp_path / "model.pt2")
        )
        compiled = torch._inductor.aoti_load_package(package)
        for batch in (x, other):
            torch.testing.assert_close(compiled(batch), model(batch))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
@every_model
def test_compiles_once_for_any_batch_forward_and_backward(name):
    model, x, other = made(name)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for batch in (x, other, x[:3]):
            tensors = [batch.detach().requires_grad_(), *model.parameters()]
            y, eager = compiled(tensors[0]), model(tensors[0])
            torch.testing.assert_close(y, eager)
            torch.testing.assert_close(gradients(y, tensors), gradients(eager, tensors))


class OfOperators(nn.Module):
    """A layer as a user writes it, of the operators alone."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(drawn(9, 12)), nn.Parameter(drawn(9))
        self.keep = 32

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = torch.ops.rewire.select(self.weight.detach(), self.keep)
        return torch.ops.rewire.wired_linear(
            x, self.weight, self.bias, s[0], s[1], s[2], s[3], s[4]
        )


@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
def test_a_module_of_operators_scripts(tmp_path):
    module, x = OfOperators(), drawn(4, 12)
    layer = DNWLinear(12, 9, density=32 / 108)
    layer.load_state_dict(module.state_dict())
    assert layer.keep == module.keep
    torch.jit.script(module).save(tmp_path / "module.pt")
    scripted = torch.jit.load(tmp_path / "module.pt")
    assert torch.equal(scripted(x), layer(x))
    for one, other in zip(
        gradients(scripted(x), scripted.parameters()), gradients(layer(x), layer.parameters()), strict=True
    ):
        assert torch.equal(one, other)


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@every_model
def test_is_deterministic(name, deterministic):
    model, x, _ = made(name)
    first, second = ([model(x), *gradients(model(x), model.parameters())] for _ in range(2))
    assert all(map(torch.equal, first, second))


def rounding(model, x):
    """How far autocast leads the outputs and their gradient astray, against their norm."""
    x = x.requires_grad_()
    exact = [model(x), *gradients(model(x), [x])]
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    near = [y.float(), *gradients(y.float(), [x])]
    return y.dtype, [float(((a - b).norm() / b.norm()).detach()) for a, b in zip(near, exact, strict=True)]


def test_autocast_rounds_as_it_does_torchs_own_layers():
    model, x, _ = made("layers")
    dtype, ours = rounding(model, x)
    dense_dtype, dense = rounding(rewire.densify(copy.deepcopy(model)), x)
    assert dtype == dense_dtype == torch.bfloat16
    assert all(0 < one < 2 * other for one, other in zip(ours, dense, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert {grad.dtype for grad in gradients(y.float(), model.parameters())} == {torch.float32}


def test_autocast_leaves_graphs_of_neurons_alone():
    model, x, _ = made("neurons")
    assert rounding(model, x) == (torch.float32, [0, 0])


@pytest.mark.filterwarnings(NO_RULE)
def test_vmap_over_samples_is_the_batch():
    model, x, _ = made("layers")
    mapped = vmap(lambda sample: model(sample[None])[0])(x)
    torch.testing.assert_close(mapped, model(x))
    torch.testing.assert_close(
        gradients(mapped, model.parameters()), gradients(model(x), model.parameters())
    )


@pytest.mark.filterwarnings(NO_RULE)
def test_vmap_over_weights_is_an_ensemble_each_with_its_own_wiring():
    model, x, _ = made("layers")
    stacked = {
        name: torch.stack([p.detach(), drawn(*p.shape)]).requires_grad_()
        for name, p in model.named_parameters()
    }

    def run(parameters):
        return functional_call(model, parameters, (x,))

    mapped = vmap(run)(stacked)
    alone = torch.stack([run({name: p[i] for name, p in stacked.items()}) for i in range(2)])
    torch.testing.assert_close(mapped, alone)
    torch.testing.assert_close(
        gradients(mapped, stacked.values()), gradients(alone, stacked.values()), rtol=1e-4, atol=1e-4
    )


def test_vmap_over_graphs_of_neurons_is_refused():
    model, x, _ = made("neurons")
    with pytest.raises(RuntimeError, match="Batching rule not implemented for rewire::neuron_graph"):
        vmap(model)(x)


@every_model
@pytest.mark.parametrize("transform", ["grad", "jvp", "jacrev"])
def test_transforms_that_differentiate_are_refused(name, transform):
    model, x, _ = made(name)
    runs = {
        "grad": lambda: torch.func.grad(lambda x: model(x).sum())(x),
        "jvp": lambda: torch.func.jvp(model, (x,), (x,)),
        "jacrev": lambda: torch.func.jacrev(model)(x),
    }
    with pytest.raises(RuntimeError, match=TRANSFORMS):
        runs[transform]()


@every_model
def test_forward_mode_is_refused(name):
    model, x, _ = made(name)
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="jvp is not implemented"):
        model(forward_ad.make_dual(x, x))
