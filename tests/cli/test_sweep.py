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
    assert rewire.rows("alone") == rewire.rows("runs/small-seeds/seed-5")

    table = rewire("results", "runs").check()
    lines = table.out.splitlines()
    assert lines[0].split() == ["experiment", "epochs", "runs", "top1", "%", "best", "%", "seconds", "published", "%"]
    fields = lines[1].split()
    assert fields[:6] == ["small", "1", "3", f"{result['top1']:.2f}", "+-", f"{result['deviation']:.2f}"]
    assert " ".join(fields[8:]) == "12.5 +- 0.5 (a table)"
    # The same run under two names, and a seed again, count once; another experiment is another row.
    rewire.train("other", training__epochs=1, training__batch_size=32, expect=EXPECT).check()
    listed = rewire("results", "runs", "runs/small-seeds", "other", "--json").check().json
    assert [experiment["runs"] for experiment in listed["experiments"]] == [3, 1] and listed["left_out"] == 0
    rewire.train("again", seed=5, training__epochs=1, expect=EXPECT).check()
    listed = rewire("results", "runs", "again", "--json").check()
    assert listed.json["left_out"] == 1 and "again: seed 5 again, left out" in listed.err


def test_a_sweep_that_is_done_is_not_done_again(rewire):
    command = ("sweep", rewire.config, "--seeds", "3", "--output", "all", "--json")
    first = rewire(*command, training__epochs=1).check()
    again = rewire(*command, training__epochs=1).check()
    assert again.json["top1"] == first.json["top1"] and again.json["deviation"] is None
    assert "is complete, 1 of 1 epochs: nothing to train" in again.err


@pytest.mark.parametrize("seeds", ["", "a", "1..", "..1", "3..1", "0..1000", "1,,2", "-1", "0..99999999999999999999", "0,0", "0..3,2"])
def test_seeds_that_are_none(rewire, seeds):
    rewire("sweep", rewire.config, f"--seeds={seeds}").refused(2, "--seeds")
    assert not rewire.path("runs").exists()


def test_results_of_what_is_not_finished(rewire):
    rewire.train("run", training__epochs=1).check()
    config = rewire.path("run", "config.yaml")
    config.write_text(config.read_text().replace("epochs: 1\n", "epochs: 9\n"))
    done = rewire("results", "run", "--json").check()
    assert done.json == {"experiments": [], "left_out": 1}
    assert "run: not finished, left out" in done.err
    rewire("results", "none").refused(2, "none: no such folder")
    rewire.path("empty").mkdir()
    rewire("results", "empty").refused(2, "empty: no run in it")


def test_results_skip_damaged_rows(rewire):
    rewire.train("run", training__epochs=1).check()
    whole = rewire("results", "run", "--json").check().json
    with open(rewire.path("run", "metrics.jsonl"), "a") as rows:
        rows.write("[1, 2]\nnot json\n" + json.dumps({"split": "test"}) + "\n")
        rows.write(json.dumps({"split": "test", "epoch": 0, "seconds": None, "top1": "all"}) + "\n")
    assert rewire("results", "run", "--json").check().json == whole


def test_a_broken_config_leaves_out_its_run(rewire):
    rewire.train("run", training__epochs=1).check()
    rewire.path("broken").mkdir()
    rewire.path("broken", "config.yaml").write_text("name: [")
    done = rewire("results", "run", "broken", "--json").check()
    assert done.json["experiments"][0]["runs"] == 1 and done.json["left_out"] == 1
