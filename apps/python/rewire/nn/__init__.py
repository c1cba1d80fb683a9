"""Layers and networks whose wiring is learned."""

from rewire.nn import functional
from rewire.nn.batch_norm import BatchNorm
from rewire.nn.conv2d import SparseConv2d
from rewire.nn.dnw import DNWConv2d, DNWLinear
from rewire.nn.edge_popup import EdgePopupConv2d, EdgePopupLinear
from rewire.nn.linear import SparseLinear
from rewire.nn.n_m import NMConv2d, NMLinear
from rewire.nn.neuron_graph import NeuronGraph
from rewire.nn.top_kast import TopKASTConv2d, TopKASTLinear, exploration_penalty
from rewire.nn.wired_block import WiredBlock

__all__ = [
    "BatchNorm",
    "DNWConv2d",
    "DNWLinear",
    "EdgePopupConv2d",
    "EdgePopupLinear",
    "NMConv2d",
    "NMLinear",
    "NeuronGraph",
    "SparseConv2d",
    "SparseLinear",
    "TopKASTConv2d",
    "TopKASTLinear",
    "WiredBlock",
    "exploration_penalty",
    "functional",
]
