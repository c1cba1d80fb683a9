"""Data files that are not what they should be: the status is 3 and nothing is trained."""

import gzip

import pytest
from program import ROOT

DIGITS = gzip.decompress((ROOT / "csrc" / "data" / "digits" / "digits.csv.gz").read_bytes())
PACKED = gzip.compress(DIGITS, mtime=0)
LINES = DIGITS.splitlines(keepends=True)

FILES = {
    "cut": (PACKED[:-9], "gzip stream cut short"),
    "a byte short": (PACKED[:-1], "gzip stream cut short"),
    "empty": (b"", "gzip stream cut short"),
    "damaged": (PACKED[:-8] + bytes(8), "incorrect data check"),
    "not packed": (DIGITS, "incorrect header check"),
    "a bomb": (gzip.compress(bytes(64 << 20)), "unpacks to more than 16777216 bytes"),
    "a value short": (
        gzip.compress(LINES[0] + LINES[1].replace(b",", b"", 1)),
        "value 64: followed by '', expected 65 values separated by commas",
    ),
    "label 10": (gzip.compress(LINES[0][:-2] + b"10\n"), "value 65: '10', expected an integer from 0 to 9"),
    "few images": (gzip.compress(b"".join(LINES[:4])), "4 images, expected at least 5"),
}


@pytest.mark.parametrize("name", FILES)
def test_digits(rewire, name):
    content, message = FILES[name]
    path = rewire.folder / "digits.csv.gz"
    path.write_bytes(content)
    done = rewire.train("run", data__root=str(rewire.folder)).refused(3, message)
    assert done.err.startswith(f"{path}:")
    assert not rewire.path("run").exists()


def test_digits_that_are_whole(rewire, trained):
    (rewire.folder / "digits.csv.gz").write_bytes(PACKED)
    rewire.train("run", data__root=str(rewire.folder)).check()
    assert rewire.rows("run") == trained.rows("run")
