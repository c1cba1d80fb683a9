"""Learned wiring on handwritten digits, in fifteen lines beside those that read --steps."""

import argparse

import torch

import rewire
from rewire.demo import digits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=700, help="of 64 images (700)")

images, labels, test_images, test_labels = digits()
model = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 10))
rewire.sparsify(model, density=0.03)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for _ in range(parser.parse_args().steps):
    batch = torch.randint(len(images), (64,))
    loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
right = (model(test_images).argmax(1) == test_labels).float().mean()
print(f"{right:.1%} of the test images right, by {[x.edges for x in rewire.report(model)]} edges")
