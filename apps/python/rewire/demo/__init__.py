"""Two small networks learn handwritten digits, one with learned and one with random wiring."""

import gzip
from pathlib import Path

import torch
from torch import Tensor

PIXELS = 64  # of an image: 8 x 8
HERE = Path(__file__).resolve().parent


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images [*, 64] in [0, 1] and labels, then those of the test: every fifth image.

    By E. Alpaydin and C. Kaynak, CC BY 4.0. Raises FileNotFoundError where they are neither beside
    this file nor in a source tree.
    """
    name = "digits.csv.gz"
    places = [HERE / name, HERE.parents[3] / "csrc" / "data" / "digits" / name]
    for place in places:
        if place.is_file():
            lines = gzip.decompress(place.read_bytes()).decode().split()
            rows = torch.tensor([[int(number) for number in line.split(",")] for line in lines])
            images, labels = rows[:, :PIXELS].float() / 16, rows[:, PIXELS]
            tested = torch.arange(len(rows)) % 5 == 4
            return images[~tested], labels[~tested], images[tested], labels[tested]
    raise FileNotFoundError(f"{name}: not in {', '.join(str(place.parent) for place in places)}")
