"""Layers and networks whose wiring is learned."""

from rewire.nn import functional
from rewire.nn.batch_norm import BatchNorm
from rewire.nn.conv2d import SparseConv2d
from rewire.nn.dnw import DNWConv2d, DNWLinear
from rewire.nn.linear import SparseLinear
from rewire.nn.neuron_graph import NeuronGraph

__all__ = [
    "BatchNorm",
    "DNWConv2d",
    "DNWLinear",
    "NeuronGraph",
    "SparseConv2d",
    "SparseLinear",
    "functional",
]
