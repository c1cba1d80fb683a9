"""WiredBlock against the same thing composed of torch's layers, and in the C++ library's network."""

import copy
import doctest
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

import rewire
from rewire.nn import WiredBlock, wired_block

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def block(depth=3, stride=2, **options):
    torch.manual_seed(0)
    made = WiredBlock(4, 5, depth, stride, density=0.4, dtype=torch.float64, **options)
    with torch.no_grad():
        for norm in made.norm:
            norm.weight.copy_(drawn(norm.num_features, seed=1))
            norm.bias.copy_(drawn(norm.num_features, seed=2))
    return made


def by_hand(block, x):
    """Each convolution by itself, on the state of all channels that receive."""
    used = block.graph.used_weight()
    out, size = block.out_channels, block.in_channels
    z = functional.relu(block.norm[0](x))
    state = functional.conv2d(block.downsample[0](z), used[:, :size])
    for i in range(1, block.depth):
        own = slice((i - 1) * out, i * out)
        weight = block.conv.weight[own]
        z = functional.relu(block.norm[i](state[:, own]))
        z = functional.conv2d(z, weight, padding=1, groups=out)
        sent = functional.conv2d(z, used[i * out :, size + own.start : size + own.stop])
        state = torch.cat([state[:, : i * out], state[:, i * out :] + sent], 1)
    return state[:, -out:]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("depth", "stride"), [(1, 1), (3, 2)])
def test_is_convolutions_one_after_another(depth, stride, norm, training):
    fused = block(depth, stride, norm=norm).train(training)
    reference = copy.deepcopy(fused)
    x, same = (drawn(3, 4, 7, 6, seed=3).requires_grad_() for _ in range(2))
    out, expected = fused(x), by_hand(reference, same)
    assert_close(out, expected)
    grad = drawn(*out.shape, seed=4)
    out.backward(grad)
    expected.backward(grad)
    assert_close(x.grad, same.grad)
    for (name, one), other in zip(fused.named_parameters(), reference.parameters(), strict=True):
        assert_close(one.grad, other.grad, msg=name)
    for (name, one), other in zip(fused.named_buffers(), reference.buffers(), strict=True):
        assert_close(one, other, msg=name)


def test_is_a_stage_of_the_librarys_network():
    network = rewire.load(CONFIGS / "cifar10/mobilenetv1-dnw.yaml")
    stage = getattr(network.layers, "1")
    state = stage.state_dict()
    own = WiredBlock(64, 128, depth=2, stride=2, density=0.5)
    own.graph.keep = dict(stage.named_modules())["graph"].keep
    own.load_state_dict(state)
    x = drawn(2, 64, 8, 8, dtype=torch.float32)
    assert_close(own(x), stage.train()(x))
    stage.load_state_dict(own.state_dict())
    assert_close(own.eval()(x), stage.eval()(x))


def test_compiles_copies_and_is_saved(tmp_path):
    made = block(2, 1, gradient=0.5)
    x = drawn(2, 4, 5, 5)
    torch.save(made.state_dict(), tmp_path / "block.pt")
    other = block(2, 1, gradient=0.5)
    other.load_state_dict(torch.load(tmp_path / "block.pt", weights_only=True))
    compiled = torch.compile(made.eval(), backend="aot_eager", fullgraph=True)
    assert_close(compiled(x), other.eval()(x))
    with torch.no_grad():
        assert_close(copy.deepcopy(made)(x), made(x))
    assert "4, 5, depth=2, stride=1, norm='batch'" in repr(made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "expected depth of at least 1, got 0"),
        ({"stride": 0}, "expected stride of at least 1, got 0"),
        ({"norm": "layer"}, "expected norm 'batch' or 'instance', got 'layer'"),
        ({"gradient": "some"}, "expected gradient 'all', 'kept' or a fraction"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        WiredBlock(4, 5, density=0.5, **options)
    with pytest.raises(RuntimeError, match=r"shape \[batch, channels, height, width\]"):
        block()(drawn(4, 7, 6))


def test_documentation_is_true():
    assert doctest.testmod(wired_block) == (0, 3)
