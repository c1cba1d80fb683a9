"""python -m rewire.demo, shortened."""

import json
import re

import pytest
import torch

from rewire.demo.__main__ import digits, main


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_digits_are_those_of_the_program():
    images, labels, test_images, test_labels = digits()
    assert images.shape == (1438, 64) and len(labels) == 1438 and len(test_images) == 359
    assert images.max() == 1 and images.min() == 0
    assert test_labels[0] == 4 and set(labels.tolist()) == set(range(10))


def test_writes_a_page_that_needs_nothing_else(tmp_path, capsys):
    to = tmp_path / "page.html"
    main(["--epochs", "3", "--density", "0.05", "--to", str(to)])
    shown = capsys.readouterr().out
    page = to.read_text()
    assert not re.search(r"https?://|src=|@import|<link", page)
    data = json.loads(re.search(r"const data = (\{.*\});\n", page)[1])
    assert data["sizes"] == [64, 96, 10]
    learned, random = data["runs"]
    count = 6144 - int(0.95 * 6144) + 960 - int(0.95 * 960)
    for run in (learned, random):
        assert [len(run[key]) for key in ("edges", "accuracy", "moved")] == [4, 4, 4]
        assert all(len(edges) == count for edges in run["edges"])
        for layer, source, target, _ in run["edges"][3]:
            assert source < data["sizes"][layer] and target < data["sizes"][layer + 1]
    assert learned["moved"][1] > 0 and random["moved"] == [0, 0, 0, 0]
    assert learned["accuracy"][3] > learned["accuracy"][0] + 30
    assert f"learned wiring: {learned['accuracy'][3]:.1f} % with {count} edges" in shown
    assert f"see them move: {to}" in shown


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--density", "0"], ["--density", "2"]])
def test_refuses_what_makes_no_page(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "expected --epochs of at least 1 and --density in (0, 1]" in capsys.readouterr().err


def test_says_before_it_trains_that_the_page_has_no_folder(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--to", str(tmp_path / "none" / "page.html")])
    assert f"--to: no such folder: {tmp_path / 'none'}" in capsys.readouterr().err
