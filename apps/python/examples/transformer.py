"""A small transformer learns to copy a sequence: dense, at 90 % sparse with learned and with fixed
wiring, and with SparseLab's layers where that is installed."""

import argparse
import contextlib
import time
from functools import partial

import torch
from torch import nn
from torch.nn import functional

import rewire

TOKENS, LENGTH, WIDTH, HEADS, BATCH = 16, 8, 256, 4, 64


class Block(nn.Module):
    """Attention, then a network of each place; [batch, places, WIDTH] to the same."""

    def __init__(self, linear):
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH)
        self.wide, self.narrow = linear(WIDTH, 4 * WIDTH), linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        qkv = self.qkv(self.norm(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(*qkv)
        x = x + self.out(read.transpose(1, 2).flatten(2))
        return x + self.narrow(functional.gelu(self.wide(self.norm2(x))))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=100, help=f"of {BATCH} sequences (100)")
steps = parser.parse_args().steps
linears = {
    "dense": nn.Linear,
    "learned": partial(rewire.nn.DNWLinear, density=0.1),
    "fixed": lambda *sizes: rewire.sparsify(nn.Linear(*sizes), density=0.1, method="random"),
}
with contextlib.suppress(ImportError):
    import sparselab
    linears["SparseLab"] = partial(sparselab.SparseLinear, sparsity=0.9)
for name, linear in linears.items():
    torch.manual_seed(0)
    embedding = nn.Embedding(2 * LENGTH * TOKENS, WIDTH)  # of a token at a place; blank: token 0
    model = nn.Sequential(embedding, Block(linear), Block(linear), nn.Linear(WIDTH, TOKENS))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    begin = time.perf_counter()
    for _ in range(steps):
        tokens = torch.randint(TOKENS, (BATCH, LENGTH))
        placed = functional.pad(tokens, (0, LENGTH)) + TOKENS * torch.arange(2 * LENGTH)
        loss = functional.cross_entropy(model(placed)[:, LENGTH:].flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - begin
    print(f"{name:9}  {seconds / steps:.3f} s a step, loss {loss.item():.4f}")
