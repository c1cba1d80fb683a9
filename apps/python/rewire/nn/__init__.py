"""Layers and networks whose wiring is learned."""

from rewire.nn import functional
from rewire.nn.batch_norm import BatchNorm
from rewire.nn.neuron_graph import NeuronGraph

__all__ = ["BatchNorm", "NeuronGraph", "functional"]
