"""Every method of sparse training learns handwritten digits, and keeps to its rule meanwhile."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

import rewire
from rewire.demo.__main__ import digits


DENSITY = {"edge-popup": 0.5, "2:4": 0.5}  # 0.05 of the others


@functools.cache
def trained(method):
    """Eight epochs of Adam. The network, what it began with, and its share of right answers."""
    images, labels, test_images, test_labels = digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))
    rewire.sparsify(model, DENSITY.get(method, 0.05), method=method, seed=0)
    if method == "edge-popup":
        for layer in (model[0], model[2]):
            layer.reset_parameters()
    began = copy.deepcopy(model)
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learns, lr=5e-3)
    schedule = None
    if method in ("rigl", "set"):
        schedule = rewire.Rewiring(model, optimizer, method, every=5, until=140)
    if method == "gradual":
        schedule = rewire.GradualPruning(model, end=100, every=5)
    for _ in range(8):
        for batch in torch.randperm(len(images)).split(64):
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            if method == "top-kast":
                loss = loss + 1e-4 * rewire.nn.exploration_penalty(model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
    with torch.no_grad():
        right = (model.eval()(test_images).argmax(1) == test_labels).float().mean()
    return model, began, right.item()


@pytest.mark.parametrize(
    ("method", "at_least"),
    [
        ("dnw", 0.87),
        ("random", 0.35),
        ("rigl", 0.65),
        ("set", 0.35),
        ("gradual", 0.8),
        ("edge-popup", 0.8),
        ("top-kast", 0.83),
        ("2:4", 0.92),
    ],
)
def test_learns_digits_by_its_rule(method, at_least):
    model, began, right = trained(method)
    assert right > at_least
    for layer, first in ((model[0], began[0]), (model[2], began[2])):
        used = layer.used_edges()
        pruned = int((1 - DENSITY.get(method, 0.05)) * used.numel())
        assert used.sum() == used.numel() - pruned
        assert torch.equal(used, first.used_edges()) == (method == "random")
        if hasattr(layer, "weight"):
            assert torch.equal(layer.weight, first.weight) == (method == "edge-popup")
        if method == "2:4":
            assert (used.view(-1, 4).sum(1) == 2).all()


def test_edges_that_are_chosen_learn_more_than_edges_that_are_drawn():
    right = {method: trained(method)[2] for method in ("random", "rigl", "dnw", "top-kast")}
    assert right["rigl"] > right["random"] + 0.1
    assert min(right["dnw"], right["top-kast"]) > right["random"] + 0.25
