"""The reference that is made of the docstrings."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rewire

SCRIPT = Path(__file__).parents[2] / "apps" / "python" / "reference.py"
if not SCRIPT.is_file():
    pytest.skip("the script is not in the wheel", allow_module_level=True)
sys.path.append(str(SCRIPT.parent))
import reference  # noqa: E402

MODULES = [importlib.import_module(name) for name in reference.MODULES]


@pytest.fixture(scope="module")
def page():
    return reference.page()


def test_every_public_name_has_a_docstring_and_stands_on_the_page(page):
    described = set()
    for module in MODULES:
        assert module.__doc__ and f"\n## {module.__name__}\n" in page
        for name, one in reference.public(module).items():
            assert one.__doc__, name
            assert f'<a id="{module.__name__}.{name}"></a>\n### {module.__name__}.{name}\n' in page
            if one in described or not isinstance(one, type):  # of two names the first has it all
                continue
            described.add(one)
            for member, its in reference.members(one).items():
                assert its.__doc__, f"{name}.{member}"
                assert f"\n#### {name}.{member}\n" in page
    assert len(described) > 20


def test_nothing_that_the_package_lists_is_left_out():
    for module in (rewire, rewire.nn):
        listed = {name for name in module.__all__ if callable(getattr(module, name))}
        assert set(reference.public(module)) == listed
        modules = {f"{module.__name__}.{name}" for name in module.__all__} - {
            f"{module.__name__}.{name}" for name in listed
        }
        assert modules <= set(reference.MODULES)
    package = Path(rewire.__file__).parent / "compat"
    compatible = {f"rewire.compat.{path.stem}" for path in package.glob("[!_]*.py")}
    assert compatible <= set(reference.MODULES)


def test_every_link_leads_somewhere(page):
    anchors = re.findall(r'<a id="([^"]*)">', page)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) == set(anchors)


def test_is_the_same_at_every_call(page):
    assert " at 0x" not in page and reference.page() == page


def test_a_docstring_becomes_markdown():
    docstring = "Adds.\n\n    x + y\n\nParameters\n----------\nx, y\n    Numbers,\n    both.\n\n>>> 1 + 2\n3"
    assert reference.markdown(docstring) == (
        "Adds.\n\n    x + y\n\n**Parameters**\n\n- `x, y`:\n  Numbers,\n  both.\n\n"
        "```python\n>>> 1 + 2\n3\n```"
    )


def test_signatures_are_short_or_a_parameter_a_line():
    def function(self, first, *, second: rewire.nn.SparseLinear | None = None) -> "int":
        pass

    shown = "(first, *, second: rewire.nn.linear.SparseLinear | None = None) -> int"
    assert reference.signature("short", function) == "short" + shown
    name = "long" * 20
    assert reference.signature(name, function) == (
        f"{name}(\n    first,\n    *,\n    second: rewire.nn.linear.SparseLinear | None = None,\n) -> int"
    )


def test_the_script_writes_the_page(tmp_path, page):
    subprocess.run([sys.executable, SCRIPT, tmp_path / "page.md"], check=True)
    assert (tmp_path / "page.md").read_text() == page
