"""C12 to C14: graphs of single neurons, forward and training steps, and how their cost grows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import rewire
from contest import Case, Contest, Peer, Results, Way
from layers import drawn

# neurons, edges
SIZES = [(2_000, 20_000), (10_000, 100_000)]
BATCH = 256
INPUTS, OUTPUTS = 64, 10
GROWTH = [10_000, 100_000, 1_000_000, 10_000_000]
LARGEST = 100_000_000
GROWTH_BATCH = 16
WINDOW = 1_000  # how far a local source lies back
# edges that the cost of others is held against, how much dearer these may be, and the moonshot
AGAINST_ITSELF = {"local": (1_000_000, 1.3, 1.3), "random": (100_000, 5, 3)}


def cases(full: bool) -> Iterator[Case]:
    """Both sizes against their peers; growing graphs against themselves."""
    for neurons, edges in SIZES:
        name = f"neurons={neurons} edges={edges} batch={BATCH}"
        for goal, build in (("C12", build_forward), ("C13", build_training)):
            yield Case((goal,), name, "relu", partial(build, neurons, edges))
    for sources in AGAINST_ITSELF:
        for edges in GROWTH + ([LARGEST] if full else []):
            yield Case(
                ("C14",),
                f"edges={edges} {sources}",
                f"batch {GROWTH_BATCH}, {bytes_an_edge(edges):.1f} bytes an edge",
                partial(build_growth, edges, sources),
            )


def bytes_an_edge(edges: int) -> float:
    """Of weight, structure and biases: int32 and float32."""
    neurons = edges // 10
    return 4 * (5 * edges + 6 * neurons) / edges


@dataclass
class Network:
    """A graph with weights that keep values in range, and what goes in and comes back."""

    graph: rewire.Graph
    weight: Tensor
    bias: Tensor
    input: Tensor
    grad_output: Tensor

    def __post_init__(self):
        self.structure = [part.to(self.weight.device) for part in self.graph.structure()]

    def forward(self, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """By our operator; what `no_grad` surrounds keeps nothing for a backward pass."""
        keep_state = torch.is_grad_enabled()
        return torch.ops.rewire.neuron_graph(
            input, weight, bias, self.structure, keep_state=keep_state
        )[0]


def network(neurons: int, edges: int) -> Network:
    """A random graph of many levels."""
    return with_weights(rewire.graphs.random_dag(INPUTS, neurons - INPUTS - OUTPUTS, OUTPUTS, edges))


def levelled(levels: int, width: int, fan_in: int) -> Network:
    """So many levels of so many neurons beside the inputs. A neuron reads one of the level before,
    and others of any level."""
    generator = torch.Generator("cpu").manual_seed(6)
    edges = []
    for level in range(levels):
        first = INPUTS + level * width  # how many neurons lie before the level
        sources = torch.rand(width, fan_in, generator=generator, device="cpu").mul(first).long()
        before = min(width, first)
        sources[:, 0] = first - before + sources[:, 0] * before // first
        targets = torch.arange(first, first + width, device="cpu").unsqueeze(1)
        edges.append(torch.stack([sources, targets.expand_as(sources)], dim=-1).flatten(0, 1))
    last = INPUTS + levels * width
    ends = (range(INPUTS), range(last - OUTPUTS, last))
    return with_weights(rewire.Graph(torch.cat(edges), *ends, neurons=range(last), parallel=True))


def with_weights(graph: rewire.Graph) -> Network:
    """The network, and a batch."""
    return Network(
        graph,
        0.1 * drawn(graph.num_edges, seed=1),
        0.1 * drawn(len(graph.neurons), seed=2),
        drawn(BATCH, INPUTS, seed=3),
        drawn(BATCH, OUTPUTS, seed=4),
    )


def _inference(call: Callable[[], Tensor]) -> Way:
    run = torch.no_grad()(call)
    return Way(run, lambda: {"output": run()})


def build_forward(neurons: int, edges: int) -> Contest:
    """Values of the outputs of a batch."""
    return forward_contest(network(neurons, edges))


def forward_contest(net: Network) -> Contest:
    """The same of any network."""
    levels = Levels(net)
    tensors = (net.input, net.weight, net.bias)
    peers = [
        Peer("C12", "torch-csr-levels", {"csr": _inference(levels.csr)}, 8, 15),
        Peer("C12", "freewire-style", {"padded": _inference(levels.padded)}, 40, 80),
    ]
    doubles = [tensor.double() for tensor in tensors]
    return Contest(
        _inference(lambda: net.forward(*tensors)),
        peers,
        lambda: {"output": net.forward(*doubles)},
        apart={"structure": net.graph.structure},
    )


def build_training(neurons: int, edges: int) -> Contest:
    """Forward, and the gradients of weights and biases."""
    net = network(neurons, edges)
    levels = Levels(net)

    def gradients(weight: Tensor, bias: Tensor) -> Results:
        weight, bias = weight.requires_grad_(), bias.requires_grad_()
        out = net.forward(net.input.to(weight.dtype), weight, bias)
        grads = torch.autograd.grad(out, (weight, bias), net.grad_output.to(weight.dtype))
        return {"output": out, "grad_weight": grads[0], "grad_bias": grads[1]}

    weight, bias = net.weight.clone(), net.bias.clone()
    peers = [Peer("C13", "freewire-style", {"padded": levels.training_way()}, 200, 400)]
    return Contest(
        Way(lambda: gradients(weight, bias), lambda: gradients(weight, bias)),
        peers,
        lambda: gradients(net.weight.double(), net.bias.double()),
    )


class Levels:
    """The network level by level: as products of sparse matrices, and as Freewire does it.

    Freewire selects a level's distinct sources from a tape and gathers, for each neuron, as many of
    them as the level's largest fan-in; what is missing reads a value that is always 0. Neurons of
    one activation are gathered, computed and scattered. A level's weights are one parameter
    [neurons, fan-in]. Source: github.com/noahtren/Freewire, restated.
    """

    def __init__(self, net: Network):
        self.net = net
        neurons, _, offsets, rows, columns, edges = (part.long() for part in net.structure[:6])
        self.outputs = net.structure[9].long()
        self.num_neurons = len(neurons)
        bounds = offsets.unique().tolist()
        self.levels, self.matrices, self.places, self.weights, self.biases = [], [], [], [], []
        for begin, end in zip(bounds[1:], bounds[2:]):
            first, last = int(rows[begin]), int(rows[end])
            fan_in = rows[begin + 1 : end + 1] - rows[begin:end]
            slot = torch.arange(end - begin).repeat_interleave(fan_in)
            within = torch.arange(first, last) - rows[begin:end][slot]
            own = edges[first:last]
            sources = torch.zeros(end - begin, int(fan_in.max()), dtype=torch.int64)
            sources[slot, within] = columns[first:last] + 1
            weight = torch.zeros(sources.shape)
            weight[slot, within] = net.weight[own]
            bias = net.bias[neurons[begin:end]]
            self.levels.append((begin, end, sources, neurons[begin:end]))
            self.places.append((own, slot, within))
            self.weights.append(weight)
            self.biases.append(bias.clone())
            self.matrices.append(
                torch.sparse_csr_tensor(
                    rows[begin : end + 1] - first,
                    columns[first:last],
                    net.weight[own],
                    (end - begin, begin),
                )
            )
        self.distinct = [sources.unique(return_inverse=True) for _, _, sources, _ in self.levels]
        self.activations_of = [self.activations(number) for number in range(len(self.levels))]

    def activations(self, number: int) -> list[tuple[Callable[[Tensor], Tensor], Tensor]]:
        """Each activation of a level with its neurons: outputs are linear, the others ReLU."""
        begin, end, *_ = self.levels[number]
        is_output = torch.isin(torch.arange(begin, end), self.outputs)
        kinds = ((torch.relu, ~is_output), (lambda sums: sums, is_output))
        return [(function, own.nonzero().flatten()) for function, own in kinds if own.any()]

    def csr(self) -> Tensor:
        """A product with a level's matrix after another, on values [neurons, batch]."""
        values = torch.empty(self.num_neurons, BATCH)
        values[:INPUTS] = self.net.input.t()
        for number, (begin, end, *_) in enumerate(self.levels):
            sums = self.matrices[number] @ values[:begin] + self.biases[number][:, None]
            values[begin:end] = sums
            for function, own in self.activations_of[number]:
                values[begin + own] = function(sums[own])
        return values[self.outputs].t()

    def padded(self) -> Tensor:
        """On a tape [batch, 1 + neurons] whose first value is 0."""
        tape = torch.zeros(BATCH, 1 + self.num_neurons)
        tape[:, 1 : 1 + INPUTS] = self.net.input
        for number, (begin, end, sources, _) in enumerate(self.levels):
            distinct, places = self.distinct[number]
            read = tape.index_select(1, distinct)[:, None].expand(-1, end - begin, -1)
            gathered = read.gather(2, places.expand(BATCH, -1, -1))
            sums = (gathered * self.weights[number]).sum(2) + self.biases[number]
            for function, own in self.activations_of[number]:
                own = own.expand(BATCH, -1)
                sums = sums.scatter(1, own, function(sums.gather(1, own)))
            tape[:, 1 + begin : 1 + end] = sums
        return tape[:, 1 + self.outputs]

    def training_way(self) -> Way:
        """The padded one with its gradients."""
        parameters = [tensor.requires_grad_() for tensor in self.weights + self.biases]

        def run() -> tuple[Tensor, ...]:
            output = self.padded()
            return output, *torch.autograd.grad(output, parameters, self.net.grad_output)

        def results() -> Results:
            output, *grads = run()
            grad_weight, grad_bias = (
                torch.zeros_like(self.net.weight),
                torch.zeros_like(self.net.bias),
            )
            levels = zip(self.levels, self.places, grads, grads[len(self.levels) :], strict=False)
            for (*_, neurons), (own, slot, within), weight, bias in levels:
                grad_weight[own] = weight[slot, within]
                grad_bias[neurons] = bias
            return {"output": output, "grad_weight": grad_weight, "grad_bias": grad_bias}

        return Way(run, results)


