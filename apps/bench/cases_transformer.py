"""C16: the linear layers of a transformer at 90 % sparse, forward and both gradients of the edges
that exist, on a structure that stays."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from contest import Case, Contest, Peer, Way
from layers import WiredLayer, random_weight
from products import dense_training, our_training

GOALS = {"sparselab": (2.5, 4), "torch-dense": (5, 7)}
SPARSITY = 0.9
# inputs, outputs, tokens
SHAPES = [(512, 2048, 1024), (2048, 512, 1024), (512, 512, 1024)]
MORE_SHAPES = [(1024, 1024, 1024), (2048, 2048, 1024)]


def cases(full: bool) -> Iterator[Case]:
    """The two layers of a feed-forward block and a projection; in full wider ones."""
    for inputs, outputs, tokens in SHAPES + (MORE_SHAPES if full else []):
        yield Case(
            ("C16",),
            f"in={inputs} out={outputs} tokens={tokens}",
            f"{1 - SPARSITY:.0%} in use",
            partial(build, inputs, outputs, tokens),
        )


def build(inputs: int, outputs: int, tokens: int) -> Contest:
    """The layer, and torch dense against it, and SparseLab where it is installed, on its edges."""
    theirs = sparselab_layer(inputs, outputs)
    if theirs is None:
        weight = random_weight(outputs, inputs)
        keep = round((1 - SPARSITY) * weight.numel())
    else:
        weight = theirs(torch.eye(inputs)).detach().t().contiguous()
        keep = int(weight.count_nonzero())
    layer = WiredLayer(weight, keep, tokens, 1)  # tokens are images of one pixel

    def ours(images: Tensor, values: Tensor) -> Tensor:
        output = torch.ops.rewire.sparse_linear(
            images.flatten(1), values, None, *layer.structure, execution="sparse"
        )
        return output[..., None, None]

    peers = [Peer("C16", "torch-dense", dense_training(layer), *GOALS["torch-dense"])]
    if theirs is not None:
        peers.append(
            Peer("C16", "sparselab", {"layer": sparselab_way(layer, theirs)}, *GOALS["sparselab"])
        )
    return Contest(
        our_training(layer, ours, layer.values, "grad_values"),
        peers,
        layer.gradients,
        apart={"structure": lambda: torch.ops.rewire.select(layer.weight, layer.keep)},
    )


def sparselab_layer(inputs: int, outputs: int) -> torch.nn.Module | None:
    """SparseLab's layer with the random edges that it draws; None where it is not installed."""
    try:
        import sparselab
    except ImportError:
        return None
    torch.manual_seed(3)
    return sparselab.SparseLinear(inputs, outputs, bias=False, sparsity=SPARSITY)


def sparselab_way(layer: WiredLayer, theirs: torch.nn.Module) -> Way:
    """Forward and both gradients of SparseLab's layer."""
    (values,) = theirs.parameters()  # by row, each with room for more edges, which is zero
    tokens = layer.input.flatten(1).requires_grad_()
    grad_output = layer.grad_output.flatten(1)

    def run() -> tuple[Tensor, ...]:
        output = theirs(tokens)
        return output, *torch.autograd.grad(output, (tokens, values), grad_output)

    def results() -> dict[str, Tensor]:
        output, grad_input, grad_values = run()
        return {
            "output": output[..., None, None],
            "grad_input": grad_input[..., None, None],
            "grad_values": grad_values[values.detach() != 0],
        }

    return Way(run, results)
