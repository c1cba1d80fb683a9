"""G1 and G3 to G5: on a GPU, sparse products, selection, training steps and graphs of neurons.

The peers are torch's there: cuBLAS for dense products, cuSPARSE for those of CSR.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import cases_forward
import cases_graph
import cases_select
import cases_static
import cases_training
from contest import Case, Contest

# ratio and moonshot here, of the contests made for the CPU by goal and peer there
GOALS = {
    ("C1", "torch-dense"): (2.5, 4),
    ("C4", "torch-csr"): (3, 5),
    ("C5", "torch-dense"): (None, None),
    ("C6", "sort"): (20, 40),
    ("C7", "topk"): (5, 10),
    ("C8", "published"): (4, 8),
    ("C12", "torch-csr-levels"): (5, 10),
    ("C12", "freewire-style"): (30, 100),
}

PRODUCTS = [(512, 512, 512, 8), (1024, 1024, 512, 8)]  # inputs, outputs, images, side
DENSITIES = [0.10, 0.05, 0.01]
TRAINED = [("kept", 0.10), ("kept", 0.05), ("all", 0.05)]


def cases(full: bool) -> Iterator[Case]:
    """Products of 32,768 columns; 8.65 million candidates; steps of the static classifier; a graph of
    100,000 neurons."""
    for inputs, outputs, images, side in PRODUCTS if full else PRODUCTS[:1]:
        shape = f"{outputs}x{inputs}, {images} of {side}x{side}"
        for density in DENSITIES:
            build = partial(cases_forward.build, inputs, outputs, density, images, side)
            yield _case("G1", f"density={density:.2f}", shape, build)
        for gradient, density in TRAINED:
            build = partial(cases_training.build, gradient, density, (inputs, outputs, images, side))
            yield _case("G1", f"{gradient} density={density:.2f}", shape, build)
    for outputs, inputs in cases_select.SHAPES if full else cases_select.SHAPES[-1:]:
        build = partial(cases_select.build, outputs, inputs, "cold")
        yield _case("G3", f"n={outputs * inputs}", f"{outputs}x{inputs}, 5% kept", build)
    build = partial(cases_static.build_step, "C8", 512, False)
    yield _case("G4", "static batch=512", "static classifier, 32x32", build)
    build = partial(build_graph, 50, 2_000, 10)
    name = f"neurons=100000 edges=1000000 batch={cases_graph.BATCH}"
    yield _case("G5", name, "50 levels, relu", build)


def build_graph(levels: int, width: int, fan_in: int) -> Contest:
    """A graph's forward pass."""
    return cases_graph.forward_contest(cases_graph.levelled(levels, width, fan_in))


def _case(goal: str, name: str, shape: str, build: Callable[[], Contest]) -> Case:
    return Case((goal,), name, shape, partial(with_goals, goal, build))


def with_goals(goal: str, build: Callable[[], Contest]) -> Contest:
    """A contest made for the CPU with the peers that it has on a GPU, and with what is wanted there."""
    contest = build()
    peers = []
    for peer in contest.peers:
        if (peer.goal, peer.against) in GOALS:
            target, moonshot = GOALS[peer.goal, peer.against]
            peers.append(replace(peer, goal=goal, target=target, moonshot=moonshot))
    return replace(contest, peers=peers)