def growing(edges: int, sources: str) -> tuple[Callable, Callable, Callable]:
    """A graph of ten edges a neuron: its forward pass, a training step, and how it is built."""
    neurons = edges // 10
    generator = torch.Generator().manual_seed(5)
    first, last = INPUTS, neurons - OUTPUTS
    targets = torch.randint(first, neurons, (edges,), generator=generator).sort().values
    reach = targets.clamp(max=last)
    back = reach.clamp(max=WINDOW) if sources == "local" else reach
    draws = torch.rand(edges, generator=generator, dtype=torch.float64)
    ends = (reach - 1 - (draws * back).long(), targets)
    inputs, outputs = torch.arange(first), torch.arange(last, neurons)
    activations = torch.ones(neurons, dtype=torch.int64)

    def build() -> list[Tensor]:
        levels, _ = torch.ops.rewire.neuron_levels(*ends, neurons, inputs)
        return list(torch.ops.rewire.neuron_structure(*ends, levels, activations, inputs, outputs))

    structure = build()
    weight, bias = 0.3 * drawn(edges, seed=1), drawn(neurons, seed=2)
    input = drawn(GROWTH_BATCH, INPUTS, seed=3)

    def forward(dtype: torch.dtype = torch.float32) -> Tensor:
        tensors = [tensor.to(dtype) for tensor in (input, weight, bias)]
        with torch.no_grad():
            return torch.ops.rewire.neuron_graph(*tensors, structure, keep_state=False)[0]

    def step() -> tuple[Tensor, ...]:
        leaves = [weight.requires_grad_(), bias.requires_grad_()]
        output = torch.ops.rewire.neuron_graph(input, *leaves, structure)[0]
        return torch.autograd.grad(output.sum(), leaves)

    return forward, step, build


def build_growth(edges: int, sources: str) -> Contest:
    """An edge's cost for a sample here, and in the graph that it is held against.

    The smaller of the two is computed as often as makes the edges equally many.
    """
    compared, dearer, moonshot = AGAINST_ITSELF[sources]
    forward, step, build = growing(edges, sources)
    other = forward if edges == compared else growing(compared, sources)[0]
    most = max(edges, compared)

    def repeated(call: Callable[[], Tensor], own: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(most // own):
                call()

        return run

    def results() -> Results:
        return {"output": forward()}

    peer = Way(repeated(other, compared), results)
    return Contest(
        Way(repeated(forward, edges), results),
        [Peer("C14", "itself", {"graph": peer}, 1 / dearer, 1 / moonshot)],
        lambda: {"output": forward(torch.float64)},
        apart={"step": step, "build": build},
    )
