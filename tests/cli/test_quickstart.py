"""The quickstart, made small."""

from program import ROOT

CONFIGS = ROOT / "configs" / "digits"


def test_quickstart(rewire):
    done = rewire(
        "quickstart", CONFIGS / "learned.yaml", CONFIGS / "random.yaml", "--output", "out",
        model__dim=68, model__layers=3, model__downsample_dim=4, model__feature_dim=32,
        training__epochs=1,
    ).check()
    table = {line.split()[0]: line.split() for line in done.out.splitlines() if line.startswith("  digits-")}
    assert table.keys() == {"digits-learned", "digits-random"}
    learned, random = table.values()
    kept = 68 * 68 - int(0.97 * 68 * 68)
    assert learned[3] == random[3] == str(kept)
    assert random[5] == "0"  # random wiring stays; learned wiring moves
    assert "<svg" in rewire.path("out", "wiring.svg").read_text()
    assert rewire.path("out", "digits-learned.pt").exists()
    assert "the label is 4." in done.out  # of the first test image
