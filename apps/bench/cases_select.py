"""C6 and C7: choosing the strongest 5 % of the candidates, with both structures.

Peers give less: sorting as published gives a mask's indices, topk the same, kthvalue a threshold.
`warm`: with the threshold from before a training step as a hint, whose result may not differ.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from contest import Case, Contest, Peer, Way
from layers import drawn, random_weight

DENSITY = 0.05
STEP = 1e-3  # how far a training step moves the weights, in their standard deviations
SORT_GOALS = {"cold": (80, 150), "warm": (200, 400)}
PARTIAL_GOALS = (8, 25)
SHAPES = [(800, 800), (2112, 4096)]
MORE_SHAPES = [(256, 256), (8192, 8192)]


def cases(full: bool) -> Iterator[Case]:
    """The sizes of the goals; in full a small one, and 67 million candidates."""
    for shape in SHAPES + (MORE_SHAPES if full else []):
        for hint in ("cold", "warm"):
            yield Case(
                ("C6", "C7"),
                f"n={shape[0] * shape[1]} {hint}",
                f"{shape[0]}x{shape[1]}, {DENSITY:.0%} kept",
                partial(build, *shape, hint),
            )


def build(outputs: int, inputs: int, hint: str) -> Contest:
    """Selection, and sort, topk and kthvalue against it."""
    before = random_weight(outputs, inputs)
    keep = round(DENSITY * before.numel())
    weight = before + STEP * before.std() * drawn(*before.shape, seed=4)
    known = torch.ops.rewire.select(before, keep)[-1] if hint == "warm" else None

    def ours() -> tuple[Tensor, ...]:
        return torch.ops.rewire.select(weight, keep, known)

    peers = [
        Peer("C6", "sort", sort_ways(weight, keep), *SORT_GOALS[hint]),
        Peer("C7", "topk", topk_ways(weight, keep), *PARTIAL_GOALS),
        Peer("C7", "kthvalue", kthvalue_ways(weight, keep), *PARTIAL_GOALS),
    ]
    return Contest(
        Way(ours, lambda: selection_results(ours(), inputs)), peers, partial(expected, weight, keep)
    )


def expected(weight: Tensor, keep: int) -> dict[str, Tensor]:
    """The selection by a stable sort: of equal magnitudes the lower flat index is kept."""
    outputs, inputs = weight.shape
    magnitudes = weight.abs().flatten()
    order = magnitudes.sort(descending=True, stable=True).indices
    edges = order[:keep].sort().values
    transposed = (edges % inputs).sort(stable=True)
    return {
        "edges": edges,
        "by_input": edges[transposed.indices],
        "order": transposed.indices,
        "threshold": magnitudes[order[keep - 1]].double(),
        "magnitudes": magnitudes[edges].sort().values.double(),
    }


def selection_results(selection: tuple[Tensor, ...], inputs: int) -> dict[str, Tensor]:
    """Flat indices of the edges, by output and by input, as our structures name them."""
    row_offsets, columns, column_offsets, rows, order, threshold = selection
    return {
        "edges": _expand(row_offsets) * inputs + columns,
        "by_input": rows * inputs + _expand(column_offsets),
        "order": order.long(),
        "threshold": threshold,
    }


def _expand(offsets: Tensor) -> Tensor:
    """The row of each edge, from the rows' offsets."""
    return torch.arange(len(offsets) - 1).repeat_interleave(offsets.diff().long())


def sort_ways(weight: Tensor, keep: int) -> dict[str, Way]:
    """As published: every magnitude sorted; the indices of the smallest are what it is for. Of equal
    magnitudes any may be kept, so magnitudes are compared and not indices."""

    def run() -> tuple[Tensor, Tensor]:
        return weight.flatten().abs().sort()

    return {"sort": Way(run, lambda: {"magnitudes": run()[0][-keep:]})}


def topk_ways(weight: Tensor, keep: int) -> dict[str, Way]:
    """In order, and in whatever order is the fastest."""

    def way(in_order: bool) -> Way:
        def run() -> tuple[Tensor, Tensor]:
            return weight.flatten().abs().topk(keep, sorted=in_order)

        return Way(run, lambda: {"magnitudes": run()[0].sort().values})

    return {"sorted": way(True), "unsorted": way(False)}


def kthvalue_ways(weight: Tensor, keep: int) -> dict[str, Way]:
    """The threshold alone."""

    def run() -> Tensor:
        return weight.flatten().abs().kthvalue(weight.numel() - keep + 1).values

    return {"kthvalue": Way(run, lambda: {"threshold": run()})}
