"""C8, C9 and C11: training steps and evaluation of the static classifier against the published code.

A step is forward, loss, backward and SGD. `drifted`: every edge in the part of the matrix that the
network reads, where trainings move them, 12 % of it; otherwise edges are as an initialisation has
them, 5 % of any part.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from contest import Case, Contest, Peer
from networks import TrainingStep, data, evaluation, exported, weight_gradients, wirings
from published import StaticClassifier, zero_by_kthvalue, zero_by_sort

CONFIG = "configs/cifar10/static-dnw.yaml"
STEP_GOALS = {("C8", 512): 4.5, ("C8", 128): 5, ("C9", 512): 9, ("C9", 128): 9}
MOONSHOTS = {"C8": None, "C9": 12}  # that of C8 is a floor, which is measured
EVALUATION_GOALS = (9, 12)


def cases(full: bool) -> Iterator[Case]:
    """Steps with all gradients and with those of kept edges, and evaluation."""
    shape = "static classifier, 32x32"
    for goal in ("C8", "C9"):
        for batch in (512, 128, *((32,) if full else ())):
            for drifted in (False, True) if full or (goal, batch) == ("C8", 512) else (False,):
                name = f"batch={batch}" + (" drifted" if drifted else "")
                yield Case((goal,), name, shape, partial(build_step, goal, batch, drifted))
    yield Case(("C11",), "static batch=512", shape, partial(build_evaluation, 512))


def models(gradient: str, drifted: bool) -> tuple[nn.Module, StaticClassifier, StaticClassifier]:
    """Ours, and the published one by sort and by kthvalue, with the same weights."""
    ours = exported(CONFIG, f"model.wiring.gradient={gradient}")
    sort, kthvalue = StaticClassifier(zero=zero_by_sort), StaticClassifier(zero=zero_by_kthvalue)
    if drifted:
        with torch.no_grad():
            wirings(ours)["graph"].weight[~usable(sort)] *= 1e-3
    for model in (sort, kthvalue):
        model.load_state_dict(ours.state_dict())
    return ours, sort, kthvalue


def usable(model: StaticClassifier) -> Tensor:
    """bool, like the graph's weight: the edges that the network reads."""
    read = torch.zeros_like(model.graph.weight, dtype=torch.bool)
    for begin, end, target in zip(model.begins, model.ends, model.targets):
        read[target:, begin:end] = True
    return read


def build_step(goal: str, batch: int, drifted: bool) -> Contest:
    """A training step, ours and the published one's; C9: with gradients of kept edges alone."""
    kept = goal == "C9"
    ours, sort, kthvalue = models("kept" if kept else "all", drifted)
    step = TrainingStep(sort, batch, kept)
    target = STEP_GOALS.get((goal, batch))
    peers = [Peer(goal, "published", {"sort": step.published(sort)}, target, MOONSHOTS[goal])]
    apart = {}
    if not kept:
        peers.append(Peer(goal, "published-kthvalue", {"kthvalue": step.published(kthvalue)}))
        apart["floor"] = static_floor(sort, batch)
    return Contest(
        step.ours(ours), peers, lambda: step.reference, step.loose, apart=apart, memory=True
    )


def static_floor(model: StaticClassifier, batch: int) -> Callable[[], None]:
    """What an exact step cannot do without."""
    positions = batch * model.zeros.shape[2] * model.zeros.shape[3]
    return weight_gradients(
        (model.DIM - target, end - begin, positions)
        for begin, end, target in zip(model.begins, model.ends, model.targets)
    )


def build_evaluation(batch: int) -> Contest:
    """Logits in evaluation mode."""
    ours, sort, _ = models("all", drifted=False)
    images, _ = data(batch)
    exact = evaluation(copy.deepcopy(sort).double(), images.double())
    published = Peer("C11", "published", {"sort": evaluation(sort, images)}, *EVALUATION_GOALS)
    return Contest(evaluation(ours, images), [published], exact.results, memory=True)
