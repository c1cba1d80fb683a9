"""Freewire's interface: `from rewire.compat.freewire import Node, Graph, Model`.

Its programs run as they are; networks are `rewire.nn.NeuronGraph`. Building takes linear time,
nothing moves to a GPU by itself (`Model.to` does), operation ids work in any order, and targets of
shape [batch] for one output are what they look like. Source: github.com/noahtren/Freewire.
"""

import sys

import torch
from torch import Tensor

import rewire

LOSSES = {"mse": torch.nn.MSELoss, "crossentropy": torch.nn.CrossEntropyLoss}
OPTIMISERS = {"sgd": (torch.optim.SGD, 0.01), "adam": (torch.optim.Adam, 1e-3)}


class Edge:
    """From `start` to `end`; `weight` and `grad` are there after `Model.update_graph`."""

    def __init__(self, start: "Node", end: "Node"):
        self.start, self.end = start, end
        self.weight = self.grad = None
        start.out_edges.append(self)
        end.in_edges.append(self)


class Node:
    """A neuron; without inputs it is an input node. `bias` is there after `Model.update_graph`."""

    def __init__(self, inputs=(), output_index=-1, activation="linear", op_id="any"):
        self.inputs = [inputs] if isinstance(inputs, Node) else list(inputs)
        self.output_index, self.activation, self.op_id = output_index, activation, op_id
        self.is_input = not self.inputs
        self.is_output = not self.is_input and output_index >= 0
        self.is_hidden = not self.is_input and not self.is_output
        if self.is_input and activation != "linear":
            raise ValueError(f"Node: an input node has no activation, got {activation!r}")
        self.in_edges, self.out_edges = [], []
        self.bias = self.grad = None
        for node in self.inputs:
            Edge(node, self)


class Graph:
    """Which nodes are inputs, hidden and outputs."""

    def __init__(self, input_nodes, hidden_nodes, output_nodes):
        self.input_nodes, self.hidden_nodes = list(input_nodes), list(hidden_nodes)
        self.output_nodes = list(output_nodes)
        self.nodes = self.input_nodes + self.hidden_nodes + self.output_nodes

    @property
    def edges(self) -> list[Edge]:
        """The edges into the nodes, node by node."""
        return [edge for node in self.nodes for edge in node.in_edges]


class Model(torch.nn.Module):
    """A network of a graph. initialization: "he", "uniform" or "self_normalized".

    Raises
    ------
    ValueError
        If a node reads one that is in none of the graph's lists, or the graph is none.
    """

    def __init__(self, graph: Graph, initialization: str = "he"):
        super().__init__()
        self.graph = graph
        number = {node: i for i, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            for source in node.inputs:
                if source not in number:
                    raise ValueError(
                        f"Model: node {number[node]} reads a node that is in none of the lists of "
                        "inputs, hidden nodes and outputs"
                    )
        outputs = sorted(graph.output_nodes, key=lambda node: node.output_index)
        self.network = rewire.nn.NeuronGraph(
            rewire.Graph(
                [(number[edge.start], number[edge.end]) for edge in graph.edges],
                inputs=[number[node] for node in graph.input_nodes],
                outputs=[number[node] for node in outputs],
                activation={
                    number[node]: node.activation.replace("leaky relu", "leaky_relu")
                    for node in graph.hidden_nodes + graph.output_nodes
                },
                operation={number[n]: n.op_id for n in graph.nodes if n.op_id != "any"},
                neurons=range(len(graph.nodes)),
                parallel=True,
            ),
            init=initialization,
        )
        self.optimizer = self.loss_function = None

    def count_params(self) -> int:
        """The number of weights; biases are left out."""
        return self.network.weight.numel()

    def forward(self, x) -> Tensor:
        """x [batch, inputs] or [inputs], a tensor or lists; returns [batch, outputs]."""
        x = self._tensor(x)
        return self.network(x[None] if x.dim() == 1 else x)

    def compile(self, optimizer: str, loss_function: str, lr: float | None = None):
        """optimizer: "sgd" (lr 0.01) or "adam" (1e-3); loss_function: "mse" or "crossentropy"."""
        for kind, word, known in (
            ("optimizer", optimizer, OPTIMISERS),
            ("loss_function", loss_function, LOSSES),
        ):
            if word not in known:
                raise ValueError(f"compile: expected {kind} of {', '.join(known)}, got {word!r}")
        kind, usual = OPTIMISERS[optimizer]
        self.optimizer = kind(self.parameters(), lr=usual if lr is None else lr)
        self.loss_function = LOSSES[loss_function]()

    def fit(self, x, y, epochs: int = 1, batch_size: int = 32, verbose: bool = True) -> list[float]:
        """Trains on batches in the given order, without the last incomplete one.

        Returns
        -------
        list of float
            The mean loss of each epoch's batches, which are printed too, if verbose.
        """
        if self.optimizer is None:
            raise RuntimeError("fit: call compile() first")
        x, y = self._tensor(x), self._tensor(y)
        if x.dim() != 2 or x.shape[1] != len(self.graph.input_nodes):
            raise ValueError(
                f"fit: expected x of shape [samples, {len(self.graph.input_nodes)}], got "
                f"{list(x.shape)}"
            )
        if len(y) != len(x) or batch_size < 1 or len(x) < batch_size:
            raise ValueError(
                f"fit: expected as many targets as samples, and at least a batch of them, got "
                f"{len(x)} samples, {len(y)} targets and batch_size {batch_size}"
            )
        losses = []
        for epoch in range(epochs):
            total, batches = x.new_zeros(()), len(x) // batch_size
            for first in range(0, batches * batch_size, batch_size):
                output = self.network(x[first : first + batch_size])
                target = y[first : first + batch_size]
                if target.numel() == output.numel():
                    target = target.view_as(output)
                loss = self.loss_function(output, target)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
            losses.append(total.item() / batches)
            if verbose:
                ending = "\r" if sys.stdout.isatty() and epoch + 1 < epochs else "\n"
                print(f"epoch [{epoch + 1}/{epochs}] loss: {losses[-1]:.6g}", end=ending)
        return losses

    def update_graph(self) -> Graph:
        """Writes weights, biases and their last gradients to the graph's edges and nodes."""
        net = self.network

        def listed(tensor):
            return [None] * tensor.numel() if tensor.grad is None else tensor.grad.tolist()

        parts = zip(self.graph.edges, net.weight.tolist(), listed(net.weight))
        for edge, edge.weight, edge.grad in parts:
            pass
        for node, node.bias, node.grad in zip(
            self.graph.nodes, net.bias.tolist(), listed(net.bias)
        ):
            pass
        return self.graph

    def _tensor(self, values) -> Tensor:
        weight = self.network.weight
        if not isinstance(values, Tensor):
            values = torch.tensor(values, dtype=torch.float)
        values = values.to(weight.device)
        return values.to(weight.dtype) if values.is_floating_point() else values


Network = Model


def neuron_level_densenet(
    input_size: int, hidden_size: int, output_size: int, activation: str
) -> Graph:
    """Each hidden neuron sees all inputs and all earlier hidden ones; outputs see all of them."""
    inputs = [Node() for _ in range(input_size)]
    hidden: list[Node] = []
    for _ in range(hidden_size):
        hidden.append(Node(inputs + hidden, activation=activation))
    return Graph(inputs, hidden, [Node(inputs + hidden) for _ in range(output_size)])
