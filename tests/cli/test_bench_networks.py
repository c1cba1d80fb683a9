"""What the benchmark times as whole networks: the model that the program exports computes what the
published algorithm does."""

import sys

import pytest
import torch
from program import BUILD, ROOT

sys.path[:0] = [str(ROOT / "apps" / "bench")]

import cases_mobilenet_v1  # noqa: E402
import cases_static  # noqa: E402
import contest  # noqa: E402


@pytest.fixture(autouse=True)
def operators():
    if not hasattr(torch.ops.rewire, "select"):
        torch.ops.load_library(BUILD / "librewire.so")


@pytest.mark.parametrize(
    "build",
    [
        lambda: cases_static.build_step("C8", 3, drifted=False),
        lambda: cases_static.build_step("C8", 3, drifted=True),
        lambda: cases_static.build_step("C9", 3, drifted=False),
        lambda: cases_static.build_evaluation(3),
        lambda: cases_mobilenet_v1.build_evaluation(3),
    ],
    ids=["step", "drifted", "kept", "evaluation", "MobileNetV1's evaluation"],
)
def test_ours_and_the_published_network_agree_with_float64(build):
    made = build()
    reference = made.reference()
    assert any(name.startswith("edges") for name in reference)
    for way in [made.ours, *(way for peer in made.peers for way in peer.ways.values())]:
        error, equal = contest.compare(way.results(), reference, made.loose)
        assert equal, error
        way.run()


def test_a_step_trains_every_parameter():
    made = cases_static.build_step("C8", 3, drifted=False)
    for way in (made.ours, made.peers[0].ways["sort"]):
        before = way.results()
        way.run()
        after = way.results()
        assert before.keys() == after.keys()
        for name in ("few logits", "few grad graph.weight"):
            assert not torch.equal(before[name], after[name])


def test_drifted_edges_are_where_the_network_reads_them():
    _, near, _ = cases_static.models("all", drifted=False)
    _, far, _ = cases_static.models("all", drifted=True)
    read = cases_static.usable(near)
    assert read.float().mean().item() == pytest.approx(0.41, abs=0.005)
    assert far.graph.edges()[read].float().mean().item() == pytest.approx(0.121, abs=0.001)
    assert near.graph.edges()[read].float().mean().item() == pytest.approx(0.05, abs=0.001)
    assert not far.graph.edges()[~read].any()


def test_drifted_edges_are_where_mobilenet_v1_reads_them():
    _, near, _ = cases_mobilenet_v1.models(drifted=False)
    _, far, _ = cases_mobilenet_v1.models(drifted=True)
    for (inputs, outputs, _, depth), before, after in zip(
        cases_mobilenet_v1.BLOCKS, near.layers, far.layers
    ):
        read = torch.zeros_like(after.graph.weight, dtype=torch.bool)
        read[:, :inputs] = True
        for i in range(1, depth):
            read[i * outputs :, inputs + (i - 1) * outputs : inputs + i * outputs] = True
        assert after.graph.edges().sum() == before.graph.edges().sum()
        assert not after.graph.edges()[~read].any()
