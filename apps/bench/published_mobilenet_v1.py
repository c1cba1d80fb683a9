"""The published MobileNetV1-like network with learned wiring in plain torch, as `published.py` has the
static classifier. Source: Wortsman, Farhadi, Rastegari 2019, section 4.2, and its published code.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from published import ChooseWeights, zero_by_sort

# Input channels, output channels, stride and convolutions of each block.
BLOCKS = [(32, 64, 1, 1), (64, 128, 2, 2), (128, 256, 2, 2), (256, 512, 2, 6), (512, 1024, 2, 2)]


def layer_prune_rate(inputs: int, outputs: int, depth: int, prune_rate: float) -> float:
    """The rate at which a block's matrix has as many edges as the plain network of that width."""
    edges = (inputs * outputs + (depth - 1) * outputs**2) * (1 - prune_rate) ** 2
    return 1 - edges / ((inputs + outputs * (depth - 1)) * outputs * depth)


class Block(nn.Module):
    """`depth` convolutions whose channels are the nodes of one graph.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the block and of each convolution.
    stride : int
        Of the first depthwise convolution.
    depth : int
        Convolutions.
    rate : float
        The prune rate of the block's matrix.
    zero : callable
        How the smallest entries are found, as in ``ChooseWeights``.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, depth: int, rate: float,
                 zero=zero_by_sort):
        super().__init__()
        self.inputs, self.outputs, self.depth = inputs, outputs, depth
        inner = outputs * (depth - 1)
        self.downsample = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)
        )
        if depth > 1:
            self.conv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        widths = [inputs] + [outputs] * (depth - 1)
        self.norm = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.graph = ChooseWeights(inputs + inner, outputs * depth, rate, zero)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, h, w] to [batch, outputs, h / stride, w / stride]"""
        weight, outputs = self.graph.effective_weight(), self.outputs
        x = conv2d(self.downsample(relu(self.norm[0](x))), weight[:, : self.inputs])
        for i in range(self.depth - 1):
            begin, end = i * outputs, (i + 1) * outputs
            a = relu(self.norm[i + 1](x[:, :outputs]))
            a = conv2d(a, self.conv.weight[begin:end], padding=1, groups=outputs)
            a = conv2d(a, weight[end:, self.inputs + begin : self.inputs + end])
            x = x[:, outputs:] + a
        return x


class MobileNetV1(nn.Module):
    """The network for images of 32x32 pixels.

    Parameters
    ----------
    prune_rate : float
        1 - the width of the plain network that has as many edges.
    zero : callable
        As in ``Block``.
    """

    def __init__(self, prune_rate: float = 0.775, classes: int = 10, zero=zero_by_sort):
        super().__init__()
        self.conv1 = nn.Conv2d(3, BLOCKS[0][0], 3, padding=1, bias=False)
        self.layers = nn.Sequential(
            *(
                Block(*block, layer_prune_rate(block[0], block[1], block[3], prune_rate), zero)
                for block in BLOCKS
            )
        )
        self.bn = nn.BatchNorm2d(BLOCKS[-1][1])
        self.linear = nn.Linear(BLOCKS[-1][1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """images [batch, 3, 32, 32] to logits [batch, classes]"""
        x = relu(self.bn(self.layers(self.conv1(images))))
        return self.linear(x.mean((2, 3)))
