"""Folders of generated images."""

import random
import shutil
import struct
import zlib

from program import ROOT

GUISES = ROOT / "tests" / "golden" / "images"  # JPEG and PNG files of every kind
SIDE = 12


def png(width, height, rgb):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + rgb[y * width * 3 : (y + 1) * width * 3] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def noise(seed, width=SIDE, height=SIDE):
    """A PNG file of random pixels."""
    return png(width, height, random.Random(seed).randbytes(3 * width * height))


def make(root, classes, train, val):
    """root/{train,val}/<class>/*: PNG files of several sizes, so many in all for each split, and one
    of another guise in each class."""
    guises = sorted(GUISES.iterdir())
    for split, count in {"train": train, "val": val}.items():
        for i in range(count):
            folder = root / split / f"class{i % classes}"
            folder.mkdir(parents=True, exist_ok=True)
            if i < classes:
                shutil.copy(guises[(i + (split == "val")) % len(guises)], folder)
            else:
                (folder / f"{i}.png").write_bytes(noise(i, SIDE + i % 5, SIDE + i % 3))
