"""C10 and C11: a training step and evaluation of the MobileNetV1-like network against the published
code.

`drifted`: every edge in the part of its stage's matrix that the network reads, where trainings move
them.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from contest import Case, Contest, Peer
from networks import TrainingStep, data, evaluation, exported, weight_gradients, wirings
from published import zero_by_kthvalue, zero_by_sort
from published_mobilenet_v1 import BLOCKS, MobileNetV1

CONFIG = "configs/cifar10/mobilenetv1-dnw.yaml"
BATCH = 128
SIDE = 32


def cases(full: bool) -> Iterator[Case]:
    """A step with all gradients, and evaluation."""
    shape = "MobileNetV1-DNW x0.225, 32x32"
    for drifted in (False, True) if full else (False,):
        name = f"batch={BATCH}" + (" drifted" if drifted else "")
        yield Case(("C10",), name, shape, partial(build_step, drifted))
    yield Case(("C11",), f"mobilenetv1 batch={BATCH}", shape, partial(build_evaluation, BATCH))


def without_ties(like: Tensor) -> Tensor:
    """Weights of different magnitudes, evenly spread. Among as many as there are, two at the threshold
    are likely to be equal otherwise, and then each algorithm keeps another one."""
    generator = torch.Generator("cpu").manual_seed(like.numel())
    places = torch.randperm(like.numel(), generator=generator, device="cpu") + 1
    signs = torch.randint(2, places.shape, generator=generator, device="cpu") * 2 - 1
    return (signs * places.double() / like.numel() * 2.0**-5).to(like).view_as(like)


def models(drifted: bool) -> tuple[nn.Module, MobileNetV1, MobileNetV1]:
    """Ours, and the published one by sort and by kthvalue, with the same weights."""
    ours = exported(CONFIG)
    with torch.no_grad():
        for block, graph in zip(BLOCKS, wirings(ours).values()):
            graph.weight.copy_(without_ties(graph.weight))
            inputs, outputs, _, depth = block
            for i in range(1, depth) if drifted else ():
                graph.weight[: i * outputs, inputs + (i - 1) * outputs :] *= 1e-3
    sort, kthvalue = MobileNetV1(zero=zero_by_sort), MobileNetV1(zero=zero_by_kthvalue)
    for model in (sort, kthvalue):
        model.load_state_dict(ours.state_dict())
    return ours, sort, kthvalue


def floor() -> Callable[[], None]:
    """What an exact step cannot do without."""
    shapes, side = [], SIDE
    for inputs, outputs, stride, depth in BLOCKS:
        side //= stride
        positions = BATCH * side * side
        shapes.append((outputs * depth, inputs, positions))
        shapes += [(outputs * (depth - i), outputs, positions) for i in range(1, depth)]
    return weight_gradients(shapes)


def build_step(drifted: bool) -> Contest:
    """A training step, ours and the published one's."""
    ours, sort, kthvalue = models(drifted)
    step = TrainingStep(kthvalue, BATCH, kept=False)  # the same edges, sooner
    peers = [
        Peer("C10", "published", {"sort": step.published(sort)}, 9),
        Peer("C10", "published-kthvalue", {"kthvalue": step.published(kthvalue)}, 3.5),
    ]
    return Contest(
        step.ours(ours), peers, lambda: step.reference, step.loose, {"floor": floor()}, memory=True
    )


def build_evaluation(batch: int) -> Contest:
    """Logits in evaluation mode."""
    ours, sort, kthvalue = models(drifted=False)
    images, _ = data(batch)
    exact = evaluation(copy.deepcopy(kthvalue).double(), images.double())
    published = Peer("C11", "published", {"sort": evaluation(sort, images)}, 40, 70)
    return Contest(evaluation(ours, images), [published], exact.results, memory=True)
