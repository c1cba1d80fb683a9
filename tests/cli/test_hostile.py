"""Experiment files made to confuse, to hang or to fill the memory: refused with their place."""

import os

import pytest
from program import SMALL


def bomb():
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join(lines)


# What is in the file, and what is said of it behind its name.
TEXTS = {
    "duplicate key": (SMALL + "name: again\n", ":21:1: duplicate key 'name', first on line 1"),
    "unknown key": (SMALL.replace("  dim:", "  dmi:"), ":8:3: model.dmi: unknown key (did you mean 'dim'?)"),
    "wrong type": (SMALL.replace("epochs: 3", "epochs: three"), ":16:11: training.epochs: expected an integer, got 'three'"),
    "missing key": (SMALL.replace("  epochs: 3\n", ""), ":16:3: training: missing key 'epochs'"),
    "tab": (SMALL.replace("  dim:", "\tdim:"), ":8:1: a tab; YAML is indented with spaces"),
    "list levels": ("[" * 600 + "]" * 600, ":1:65: nested more than 64 levels deep"),
    "map levels": ("".join(f"{' ' * i}a:\n" for i in range(600)), ":65:65: nested more than 64 levels deep"),
    "many levels": ("[" * 500_000, ":1:33: nested more than 64 levels deep"),
    "aliases": (bomb(), ":4:20: more than 4000 values"),
    "many values": ("a: [" + "x," * 400_000 + "]", ":1:7999: more than 4000 values"),
    "many anchors": ("&a " * 300_000, ":1:4: "),
    "many keys": ("".join(f"k{i}: 1\n" for i in range(80_000)), ":2000:8: more than 4000 values"),
    "two documents": (SMALL + "---\n" + SMALL, ":21:1: a second document; one file holds one experiment"),
    "tag": ("name: !!python/object:os.system x\n", ":1:7: tags are not allowed: 'tag:yaml.org,2002:python/object:os.system'"),
    "byte-order mark": ("\ufeffname: x\nname: y\n", ":2:1: duplicate key 'name', first on line 1"),
    "binary": ("name: \0x", ":1:7: not a text file (UTF-8 YAML is expected)"),
    "its own base": ("base: hostile.yaml\n", ":1:1: base: more than 8 files deep; is there a circle?"),
    "a folder as base": ("base: .\n", ":1:7: base: .: not a file"),
}


# KiB of data; half of it is what the program takes for a good file.
MEMORY = 256 << 10
# Seconds of computing; loading the libraries takes a good quarter of one.
TIME = 2


def check(rewire, file):
    return rewire.run(["sh", "-c", f'ulimit -d {MEMORY}; ulimit -t {TIME}; exec "$@"', "sh", *rewire.options("check", file)])


@pytest.mark.parametrize("name", TEXTS)
def test_texts(rewire, name):
    text, message = TEXTS[name]
    (rewire.folder / "hostile.yaml").write_text(text, encoding="utf-8")
    done = check(rewire, "hostile.yaml").refused(2, message)
    assert done.err.startswith("hostile.yaml" + message)


def test_a_byte_order_mark_is_no_fault(rewire):
    rewire.config.write_text("\ufeff" + SMALL, encoding="utf-8")
    check(rewire, rewire.config).check()


def make_large(path):
    with open(path, "wb") as file:
        file.truncate(100 << 20)


@pytest.mark.parametrize(
    "make, message",
    [
        (make_large, "larger than 1 MiB"),
        (os.mkdir, "not a file"),
        (os.mkfifo, "not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a file"),
        (lambda path: path.symlink_to(path), "no such file"),
        (lambda path: None, "no such file"),
    ],
)
def test_files(rewire, make, message):
    make(rewire.folder / "hostile.yaml")
    done = check(rewire, "hostile.yaml").refused(2, message)
    assert done.err == f"hostile.yaml: {message}\n"


@pytest.mark.parametrize("value", ["[" * 50_000, "&a [*a]", "{a: " * 600, "!!python/name:os.system x"])
def test_overrides(rewire, value):
    rewire("check", rewire.config, model=value).refused(2, "--set: model: ")
