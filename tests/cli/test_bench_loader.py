"""The benchmark of the loader: its images, and torchvision's where that is installed."""

import sys

import pytest
from program import ROOT

sys.path[:0] = [str(ROOT / "apps" / "bench")]

import cases_loader  # noqa: E402
import contest  # noqa: E402


@pytest.mark.parametrize("workers", [0, 1])
def test_every_contender_gives_the_reference_results(workers):
    made = cases_loader.build(workers, 3)
    reference = made.reference()
    for way in [made.ours, *(way for peer in made.peers for way in peer.ways.values())]:
        way.run()
        results = way.results()
        assert results["images"].shape == (3, 3, 224, 224)
        assert contest.compare(results, reference, made.loose)[1]
