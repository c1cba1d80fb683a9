"""Layers and networks whose wiring is learned."""

from rewire.nn.neuron_graph import NeuronGraph

__all__ = ["NeuronGraph"]
