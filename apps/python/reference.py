"""Writes the reference of the package, one Markdown page made of its docstrings:
python apps/python/reference.py TO.md"""

import argparse
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

MODULES = (
    "rewire",
    "rewire.nn",
    "rewire.nn.functional",
    "rewire.graphs",
    "rewire.optim",
    "rewire.pictures",
    "rewire.compat.freewire",
    "rewire.compat.connex",
)


def public(module: ModuleType) -> dict[str, object]:
    """Functions and classes by name: those of `__all__`, else those that the module defines."""
    listed = getattr(module, "__all__", None)
    found = {}
    for name in listed or vars(module):
        one = getattr(module, name)
        if isinstance(one, SimpleNamespace):  # connex's: a module within a module
            found |= {f"{name}.{inner}": function for inner, function in vars(one).items()}
        elif callable(one) and not name.startswith("_"):
            if listed or getattr(one, "__module__", None) == module.__name__:
                found[name] = one
    return found


def members(kind: type) -> dict[str, object]:
    """What a class has of the package: its own methods and properties, and those of its bases."""
    found: dict[str, object] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.split(".")[0] != "rewire":
            continue
        for name, one in vars(base).items():
            bound = isinstance(one, (property, classmethod, staticmethod))
            if not name.startswith("_") and (bound or inspect.isfunction(one)):
                found[name] = one
    return dict(sorted(found.items()))


def signature(name: str, one: object) -> str:
    """As it is called, one parameter a line where one line would be long."""
    if isinstance(one, property):
        return name
    whole = inspect.signature(one.__func__ if isinstance(one, (classmethod, staticmethod)) else one)
    parts: list[str] = []
    star = False  # what follows is given by name
    for parameter in whole.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        parts.append(_plain(str(parameter)))
    result = whole.return_annotation
    returns = ""
    if result is not inspect.Signature.empty:
        text = result if isinstance(result, str) else inspect.formatannotation(result)
        returns = f" -> {_plain(text)}"
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])


def _plain(text: str) -> str:
    """Without where a type is defined, and where a function lies in memory."""
    text = re.sub(r"<(?:built-in )?(?:function|method) (\w+)[^>]*>", r"\1", text)
    return re.sub(r"collections\.abc\.|(?<=torch\.nn\.)modules\.\w+\.", "", text)


def markdown(docstring: str) -> str:
    """NumPy's layout as lists; examples and formulas as code."""
    lines: list[str] = []
    in_section = in_example = False
    source = [*docstring.splitlines(), ""]
    for line, following in zip(source, [*source[1:], ""], strict=True):
        if re.fullmatch(r"-{3,}", line):
            continue
        if in_example != (in_example and bool(line) or line.startswith(">>>")):
            lines.append("```" if in_example else "```python")
            in_example, in_section = not in_example, False
        if re.fullmatch(r"-{3,}", following):
            in_section = True
            line = f"**{line}**\n"
        elif in_section and line.startswith("    "):
            line = "  " + line.strip()
        elif in_section and line:
            line = f"- `{line}`:"
        lines.append(line)
    return "\n".join(lines).strip()


def described(name: str, one: object) -> str:
    """Signature and docstring."""
    return f"```python\n{signature(name, one)}\n```\n\n{markdown(inspect.getdoc(one) or '')}"


def entries(module: ModuleType) -> Iterator[str]:
    """A part for each public name, and after a class one for each of its members."""
    first: dict[object, str] = {}
    for name, one in public(module).items():
        title = f"{module.__name__}.{name}"
        yield f'<a id="{title}"></a>\n### {title}'
        if first.setdefault(one, name) != name:
            yield f"Another name of `{first[one]}`."
            continue
        yield described(title, one)
        for member, its in members(one).items() if inspect.isclass(one) else ():
            yield f"#### {name}.{member}"
            yield described(member, its)


def page() -> str:
    """The whole page."""
    modules = [importlib.import_module(name) for name in MODULES]
    parts = [f"# rewire {modules[0].__version__}: reference"]
    for module in modules:
        names = (f"[{name}](#{module.__name__}.{name})" for name in public(module))
        parts.append(f"- **[{module.__name__}](#{module.__name__})**: {', '.join(names)}")
    for module in modules:
        parts.append(f'<a id="{module.__name__}"></a>\n## {module.__name__}')
        parts += [markdown(inspect.getdoc(module)), *entries(module)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("to", type=Path, help="the page to write (.md)")
    parser.parse_args().to.write_text(page())
