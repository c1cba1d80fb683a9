"""The published algorithm in plain torch: what "Discovering Neural Wirings" is measured against.

Every weight's magnitude is sorted at each forward pass, the smallest are set to zero in a copy, and
the matrix is read in slices by dense convolutions. Parameters have the published names, so that a
state moves between these modules and ours; values agree with those of the published code
(tests/python/test_bench.py).
Source: Wortsman, Farhadi, Rastegari 2019, section 4.1, and its published code.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, relu


def zero_by_sort(weight: Tensor, pruned: int) -> Tensor:
    """The weight with its `pruned` smallest magnitudes set to zero, as published."""
    order = weight.flatten().abs().sort().indices
    out = weight.clone()
    out.flatten()[order[:pruned]] = 0  # a view: the clone is contiguous
    return out


def zero_by_kthvalue(weight: Tensor, pruned: int) -> Tensor:
    """The same without a sort. Entries that tie with the largest one pruned are zeroed as well."""
    magnitudes = weight.abs()
    if pruned == 0:
        return weight.clone()
    return weight * (magnitudes > magnitudes.flatten().kthvalue(pruned).values)


class ChooseEdges(torch.autograd.Function):
    """The effective weight; the gradient reaches every entry, zeroed or not."""

    @staticmethod
    def forward(ctx, weight: Tensor, pruned: int, zero: Callable[[Tensor, int], Tensor]) -> Tensor:
        return zero(weight, pruned)

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor, None, None]:
        return grad_output, None, None


class ChooseWeights(nn.Conv2d):
    """A graph layer of `inputs` to `outputs` channels that keeps all but a share of its edges."""

    def __init__(self, inputs: int, outputs: int, prune_rate: float, zero=zero_by_sort):
        super().__init__(inputs, outputs, kernel_size=1, bias=False)
        self.pruned = int(prune_rate * self.weight.numel())
        self.zero = zero

    def effective_weight(self) -> Tensor:
        """[outputs, inputs, 1, 1], chosen anew."""
        return ChooseEdges.apply(self.weight, self.pruned, self.zero)

    def edges(self) -> Tensor:
        """Those in use: bool, like the weight."""
        return self.effective_weight() != 0


class StaticClassifier(nn.Module):
    """The static small classifier for images of 32x32 pixels.

    Channels are the nodes of a graph. Block i sends channels [begins[i], ends[i]), normalised and
    convolved by depth, to all channels from targets[i] on.

    Parameters
    ----------
    prune_rate : float
    zero : callable
        How the smallest entries are found: ``zero_by_sort`` as published, or ``zero_by_kthvalue``.
    """

    DIM, STEM, FEATURES, LAYERS, CLASSES = 800, 32, 100, 5, 10

    def __init__(self, prune_rate: float = 0.95, zero=zero_by_sort):
        super().__init__()
        width = (self.DIM - self.STEM) // (self.LAYERS - 1)
        self.ends = [self.STEM + i * width for i in range(self.LAYERS)]
        self.begins = [0, *self.ends[:-1]]
        self.targets = [min(end, self.DIM - self.FEATURES) for end in self.ends]
        self.downsample = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16),
            nn.Conv2d(16, self.STEM, 1),
            nn.BatchNorm2d(self.STEM),
        )
        self.conv = nn.Conv2d(self.DIM, self.DIM, 3, padding=1, groups=self.DIM, bias=False)
        self.graph = ChooseWeights(self.DIM, self.DIM, prune_rate, zero)
        self.norm = nn.ModuleList(
            nn.InstanceNorm2d(end - begin, affine=True)
            for begin, end in zip(self.begins, self.ends)
        )
        self.fc = nn.Linear(self.FEATURES, self.CLASSES)
        self.register_buffer("zeros", torch.zeros(1, self.DIM - self.STEM, 8, 8))

    def forward(self, images: Tensor) -> Tensor:
        """images [batch, 3, 32, 32] to logits [batch, classes]"""
        x = self.downsample(images)
        x = torch.cat([x, self.zeros.expand(x.size(0), -1, -1, -1)], 1)  # [batch, DIM, 8, 8]
        weight = self.graph.effective_weight()
        for i, (begin, end, target) in enumerate(zip(self.begins, self.ends, self.targets)):
            size = end - begin
            a = relu(self.norm[i](x[:, :size]))
            a = conv2d(a, self.conv.weight[begin:end], padding=1, groups=size)
            a = conv2d(a, weight[target:, begin:end])
            x = (x[:, size:] if end < self.DIM else x[:, -self.FEATURES :]) + a
        middle = avg_pool2d(x[:, :, 2:5, 2:5], 2)  # [batch, FEATURES, 1, 1]
        return self.fc(middle.flatten(1))
