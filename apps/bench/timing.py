"""Times of calls that take turns, and how far such a time can be trusted.

Contenders are called A, B, A, B, ...: what slows the machine for a while slows all of them. Half of a
contender's rounds against its other half says how much the machine alone moves a figure, the spread
of A against A.
"""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

SPREAD_LIMIT = 0.10  # a ratio counts below it
SPREAD_ENOUGH = 0.03  # no more rounds are taken below it
MIN_ROUNDS = 6
MAX_ROUNDS = 60
SAMPLE_SECONDS = 0.02  # a sample repeats a short call for about so long


def device_clock() -> float:
    """Seconds since some moment, read when the device has done what it was given."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@dataclass(frozen=True)
class Timing:
    """Seconds that a call took, a number a round."""

    seconds: tuple[float, ...]

    @property
    def ms(self) -> float:
        """The median, in milliseconds."""
        return 1e3 * median(self.seconds)

    @property
    def spread(self) -> float:
        """How far the medians of the even and of the odd rounds lie apart; 0: they agree."""
        even, odd = median(self.seconds[::2]), median(self.seconds[1::2])
        return max(even, odd) / min(even, odd) - 1


def ratio(theirs: Timing, ours: Timing) -> float:
    """Their time over ours: above 1, ours is the faster."""
    return theirs.ms / ours.ms


def pair_spread(theirs: Timing, ours: Timing) -> float:
    """The larger spread of the two, which bounds what their ratio is worth."""
    return max(theirs.spread, ours.spread)


def interleave(
    calls: Mapping[str, Callable[[], object]],
    seconds: float = 10,
    clock: Callable[[], float] = device_clock,
) -> dict[str, Timing]:
    """Time calls in turns.

    Parameters
    ----------
    calls : mapping of str to callable
        The contenders.
    seconds : float
        Rounds beyond ``MIN_ROUNDS`` are taken for at most so long, and only while the spread of some
        contender is above ``SPREAD_ENOUGH``. No sample is dropped.
    clock : callable
        Seconds since some moment.

    Returns
    -------
    dict of str to Timing
    """
    repeats = {name: _repeats(call, clock) for name, call in calls.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    start = clock()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for round_number in range(MAX_ROUNDS):
            if round_number >= MIN_ROUNDS and (_settled(taken) or clock() - start > seconds):
                break
            for name, call in calls.items():
                taken[name].append(_sample(call, repeats[name], clock))
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(tuple(samples)) for name, samples in taken.items()}


def _settled(taken: Mapping[str, list[float]]) -> bool:
    return all(Timing(tuple(samples)).spread < SPREAD_ENOUGH for samples in taken.values())


def _repeats(call: Callable[[], object], clock: Callable[[], float]) -> int:
    """How often a sample repeats the call. The first call, which prepares things, is not looked at."""
    call()
    start = clock()
    call()
    return max(1, round(SAMPLE_SECONDS / max(clock() - start, 1e-7)))


def _sample(call: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    """Seconds of a call. A short one runs once untimed: the contender before it had the caches."""
    if repeats > 1:
        call()
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats
