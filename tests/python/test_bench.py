"""The benchmark's cases: their words, their contenders' results, and the pictures."""

import json
import sys
from functools import partial
from xml.etree import ElementTree

import cases_auto
import cases_cuda
import cases_forward
import cases_graph
import cases_loader
import cases_select
import cases_training
import cases_transformer
import contest
import layers
import machine
import plot
import pytest
import run
import torch

# Words that scripts read from bench.json.
WORDS = {
    "C1": ["density=0.30", "density=0.10", "density=0.05", "density=0.01"],
    "C4": ["density=0.30", "density=0.10", "density=0.05", "density=0.01"],
    "C5": ["kept density=0.10", "kept density=0.05", "all density=0.05"],
    "C6": ["n=640000 cold", "n=640000 warm", "n=8650752 cold", "n=8650752 warm"],
    "C7": ["n=640000 cold", "n=640000 warm", "n=8650752 cold", "n=8650752 warm"],
    "C8": ["batch=512", "batch=128"],
    "C9": ["batch=512", "batch=128"],
    "C11": ["static batch=512"],
    "C15": ["density=0.00", "density=0.50", "density=1.00"],
    "C16": ["in=512 out=2048 tokens=1024"],
    "C12": ["neurons=2000 edges=20000 batch=256", "neurons=10000 edges=100000 batch=256"],
    "C13": ["neurons=2000 edges=20000 batch=256", "neurons=10000 edges=100000 batch=256"],
    "C14": ["edges=1000000 local", "edges=10000000 random"],
    "D1": ["workers=1", "workers=2"],
}


def test_cases_have_the_words_that_scripts_read():
    for full in (False, True):
        named = {(goal, case.name) for case in run.cases(None, full) for goal in case.goals}
        assert named >= {(goal, name) for goal, names in WORDS.items() for name in names}


def test_peers_on_a_gpu_are_those_of_its_goals():
    small = (12, 16, 3, 4)
    for goal, build in {
        "G1": partial(cases_forward.build, 12, 16, 0.3, 3, 4),
        "G3": partial(cases_select.build, 16, 24, "cold"),
        "G5": partial(cases_cuda.build_graph, 3, 20, 4),
    }.items():
        peers = cases_cuda.with_goals(goal, build).peers
        assert len(peers) == 2 and {peer.goal for peer in peers} == {goal}
    assert len(cases_cuda.with_goals("G1", partial(cases_training.build, "all", 0.3, small)).peers) == 1


def test_only_some_goals():
    assert {case.goals for case in run.cases(["C7", "C5"], False)} == {("C5",), ("C6", "C7")}


def test_a_goal_that_no_row_is_of_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "restart_tuned", lambda threads: None)
    monkeypatch.setattr(machine, "plain_executor", lambda: None)
    about = machine.versions() | {"cores_used_by_others": 0.0}
    monkeypatch.setattr(machine, "describe", lambda: about)
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "Z9", "--to", str(tmp_path / "bench.json")])
    with pytest.raises(SystemExit, match="no row is of Z9 on cpu"):
        run.main()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "build",
    [
        partial(cases_select.build, 16, 24, "cold"),
        partial(cases_select.build, 16, 24, "warm"),
        partial(cases_forward.build, 12, 16, 0.3, 3, 4),
        partial(cases_training.build, "kept", 0.3, (12, 16, 3, 4)),
        partial(cases_training.build, "all", 0.3, (12, 16, 3, 4)),
        partial(cases_auto.build, 0.0, (12, 16, 3, 4)),
        partial(cases_auto.build, 1.0, (12, 16, 3, 4)),
        partial(cases_transformer.build, 24, 16, 10),
        partial(cases_graph.build_forward, 200, 900),
        partial(cases_cuda.build_graph, 3, 20, 4),
        partial(cases_graph.build_training, 200, 900),
    ],
)
def test_every_contender_gives_the_reference_results(build):
    made = build()
    reference = made.reference()
    ways = [made.ours, *(way for peer in made.peers for way in peer.ways.values())]
    assert len(ways) > 1
    for way in ways:
        way.run()
        assert contest.compare(way.results(), reference, made.loose)[1]


