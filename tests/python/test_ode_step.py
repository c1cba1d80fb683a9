"""A step of the solver in continuous time, as torch sees it: opcheck, gradients, refusals."""

import pytest
import torch
from torch.library import opcheck

ops = torch.ops.rewire


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ode_step(layout="contiguous", structure=True, dtype=torch.float64):
    """Arguments of wired_ode_step up to the norm's eps: a step of five channels."""
    batch = 0 if layout == "empty" else 2
    x, slope = drawn(batch, 5, 4, 3, seed=1), drawn(batch, 5, 4, 3, seed=2)
    if layout == "permuted":
        x = x.transpose(0, 3).contiguous().transpose(0, 3)
    weight, depthwise = drawn(5, 5, seed=3), drawn(5, 1, 3, 3, seed=4)
    floating = [x, slope, weight, depthwise, drawn(5, seed=5), drawn(5, seed=6)]
    x, slope, weight, *others = [t.to(dtype).requires_grad_() for t in floating]
    edges = list(ops.select(weight.detach(), 12)[:5]) if structure else []
    return [x, slope, 0.3, weight, edges, *others, 1e-3]


@pytest.mark.parametrize("layout", ["contiguous", "permuted", "empty"])
def test_opcheck_ode_step(layout):
    for structure in (True, False):
        arguments = ode_step(layout, structure)
        opcheck(ops.wired_ode_step, (*arguments, "all", "sparse", None, True))
        rates = torch.ones_like(arguments[3][:, 0]).detach()
        opcheck(ops.wired_ode_step, (*arguments, "candidates", "sparse", rates))


@pytest.mark.parametrize("outputs", [(0,), (1,), (3,), (0, 1), (0, 1, 3)])
def test_ode_step_gradient_from_any_of_its_outputs(outputs):
    x, slope, step, weight, edges, depthwise, norm_weight, norm_bias, eps = ode_step()
    tensors = [x, slope, weight, depthwise, norm_weight, norm_bias]

    def apply(x, slope, weight, *others):
        rest = (*others, eps, "kept", "sparse", None, True)
        results = ops.wired_ode_step(x, slope, step, weight, edges, *rest)
        return tuple(results[i] for i in outputs)

    assert torch.autograd.gradcheck(apply, tensors)


def test_ode_step_gives_a_gradient_to_what_asks_for_one():
    arguments = [t.detach() if isinstance(t, torch.Tensor) else t for t in ode_step()]
    y, slope_at_y, error, middle = ops.wired_ode_step(*arguments)
    assert not y.requires_grad and middle.numel() == 0
    weight = arguments[3].requires_grad_()
    y, slope_at_y, error, middle = ops.wired_ode_step(*arguments, "all", "sparse", None, True)
    assert y.requires_grad and slope_at_y.requires_grad and middle.requires_grad
    assert not error.requires_grad
    y.sum().backward()
    assert weight.grad.abs().sum() > 0


def test_ode_step_has_one_derivative():
    arguments = ode_step()
    y = ops.wired_ode_step(*arguments)[0]
    (grad,) = torch.autograd.grad(y.square().sum(), arguments[0], create_graph=True)
    with pytest.raises(RuntimeError, match="wired_ode_step can be differentiated once"):
        grad.sum().backward()


def test_ode_step_under_autocast_stays_in_float32():
    arguments = ode_step(dtype=torch.float32)
    expected = ops.wired_ode_step(*arguments)[0]
    (grad,) = torch.autograd.grad(expected.sum(), arguments[3])
    with torch.autocast("cpu", torch.bfloat16):
        y = ops.wired_ode_step(*arguments)[0]
    assert torch.equal(y, expected)
    assert torch.equal(torch.autograd.grad(y.sum(), arguments[3])[0], grad)


def test_ode_step_backward_refuses_what_forward_would():
    x, slope, *rest = [t.detach() if isinstance(t, torch.Tensor) else t for t in ode_step()]

    def backward(x, *grads):
        return ops.wired_ode_step_backward(*grads, x, slope, *rest, "all", "sparse", None)

    backward(x, x, None, None)
    for wrong, message in (
        ((x[0], x, x, x), r"x of shape \[batch, channels, height, width\], got \[5, 4, 3\]"),
        ((x, x[:1], x, x), r"grad_y of shape \[2, 5, 4, 3\], got \[1, 5, 4, 3\]"),
        ((x, x, x[:1], x), r"grad_slope_at_y of shape \[2, 5, 4, 3\]"),
        ((x, x, x, x.float()), "grad_middle of dtype Double, got Float"),
    ):
        with pytest.raises(RuntimeError, match="wired_ode_step_backward: expected " + message):
            backward(*wrong)
