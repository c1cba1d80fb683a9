"""Several seeds of one experiment, and tables of runs."""

import json
import statistics

import pytest

EXPECT = "{top1: 12.5, within: 0.5, source: a table}"


def test_a_sweep_gives_mean_and_deviation(rewire):
    done = rewire("sweep", rewire.config, "--seeds", "0..1,5", "--json", training__epochs=1, expect=EXPECT).check()
    result = done.json
    tops = [run["top1"] for run in result["results"]]
    assert [run["seed"] for run in result["results"]] == result["seeds"] == [0, 1, 5]
    assert result["top1"] == pytest.approx(statistics.mean(tops))
    assert result["deviation"] == pytest.approx(statistics.stdev(tops))
    assert result["published"] == 12.5 and result["within"] == 0.5 and result["runs"] == 3
    assert "12.5 +- 0.5 (a table)" in done.err
    # Each is the run that the seed alone gives.
    rewire.train("alone", seed=5, training__epochs=1).check()
    assert rewire.rows("alone") == rewire.rows("runs/small/seed-5")

    table = rewire("results", "runs").check()
    lines = table.out.splitlines()
    assert lines[0].split() == ["experiment", "runs", "top1", "%", "best", "%", "seconds", "published", "%"]
    assert lines[1].startswith(f"small          3  {result['top1']:>6.2f} +- {result['deviation']:.2f}".rstrip()[:8])
    listed = rewire("results", "runs/small", "alone", "--json").check().json
    assert listed["experiments"][0]["runs"] == 4 and listed["unfinished"] == 0


def test_a_sweep_that_is_done_is_not_done_again(rewire):
    command = ("sweep", rewire.config, "--seeds", "3", "--output", "all", "--json")
    first = rewire(*command, training__epochs=1).check()
    again = rewire(*command, training__epochs=1).check()
    assert again.json["top1"] == first.json["top1"] and again.json["deviation"] is None
    assert "is complete, 1 of 1 epochs: nothing to train" in again.err


@pytest.mark.parametrize("seeds", ["", "a", "1..", "..1", "3..1", "0..1000", "1,,2", "-1", "0..99999999999999999999"])
def test_seeds_that_are_none(rewire, seeds):
    rewire("sweep", rewire.config, f"--seeds={seeds}").refused(2, "--seeds")
    assert not rewire.path("runs").exists()


def test_results_of_what_is_not_finished(rewire):
    rewire.train("run", training__epochs=1).check()
    config = rewire.path("run", "config.yaml")
    config.write_text(config.read_text().replace("epochs: 1\n", "epochs: 9\n"))
    done = rewire("results", "run", "--json").check()
    assert done.json == {"experiments": [], "unfinished": 1}
    assert "run: not finished, left out" in done.err
    rewire("results", "none").refused(2, "none: no such folder")
    rewire.path("empty").mkdir()
    rewire("results", "empty").refused(2, "empty: no run in it")


def test_results_skip_damaged_rows(rewire):
    rewire.train("run", training__epochs=1).check()
    whole = rewire("results", "run", "--json").check().json
    with open(rewire.path("run", "metrics.jsonl"), "a") as rows:
        rows.write("[1, 2]\nnot json\n" + json.dumps({"split": "test"}) + "\n")
    assert rewire("results", "run", "--json").check().json == whole
