"""A case: our way and those of its peers to the same results, compared first, then timed.

A case fails where a result is wrong; a ratio that misses its goal is a figure, not a failure.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

import memory
import timing

Results = Mapping[str, Tensor]  # one name for one thing, in one layout, whoever computed it
TOLERANCE = 1e-5  # relative to the largest value, against float64
FLOOR_FACTOR = 1.2  # a goal of "within 1.2 x of the measured floor"


@dataclass(frozen=True)
class Way:
    """One way to compute: what is timed, and what it gives, for comparison."""

    run: Callable[[], object]
    results: Callable[[], Results]


@dataclass(frozen=True)
class Peer:
    """Whom we are measured against, with every layout that may suit it: the best one counts.

    goal is the row of the table of goals; target and moonshot are its ratios, None where it names
    none.
    """

    goal: str
    against: str
    ways: Mapping[str, Way]
    target: float | None = None
    moonshot: float | None = None


@dataclass(frozen=True)
class Contest:
    """A case made ready.

    reference gives the results in float64; integers and truths have to agree exactly, floats within
    TOLERANCE of the largest value, but for those that `loose` names: of these the differences' norm
    is within a tolerance of their own, of the values' norm.
    apart: what is timed beside it and shown on its own, as `<name>_ms`; one named `floor` sets the
    moonshot of peers that have none. memory: whether the peak of memory is measured.
    """

    ours: Way
    peers: Sequence[Peer]
    reference: Callable[[], Results]
    loose: Mapping[str, float] = field(default_factory=dict)
    apart: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    memory: bool = False


@dataclass(frozen=True)
class Case:
    """A line of the table before its tensors are made. goals: those that its rows belong to."""

    goals: tuple[str, ...]
    name: str
    shape: str
    build: Callable[[], Contest]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value expected; infinite where they cannot be compared.

    Tensors that are not floating differ by nothing or by infinity.
    """
    if actual.shape != expected.shape:
        return float("inf")
    if not expected.is_floating_point():
        return 0.0 if torch.equal(actual.to(expected.dtype), expected) else float("inf")
    if expected.numel() == 0:
        return 0.0
    wanted = expected.detach().double()
    difference = (actual.detach().double() - wanted).abs().max()
    error = (difference / wanted.abs().max().clamp_min(1e-300)).item()
    return error if error == error else float("inf")  # NaN is no agreement


def worst_error(results: Results, reference: Results) -> float:
    """The largest relative error among the results; each must have its like in the reference."""
    return max(relative_error(tensor, reference[name]) for name, tensor in results.items())


def norm_error(actual: Tensor, expected: Tensor) -> float:
    """The norm of the differences over that of the values expected: a few that are off add little."""
    if actual.shape != expected.shape:
        return float("inf")
    wanted = expected.detach().double()
    difference = (actual.detach().double() - wanted).norm()
    error = (difference / wanted.norm().clamp_min(1e-300)).item()
    return error if error == error else float("inf")


def compare(results: Results, reference: Results, loose: Mapping[str, float]) -> tuple[float, bool]:
    """The worst error of what is compared strictly, and whether everything is within its tolerance."""
    strict = {name: tensor for name, tensor in results.items() if name not in loose}
    error = worst_error(strict, reference)
    equal = error <= TOLERANCE and all(
        norm_error(results[name], reference[name]) <= tolerance
        for name, tolerance in loose.items()
        if name in results
    )
    return error, equal


def rows(case: Case, seconds: float) -> Iterator[dict[str, object]]:
    """Build a case, compare its results, time it, and give one row of the table for each peer."""
    contest = case.build()
    reference = contest.reference()
    ways = {(peer.against, name): way for peer in contest.peers for name, way in peer.ways.items()}
    ours = compare(contest.ours.results(), reference, contest.loose)
    theirs = {key: compare(way.results(), reference, contest.loose) for key, way in ways.items()}
    del reference

    calls = {"ours": contest.ours.run} | {key: way.run for key, way in ways.items()}
    times = timing.interleave(
        calls | {("apart", name): call for name, call in contest.apart.items()}, seconds
    )
    for peer in contest.peers:
        best = min(((peer.against, name) for name in peer.ways), key=lambda key: times[key].ms)
        apart = {name: times["apart", name] for name in contest.apart}
        row = _row(case, peer, best[1], times["ours"], times[best], apart)
        row["error"], row["their_error"] = ours[0], theirs[best][0]
        row["equal"] = ours[1] and theirs[best][1]
        if contest.memory:
            row["ours_mb"] = memory.peak_mb(contest.ours.run)
            row["theirs_mb"] = memory.peak_mb(peer.ways[best[1]].run)
        yield row


def _row(
    case: Case,
    peer: Peer,
    way: str,
    ours: timing.Timing,
    theirs: timing.Timing,
    apart: Mapping[str, timing.Timing],
) -> dict[str, object]:
    moonshot = peer.moonshot
    if moonshot is None and "floor" in apart:
        moonshot = theirs.ms / (FLOOR_FACTOR * apart["floor"].ms)
    return {
        "goal": peer.goal,
        "case": case.name,
        "against": peer.against,
        "way": way,
        "shape": case.shape,
        "threads": torch.get_num_threads(),
        "ratio": timing.ratio(theirs, ours),
        "spread": timing.pair_spread(theirs, ours),
        "rounds": len(ours.seconds),
        "ours_ms": ours.ms,
        "theirs_ms": theirs.ms,
        "target": peer.target,
        "moonshot": moonshot,
    } | {f"{name}_ms": time.ms for name, time in apart.items()}


def verdict(row: Mapping[str, object]) -> str:
    """What a row says: wrong, noisy, moonshot, held, missed, or - where no goal is set."""
    if not row["equal"]:
        return "wrong"
    if row["spread"] >= timing.SPREAD_LIMIT:
        return "noisy"
    if row["target"] is None:
        return "-"
    if row["moonshot"] is not None and row["ratio"] >= row["moonshot"] >= row["target"]:
        return "moonshot"
    return "held" if row["ratio"] >= row["target"] else "missed"


def measure(case: Case, seconds: float) -> Iterator[dict[str, object]]:
    """The rows of a case. One that cannot be computed is a row that says so, and not equal."""
    try:
        for row in rows(case, seconds):
            yield row | {"verdict": verdict(row)}
    except Exception as error:  # of an operator or a peer: the other cases are still worth running
        traceback.print_exc()
        for goal in case.goals:
            yield {
                "goal": goal,
                "case": case.name,
                "against": None,
                "shape": case.shape,
                "ratio": None,
                "spread": None,
                "equal": False,
                "failure": f"{type(error).__name__}: {error}".splitlines()[0],
            }
