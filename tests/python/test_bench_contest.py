"""How the benchmark compares, times and judges; nothing here looks at a clock."""

import json

import contest
import memory
import pytest
import table
import timing
import torch
from contest import Case, Contest, Peer, Way
from timing import Timing


def test_a_ratio_is_their_time_over_ours_and_has_the_larger_spread():
    ours, theirs = Timing((1.0, 1.0, 1.0, 1.0, 9.0)), Timing((6.0, 5.0, 6.0, 5.0, 6.0))
    assert timing.ratio(theirs, ours) == 6
    assert ours.spread == 0 and theirs.spread == pytest.approx(0.2)
    assert timing.pair_spread(theirs, ours) == timing.pair_spread(ours, theirs) == theirs.spread


class Clock:
    """Seconds that pass only where a call says so."""

    def __init__(self):
        self.now = 0.0
        self.called = []

    def __call__(self):
        return self.now

    def takes(self, name, seconds):
        def call():
            self.called.append(name)
            self.now += seconds

        return call


def test_contenders_take_turns():
    clock = Clock()
    times = timing.interleave({"a": clock.takes("a", 1), "b": clock.takes("b", 3)}, clock=clock)
    assert [times["a"].seconds, times["b"].seconds] == [(1.0,) * 6, (3.0,) * 6]
    assert clock.called == ["a", "a", "b", "b"] + ["a", "b"] * timing.MIN_ROUNDS


def test_short_calls_are_repeated_and_noisy_ones_get_more_rounds():
    clock = Clock()
    short = clock.takes("short", timing.SAMPLE_SECONDS / 4)
    assert timing.interleave({"": short}, clock=clock)[""].ms == pytest.approx(5)
    assert len(clock.called) == 2 + timing.MIN_ROUNDS * (1 + 4)

    slow, seconds = iter(range(1, 1000)), Clock()

    def slower_each_time():
        seconds.now += next(slow)

    rounds = len(timing.interleave({"": slower_each_time}, 60, seconds)[""].seconds)
    assert timing.MIN_ROUNDS < rounds < timing.MAX_ROUNDS


def test_relative_errors():
    error = contest.relative_error
    expected = torch.tensor([4.0, -1.0], dtype=torch.float64)
    assert error(torch.tensor([4.0, -0.5]), expected) == 0.125
    for wrong in ([4.0, float("nan")], [4.0], [[4.0, -1.0]]):
        assert error(torch.tensor(wrong), expected) == float("inf")
    assert error(torch.tensor([1, 2], dtype=torch.int32), torch.tensor([1, 2])) == 0
    assert error(torch.tensor([1, 3]), torch.tensor([1, 2])) == float("inf")
    assert error(torch.zeros(2), torch.zeros(2)) == 0
    assert error(torch.empty(0), torch.empty(0)) == 0


def test_some_results_have_a_tolerance_of_their_own():
    found = {"a": torch.tensor(1.0), "b": torch.tensor(1.01)}
    wanted = {"a": torch.tensor(1.0), "b": torch.tensor(1.0), "not computed": torch.tensor(1.0)}
    assert contest.compare(found, wanted, {"b": 0.02}) == (0, True)
    assert contest.compare(found, wanted, {"b": 0.005}) == (0, False)
    error, equal = contest.compare(found, wanted, {"a": 0.02, "not computed": 0})
    assert error == pytest.approx(0.01, rel=1e-3) and not equal


def constant(value):
    return Way(lambda: None, lambda: {"output": torch.tensor(value)})


def made_up(their_value=1.0):
    """A case whose peer is three times slower in one way and five times in the other."""
    peers = [
        Peer("C1", "torch-dense", {"slow": constant(9.0), "fast": constant(their_value)}, 2.5, 4),
        Peer("C4", "scipy", {"": constant(1.0)}),
    ]
    made = Contest(
        constant(1.0), peers, lambda: {"output": torch.tensor(1.0)}, apart={"floor": lambda: None}
    )
    return Case(("C1", "C4"), "density=0.05", "2x2", lambda: made)


@pytest.fixture
def times(monkeypatch):
    seconds = {
        "ours": 1.0,
        ("torch-dense", "slow"): 5.0,
        ("torch-dense", "fast"): 3.0,
        ("scipy", ""): 7.0,
        ("apart", "floor"): 0.5,
    }

    def interleave(calls, _):
        return {name: Timing((seconds[name],) * 4) for name in calls}

    monkeypatch.setattr(timing, "interleave", interleave)


def test_rows_take_the_best_way_of_a_peer_and_say_whether_it_agrees(times):
    dense, scipy = contest.measure(made_up(), 1)
    assert dense["goal"] == "C1" and dense["case"] == "density=0.05" and dense["shape"] == "2x2"
    assert dense["against"] == "torch-dense" and dense["way"] == "fast"
    assert (dense["ratio"], dense["spread"], dense["equal"]) == (3, 0, True)
    assert (dense["ours_ms"], dense["theirs_ms"], dense["floor_ms"]) == (1000, 3000, 500)
    assert (dense["target"], dense["moonshot"], dense["verdict"]) == (2.5, 4, "held")
    assert (scipy["goal"], scipy["ratio"], scipy["target"], scipy["verdict"]) == (
        "C4",
        7,
        None,
        "-",
    )
    assert scipy["moonshot"] == pytest.approx(7 / (1.2 * 0.5))
    assert "held" in table.line(dense) and len(table.line(dense)) < 120
    json.dumps([dense, scipy])


def test_a_wrong_result_is_said(times):
    dense, scipy = contest.measure(made_up(their_value=1.0001), 1)
    assert (dense["equal"], dense["verdict"]) == (False, "wrong")
    assert dense["their_error"] == pytest.approx(1e-4, rel=1e-2)
    assert scipy["equal"]


def test_a_case_that_fails_is_a_row_that_is_not_equal(capsys):
    def build():
        raise RuntimeError("no such operator\nand more")

    rows = list(contest.measure(Case(("C1", "C4"), "density=0.05", "2x2", build), 1))
    assert [row["goal"] for row in rows] == ["C1", "C4"]
    assert not any(row["equal"] for row in rows)
    assert table.line(rows[0]).endswith("RuntimeError: no such operator")
    assert "no such operator" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verdict, changes",
    [
        ("held", {}),
        ("missed", {"ratio": 1.9}),
        ("moonshot", {"ratio": 3.0}),
        ("held", {"ratio": 3.0, "moonshot": None}),
        ("held", {"ratio": 2.5, "moonshot": 1.0}),  # a moonshot below the goal is none
        ("-", {"target": None}),
        ("noisy", {"spread": 0.1}),
        ("wrong", {"equal": False, "spread": 0.1}),
    ],
)
def test_verdicts(verdict, changes):
    row = {"equal": True, "spread": 0.09, "ratio": 2.0, "target": 2.0, "moonshot": 3.0} | changes
    assert contest.verdict(row) == verdict


def test_peak_memory_counts_what_is_held_at_once():
    def call():
        first = torch.ones(250_000)
        second = first + 1
        del first
        return second + 1

    assert memory.peak_mb(call) == pytest.approx(2, rel=0.01)
