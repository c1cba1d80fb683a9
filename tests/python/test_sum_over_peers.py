"""Numbers that processes add up, and blocks whose batch is that of all of them."""

import pytest
import torch
from torch.library import opcheck
from torch.testing import assert_close

import rewire  # noqa: F401
from processes import run

ops = torch.ops.rewire
PROCESSES = 3
PARTS = [slice(0, 3), slice(3, 4), slice(4, 4)]  # of four images: the last process has none


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def add(rank, group, folder):
    x = torch.tensor([[1.0, rank], [2.0, 10.0 * rank]], requires_grad=True)
    total = ops.sum_over_peers(x.t(), group)
    assert total.tolist() == [[3.0, 6.0], [3.0, 30.0]]
    # Of the losses total[0, 0] * 1 + ... * 2 + ... * 3, one in each process.
    (total * (rank + 1)).sum().backward()
    assert x.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]
    assert ops.sum_over_peers(torch.tensor(2**40 + rank), group).item() == 3 * 2**40 + 3
    assert ops.sum_over_peers(torch.empty(0), group).shape == (0,)


@pytest.mark.slow
def test_sums_and_their_gradients(tmp_path):
    run(add, PROCESSES, tmp_path)


def blocks():
    """Arguments of wired_blocks from the weight on: an entry of 2 channels, and blocks over nine."""
    weight = drawn(9, 11, seed=2)
    own = [drawn(11, 1, 3, 3, seed=3), drawn(11, seed=4), drawn(11, seed=5)]
    tensors = [t.requires_grad_() for t in (weight, *own)]
    structure = list(ops.select(weight.detach(), 50)[:5])
    return tensors, structure


def forward(x, tensors, structure, norm):
    weight, *own = tensors
    return ops.wired_blocks(
        x, weight, structure, *own, None, None, [2, 5, 9], [2, 5, 7], norm, 1e-5, "all", "sparse", None, 1
    )


def image_loss(out, part):
    return (out * drawn(4, *out.shape[1:], seed=6)[part]).sum()


def compute_blocks(rank, group, folder):
    x = drawn(4, 2, 5, 4, seed=1)[PARTS[rank]].requires_grad_()
    tensors, structure = blocks()
    out, mean, variance, _ = forward(x, tensors, structure, f"batch:{group}")
    image_loss(out, PARTS[rank]).backward()
    grads = [t.grad for t in tensors]
    torch.save([out.detach(), mean, variance, x.grad, grads], f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_blocks_of_a_batch_that_is_shared_out(tmp_path):
    x = drawn(4, 2, 5, 4, seed=1).requires_grad_()
    tensors, structure = blocks()
    out, mean, variance, _ = forward(x, tensors, structure, "batch")
    image_loss(out, slice(None)).backward()
    run(compute_blocks, PROCESSES, tmp_path)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(PROCESSES)]
    assert_close(torch.cat([r[0] for r in results]), out.detach())
    assert_close(torch.cat([r[3] for r in results]), x.grad)
    for result in results:
        assert_close(result[1:3], [mean, variance])
    for i, tensor in enumerate(tensors):
        assert_close(sum(r[4][i] for r in results), tensor.grad)


def check(rank, group, folder):
    for x in (drawn(2, 3, seed=0), drawn(3, 2, seed=0).t(), torch.empty(0, 2), torch.ones(3).half()):
        opcheck(ops.sum_over_peers, (x.requires_grad_(), group))
    assert torch.autograd.gradcheck(lambda x: ops.sum_over_peers(x, group), drawn(2, 3, seed=0).requires_grad_())


@pytest.mark.slow
def test_opcheck_in_one_process(tmp_path):
    run(check, 1, tmp_path)


def test_refusals():
    with pytest.raises(RuntimeError, match="sum_over_peers: expected x floating or int64, got Bool"):
        ops.sum_over_peers(torch.ones(2) > 0, "rewire")
    with pytest.raises(RuntimeError, match="sum_over_peers: expected the name of a group, got none"):
        ops.sum_over_peers(torch.ones(2), "")
    with pytest.raises(RuntimeError, match="no_such_group"):
        ops.sum_over_peers(torch.ones(2), "no_such_group")
    tensors, structure = blocks()
    for norm in ("batch:", "group", "batches:a"):
        with pytest.raises(RuntimeError, match="`batch:<group>` or `given`, got `" + norm):
            forward(drawn(4, 2, 5, 4, seed=1), tensors, structure, norm)