def test_gradients_in_float64_are_those_of_autograd():
    layer = layers.random_layer(6, 5, 0.4, 2, 3)
    images = layer.input.double().requires_grad_()
    weight = layer.effective.double().requires_grad_()
    output = torch.nn.functional.conv2d(images, weight[:, :, None, None])
    output.backward(layer.grad_output.double())
    found = layer.gradients()
    torch.testing.assert_close(found["output"], output)
    torch.testing.assert_close(found["grad_input"], images.grad)
    torch.testing.assert_close(found["grad_weight"], weight.grad)
    torch.testing.assert_close(found["grad_values"], weight.grad[layer.effective != 0])


def test_ties_are_part_of_what_selections_are_compared_by():
    weight = torch.tensor([[1.0, -2.0, 2.0], [2.0, 0.5, -2.0]])
    found = cases_select.selection_results(torch.ops.rewire.select(weight, 3), 3)
    wanted = cases_select.expected(weight, 3)
    assert wanted["edges"].tolist() == [1, 2, 3] and wanted["by_input"].tolist() == [3, 1, 2]
    assert contest.worst_error(found, wanted) == 0


def row(case, value, **changes):
    return {
        "goal": "C1",
        "case": case,
        "against": "torch-dense",
        "shape": "a",
        "threads": 2,
        "ratio": value,
        "verdict": "held",
    } | changes


def test_pictures_show_ratios_that_count(tmp_path):
    rows = [
        row("density=0.10", 4.0),
        row("density=0.05", 6.0),
        row("density=0.01", 9.0, threads=1),
        row("density=0.30", 1.0, verdict="noisy"),
        row("density=0.30", 1.0, shape="b"),
        row("kept density=0.30", 1.0),
    ]
    _, _, goals, pattern = plot.PICTURES["bench-forward.svg"]
    assert plot.series(rows, goals, pattern) == {
        "torch-dense, 2 threads": [(0.05, 6.0), (0.10, 4.0)],
        "torch-dense, 1 thread": [(0.01, 9.0)],
    }
    plot.draw({"machine": {"cpu": "a <b>", "torch": "2"}, "rows": rows}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bench-forward.svg"]
    picture = ElementTree.parse(tmp_path / "bench-forward.svg").getroot()
    assert len(picture.findall("{*}circle")) == 3


def test_even_axes_have_round_values_around_all():
    assert plot.EVEN.ticks(31, 79) == [30, 40, 50, 60, 70, 80]
    assert plot.EVEN.ticks(0.5, 0.5) == [0.5, 0.500001]
    picture = plot.svg("a", "b", {"c": [(1, 2), (3, 7)]}, "d", plot.EVEN)
    assert len(ElementTree.fromstring(picture).findall("{*}circle")) == 2


@pytest.mark.parametrize("value, status", [(1.0, 0), (2.0, 1)])
def test_the_report_is_written_and_a_wrong_result_is_the_status(
    monkeypatch, tmp_path, value, status
):
    to = tmp_path / "build" / "bench.json"
    way = contest.Way(lambda: None, lambda: {"output": torch.tensor(value)})
    made = contest.Contest(
        way, [contest.Peer("C7", "topk", {"": way}, 8, 25)], lambda: {"output": torch.tensor(1.0)}
    )
    case = contest.Case(("C7",), "n=8 cold", "2x4", lambda: made)
    monkeypatch.setattr(run, "cases", lambda only, full: [case])
    monkeypatch.setattr(sys, "argv", ["run.py", "--to", str(to)])
    monkeypatch.setattr(machine, "restart_tuned", lambda threads: None)
    monkeypatch.setattr(machine, "plain_executor", lambda: None)
    about = machine.versions() | {"cores_used_by_others": 0.0}
    monkeypatch.setattr(machine, "describe", lambda: about)
    assert run.main() == status
    report = json.loads(to.read_text())
    assert report["machine"]["torch"] == torch.__version__
    (row,) = report["rows"]
    assert (row["goal"], row["case"], row["against"]) == ("C7", "n=8 cold", "topk")
    assert row["shape"] == "2x4" and row["equal"] == (status == 0)
    assert row["ratio"] > 0 and row["spread"] >= 0


def test_a_loose_comparison_takes_one_that_is_off_and_no_factor():
    gradient = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    expected = {"logits": torch.ones(1), "grad": gradient}
    kink = gradient.clone()
    kink[7] += 0.1 * kink.abs().max()
    assert contest.compare(expected | {"grad": kink}, expected, {"grad": 0.02}) == (0, True)
    assert not contest.compare(expected | {"grad": kink}, expected, {})[1]
    assert not contest.compare(expected | {"grad": 1.05 * gradient}, expected, {"grad": 0.02})[1]
