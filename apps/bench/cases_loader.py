"""D1: a training pass over JPEG files like ImageNet's: decoded, cropped, resized, flipped, normalised.

Against torchvision with Pillow, where both are installed, with as many worker processes as we have
threads; and with workers against without. The images of a test are compared first.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from contest import Case, Contest, Peer, Way
from networks import ROOT

IMAGES = 128
BATCH = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Another version of libjpeg may round a pixel otherwise.
LOOSE = {"images": 2e-3}


def cases(full: bool) -> Iterator[Case]:
    """No worker, one and two; in full four."""
    for workers in (0, 1, 2, 4) if full else (0, 1, 2):
        if workers or torchvision_there():
            shape = f"{IMAGES} JPEG files of 500x375"
            yield Case(("D1",), f"workers={workers}", shape, partial(build, workers, IMAGES))


def torchvision_there() -> bool:
    """Whether torchvision and Pillow can be imported."""
    try:
        import PIL.Image  # noqa: F401
        import torchvision  # noqa: F401
    except ImportError:
        return False
    return True


class Ours:
    """The program loader_bench, which waits for orders, and the folder of images that it made."""

    def __init__(self, images: int) -> None:
        build = Path(os.environ.get("REWIRE_BUILD", ROOT / "build"))
        program = build / "apps" / "bench" / "loader_bench"
        self.kept = tempfile.TemporaryDirectory()
        self.folder = Path(self.kept.name)
        subprocess.run([program, "make", self.folder, str(images)], check=True)
        self.process = subprocess.Popen(
            [program, "load", self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __del__(self) -> None:
        self.process.communicate()  # ends at the end of its input

    def order(self, line: str) -> float:
        """What it answers."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def run(self, workers: int) -> None:
        """A training pass."""
        self.order(f"pass {workers}")

    def test_images(self) -> dict[str, Tensor]:
        """What a test sees."""
        file = self.folder / "images"
        count = int(self.order(f"test {file}"))
        images = torch.from_file(str(file), size=count * 3 * 224 * 224).view(count, 3, 224, 224)
        return {"count": torch.tensor(count), "images": images.clone()}


class Torchvision:
    """The same by ImageFolder and DataLoader, whose worker processes stay from pass to pass."""

    def __init__(self, folder: Path, workers: int) -> None:
        from torchvision import datasets, transforms

        last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        train = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
        test = [transforms.Resize(256), transforms.CenterCrop(224)]
        self.loader = torch.utils.data.DataLoader(
            datasets.ImageFolder(str(folder / "train"), transforms.Compose(train + last)),
            batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0,
        )  # fmt: skip
        self.test_set = datasets.ImageFolder(str(folder / "val"), transforms.Compose(test + last))

    def run(self) -> None:
        """A training pass."""
        for _ in self.loader:
            pass

    def test_images(self) -> dict[str, Tensor]:
        """What a test sees."""
        images = torch.stack([image for image, _ in self.test_set])
        return {"count": torch.tensor(len(images)), "images": images}


def build(workers: int, images: int) -> Contest:
    """A pass with so many workers."""
    ours = Ours(images)
    peers = []
    reference = ours.test_images
    if workers:
        alone = Way(partial(ours.run, 0), ours.test_images)
        peers.append(Peer("D1", "itself", {"workers=0": alone}))
    if torchvision_there():
        theirs = Torchvision(ours.folder, workers)
        reference = theirs.test_images
        peers.append(Peer("D1", "torchvision", {"pillow": Way(theirs.run, theirs.test_images)}))
    way = Way(partial(ours.run, workers), ours.test_images)
    return Contest(way, peers, reference, LOOSE)
