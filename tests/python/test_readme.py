"""What the README shows is what happens."""

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()


EXAMPLES = re.findall(r"```python\n((?:(?!```).)*)```\n\nprints `(.*?)`", README, re.S)


def test_every_example_is_found():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("number", range(3))
def test_python_example_prints_what_the_readme_says(number):
    block, shown = EXAMPLES[number]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, "README.md", "exec"), {})
    assert out.getvalue().strip() == shown


@pytest.mark.skipif("REWIRE_INSTALLED" in os.environ, reason="the wheel is tested away from the sources")
def test_every_config_and_folder_that_the_readme_names_exists():
    named = re.findall(r"\b((?:configs|csrc|kernels|apps|tests|torchscript)/[\w./-]*\w)", README)
    assert len(named) > 10
    missing = [name for name in set(named) if not list(Path(__file__).parents[2].glob(name + "*"))]
    assert [name for name in missing if "/X" not in name] == []
