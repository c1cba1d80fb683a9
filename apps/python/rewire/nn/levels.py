"""A graph of neurons level by level, where more than a sum and an activation is to be computed.

For a level with the values X = (x_1 .. x_U) of its distinct sources, each step if it is asked for:

    norm              X <- weight (X - mean X) / sqrt(var X + 1e-5) + bias        if U > 1
    level attention   X <- softmax_j(q_i k_j / sqrt(U)) v + X,    q, k, v = W X + b
    neuron attention  the same for each neuron over its own sources Z of X
    sum               s = bias + sum of weight z
    activation        y = a act(b s) of hidden neurons if adaptive, act(s) otherwise
    dropout           y <- y keep

Source: connex 0.4.0, whose options these are; with the exact mean of squares, and with attention
over a neuron's own sources alone, whatever their number.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rewire.graph import Graph

EPS = 1e-5

FUNCTIONS = {
    "linear": lambda s: s,
    "relu": torch.relu,
    "selu": torch.selu,
    "leaky_relu": nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda s: s.softmax(-1),
    "gelu_tanh": lambda s: nn.functional.gelu(s, approximate="tanh"),
    "tanh": torch.tanh,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "elu": nn.functional.elu,
    "softplus": lambda s: torch.logaddexp(s, torch.zeros_like(s)),
}


class Level(nn.Module):
    """One level: where its neurons, edges and sources are.

    Neurons and sources are positions in the order of evaluation; edges are sorted by neuron.
    """

    def __init__(
        self, graph: Graph, begin: int, end: int, structure: Sequence[Tensor], of_neuron: bool
    ):
        super().__init__()
        neurons, offsets, columns, edges = (structure[i].long() for i in (0, 3, 4, 5))
        first, last = int(offsets[begin]), int(offsets[end])
        own = columns[first:last]
        sources, place = own.unique(return_inverse=True)
        fan_in = offsets[begin + 1 : end + 1] - offsets[begin:end]
        self.names = [graph.neurons[n] for n in neurons[begin:end].tolist()]
        self.source_names = [graph.neurons[n] for n in neurons[sources].tolist()]
        self.own_sources = [
            [graph.neurons[n] for n in part.tolist()]
            for part in neurons[own].split(fan_in.tolist())
        ]
        self.fan_ins = fan_in.tolist()
        slot = torch.arange(end - begin).repeat_interleave(fan_in)
        within = torch.arange(len(own)) - (offsets[begin:end] - first)[slot]
        buffers = {
            "neurons": neurons[begin:end],
            "edges": edges[first:last],
            "sources": sources,
            "place": place,  # of an edge's source among the sources
            "slot": slot,  # of an edge's neuron in the level
            "within": within,  # of an edge among its neuron's
            "fan_in": fan_in,
        }
        if of_neuron:
            real = torch.arange(max(self.fan_ins, default=0)) < fan_in.unsqueeze(1)
            pairs = (real.unsqueeze(1) & real.unsqueeze(2)).nonzero()
            # [neurons, most] what is no padding; [pairs, 3] neuron, row and column of a matrix
            buffers |= {"real": real, "pairs": pairs}
        groups: dict = {}
        for i, n in enumerate(neurons[begin:end].tolist()):
            groups.setdefault(graph.activations[n], []).append(i)
        self.groups = groups  # {activation: its neurons' slots}
        # of a neuron among those sorted by activation
        buffers["order"] = torch.tensor([i for own in groups.values() for i in own]).argsort()
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)


def _attend(x: Tensor, weight: Tensor, bias: Tensor, size, real: Tensor | None = None) -> Tensor:
    """softmax_j(q_i k_j / sqrt(size)) v + x over the last dimension of x; `real`: what is no padding."""
    q, k, v = (torch.einsum("...ij,b...j->b...i", weight[i], x) + bias[i] for i in range(3))
    scores = q.unsqueeze(-1) * k.unsqueeze(-2) / torch.as_tensor(size).to(x).sqrt()[..., None, None]
    if real is not None:
        scores = scores.masked_fill(~real.unsqueeze(-2), -torch.inf)
        scores = scores.masked_fill(~real.unsqueeze(-1), 0)  # rows of padding, which nobody reads
    return (scores.softmax(-1) @ v.unsqueeze(-1)).squeeze(-1) + x


class Levels(nn.Module):
    """The levels of a graph, and the parameters of norm and attention, packed level by level.

    norm_weight, norm_bias [distinct sources]; attention_weight [3 (q, k, v), squares of those],
    attention_bias [3, those]; neuron_attention_weight [3, squares of fan-ins],
    neuron_attention_bias [3, fan-ins], neuron by neuron.
    """

    def __init__(self, graph: Graph, norm: bool, attention: str | None):
        super().__init__()
        structure = graph.structure()
        offsets = structure[2].tolist()
        self.num_inputs = offsets[1]
        self.levels = nn.ModuleList(
            Level(graph, begin, end, structure, attention in ("neuron", "both"))
            for begin, end in zip(offsets[1:], offsets[2:])
            if begin < end
        )
        modules = [one for one in graph.activations if isinstance(one, nn.Module)]
        self.activations = nn.ModuleList(dict.fromkeys(modules))  # for their parameters
        self.norm = norm
        self.of_level = attention in ("level", "both")
        self.of_neuron = attention in ("neuron", "both")
        widths = [len(level.source_names) for level in self.levels]
        fans = [fan for level in self.levels for fan in level.fan_ins]
        if norm:
            self.norm_weight = nn.Parameter(torch.empty(sum(widths)))
            self.norm_bias = nn.Parameter(torch.empty(sum(widths)))
        if self.of_level:
            self.attention_weight = nn.Parameter(torch.empty(3, sum(w * w for w in widths)))
            self.attention_bias = nn.Parameter(torch.empty(3, sum(widths)))
        if self.of_neuron:
            self.neuron_attention_weight = nn.Parameter(torch.empty(3, sum(f * f for f in fans)))
            self.neuron_attention_bias = nn.Parameter(torch.empty(3, sum(fans)))

    def reset_parameters(self):
        """Norms scale by 1; attention is normal with standard deviation 0.1."""
        with torch.no_grad():
            for name, parameter in self.named_parameters(recurse=False):
                if name.startswith("norm"):
                    parameter.fill_(float(name.endswith("weight")))
                else:
                    parameter.normal_(std=0.1)

    def forward(self, net, x: Tensor, mask: Tensor | None, keep: Tensor | None) -> Tensor:
        """The values of all neurons [batch, neurons] by position; `net` is whose weights they are."""
        weight = net.weight
        if mask is not None:  # straight-through to what is not in use
            weight = weight + (torch.where(mask, weight, 0) - weight).detach()
        if keep is not None:
            x = x * keep[:, net._structure0[: self.num_inputs].long()]
        values, at_source, at_square, at_fan, at_fan_square = x, 0, 0, 0, 0
        for number, level in enumerate(self.levels, start=1):
            width = len(level.source_names)
            inputs = values.index_select(1, level.sources)
            own = slice(at_source, at_source + width)
            if self.norm and width > 1:
                centred = inputs - inputs.mean(1, keepdim=True)
                variance = centred.square().mean(1, keepdim=True)
                inputs = self.norm_weight[own] * centred / (variance + EPS).sqrt()
                inputs = inputs + self.norm_bias[own]
            if self.of_level and width > 0:
                square = self.attention_weight[:, at_square : at_square + width * width]
                inputs = _attend(
                    inputs, square.view(3, width, width), self.attention_bias[:, own], width
                )
            read = inputs.index_select(1, level.place)
            if self.of_neuron and level.edges.shape[0] > 0:
                fan, fan_square = level.edges.shape[0], sum(f * f for f in level.fan_ins)
                read = self._attend_by_neuron(level, read, at_fan, at_fan_square)
                at_fan, at_fan_square = at_fan + fan, at_fan_square + fan_square
            sums = net.bias[level.neurons].expand(x.shape[0], -1)
            sums = sums.index_add(1, level.slot, read * weight[level.edges])
            new = self._activated(net, level, sums)
            if keep is not None:
                new = new * keep[:, level.neurons]
            if net.between is not None:
                new = net.between(number, new)
            values = torch.cat([values, new], 1)
            at_source, at_square = at_source + width, at_square + width * width
        return values

    def _attend_by_neuron(self, level: Level, read: Tensor, at: int, at_square: int) -> Tensor:
        """What each edge reads, [batch, edges], after its neuron's attention."""
        num_neurons, most = level.real.shape
        count, pairs = level.pairs.shape[0], tuple(level.pairs.t())
        padded = read.new_zeros(read.shape[0], num_neurons, most)
        samples = torch.arange(read.shape[0], device=read.device)[:, None]
        padded = padded.index_put((samples, level.slot, level.within), read)
        weight, bias = [], []
        for i in range(3):
            packed = self.neuron_attention_weight[i, at_square : at_square + count]
            weight.append(read.new_zeros(num_neurons, most, most).index_put(pairs, packed))
            own = self.neuron_attention_bias[i, at : at + level.edges.shape[0]]
            zeros = read.new_zeros(num_neurons, most)
            bias.append(zeros.index_put((level.slot, level.within), own))
        size = level.fan_in.clamp(min=1)
        attended = _attend(padded, torch.stack(weight), torch.stack(bias), size, level.real)
        return attended[:, level.slot, level.within]

    def _activated(self, net, level: Level, sums: Tensor) -> Tensor:
        if net.adaptive:
            sums = sums * net.of_hidden(net.rate)[level.neurons]
        results = []
        for activation, own in level.groups.items():
            function = FUNCTIONS.get(activation, activation)
            part = sums[:, own]
            result = function(part)
            if result.shape != part.shape:
                raise ValueError(
                    f"NeuronGraph: an activation must keep the shape {list(part.shape)}, got "
                    f"{list(result.shape)} from {activation!r}"
                )
            results.append(result)
        new = torch.cat(results, 1).index_select(1, level.order)
        return new * net.of_hidden(net.gain)[level.neurons] if net.adaptive else new

    def survivors(self, old: "Levels") -> dict[str, Tensor]:
        """{parameter: old places along its last dimension, -1 for what is new}."""
        by_level, by_neuron = _places(old)
        sources, squares, fans, fan_squares = [], [], [], []
        for level in self.levels:
            places, square_places = by_level.get(frozenset(level.names), ({}, {}))
            names = level.source_names
            sources += [places.get(s, -1) for s in names]
            squares += [square_places.get((s, t), -1) for s in names for t in names]
            for name, own in zip(level.names, level.own_sources):
                places, square_places = by_neuron.get(name, ({}, {}))
                fans += [places.get(s, -1) for s in own]
                fan_squares += [square_places.get((s, t), -1) for s in own for t in own]
        found = {
            "norm_weight": sources,
            "norm_bias": sources,
            "attention_weight": squares,
            "attention_bias": sources,
            "neuron_attention_weight": fan_squares,
            "neuron_attention_bias": fans,
        }
        return {
            name: torch.tensor(found[name], dtype=torch.int64)
            for name, _ in self.named_parameters(recurse=False)
        }


def _places(old: Levels):
    """{neurons of a level: ({source: place}, {pair of sources: place})}, and so by neuron."""

    def numbered(names, start, square):
        pairs = [(s, t) for s in names for t in names]
        return (
            {name: start + i for i, name in enumerate(names)},
            {pair: square + i for i, pair in enumerate(pairs)},
        )

    by_level, by_neuron = {}, {}
    at, square, fan, fan_square = 0, 0, 0, 0
    for level in old.levels:
        names = level.source_names
        by_level[frozenset(level.names)] = numbered(names, at, square)
        at, square = at + len(names), square + len(names) ** 2
        for name, own in zip(level.names, level.own_sources):
            by_neuron[name] = numbered(own, fan, fan_square)
            fan, fan_square = fan + len(own), fan_square + len(own) ** 2
    return by_level, by_neuron
