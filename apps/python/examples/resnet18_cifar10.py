"""torchvision's ResNet-18 at 10 % of its weights, with learned wiring, on CIFAR-10."""

import argparse
import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

import rewire

FOLDER, RECORD = "cifar-10-batches-bin", 1 + 3 * 32 * 32  # a record: label, then pixels by channel


def read(folder: Path, pattern: str):
    """Images [*, 3, 32, 32] about 0 and labels."""
    files = sorted(folder.glob(pattern))
    if not files:
        command = f"rewire fetch cifar10 --data {folder.parent}"
        sys.exit(f"{folder / pattern}: no such file; `{command}` brings the folder {FOLDER}")
    data = bytearray(b"".join(file.read_bytes() for file in files))
    records = torch.frombuffer(data, dtype=torch.uint8).view(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32).float() / 128 - 1, records[:, 0].long()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", type=Path, default=os.environ.get("REWIRE_DATA", "data"))
parser.add_argument("--steps", type=int, default=100, help="of 64 images (100)")
options = parser.parse_args()
folder = Path(options.data) / FOLDER
images, labels = read(folder, "data_batch_*.bin")
test_images, test_labels = read(folder, "test_batch.bin")

model = resnet18(num_classes=10)
model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)  # images of 32 x 32, not of 224 x 224
rewire.sparsify(model, density=0.1, layers=lambda name, layer: name not in ("conv1", "fc"))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
for step in range(options.steps):
    batch = torch.randint(len(images), (64,))
    loss = functional.cross_entropy(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"\rstep {step + 1}/{options.steps}, loss {loss.item():.3f} ", end="", file=sys.stderr)

model.eval()
with torch.no_grad():
    tested = test_labels[:1000]
    right = (model(test_images[:1000]).argmax(1) == tested).float().mean()
layers = rewire.report(model)
edges, candidates = sum(one.edges for one in layers), sum(one.candidates for one in layers)
print(f"\n{right:.1%} of {len(tested)} test images right, by {edges} edges of {candidates}")
