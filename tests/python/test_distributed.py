"""Training in two processes: as one with the joint batch, and the same edges in both."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import rewire
from processes import run

pytestmark = pytest.mark.slow

PROCESSES, BATCH, STEPS = 2, 8, 6


def network(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Flatten(), nn.Linear(72, 10))
    return rewire.sparsify(model, 0.3, method=method, seed=1)


def data():
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(STEPS, BATCH, 3, 5, 5, generator=generator)
    return images, torch.randint(10, (STEPS, BATCH), generator=generator)


def train(model, method, part):
    """Steps on a part of each batch; RigL and SET move edges at every second."""
    core = model.module if isinstance(model, DistributedDataParallel) else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    rewiring = None if method == "dnw" else rewire.Rewiring(core, optimizer, method, every=2, until=100)
    for images, labels in zip(*data(), strict=True):
        optimizer.zero_grad()
        functional.cross_entropy(model(images[part]), labels[part]).backward()
        optimizer.step()
        if rewiring:
            rewiring.step()
    return core.state_dict()


def one_of_several(rank, group, folder, method):
    model = DistributedDataParallel(network("dnw" if method == "dnw" else "random"))
    state = train(model, method, slice(rank * BATCH // PROCESSES, (rank + 1) * BATCH // PROCESSES))
    torch.save(state, f"{folder}/{rank}.pt")


@pytest.mark.parametrize("method", ["dnw", "rigl", "set"])
def test_two_processes_are_one_with_the_joint_batch(method, tmp_path):
    run(one_of_several, PROCESSES, tmp_path, method)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(PROCESSES))
    alone = train(network("dnw" if method == "dnw" else "random"), method, slice(None))
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], tensor, msg=name)
