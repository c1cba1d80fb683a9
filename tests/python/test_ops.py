"""The operators as torch sees them: opcheck, gradients, compiling, scripting, and values against
references that are slow and obvious."""

import itertools

import pytest
import torch
from torch.library import opcheck

from gpu import DEVICES, needs_gpu

ops = torch.ops.rewire

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

# Scripting is in maintenance; torch says so at each use.
ignore_script_warning = pytest.mark.filterwarnings(
    "ignore:`torch.jit.*` is deprecated:DeprecationWarning"
)


def strongest(weight, keep):
    """Mask of the `keep` entries of largest magnitude; of equal ones the lower index is kept."""
    magnitudes = weight.detach().double().abs().flatten().tolist()
    by_strength = sorted(range(len(magnitudes)), key=lambda i: (-magnitudes[i], i))
    mask = torch.zeros(len(magnitudes), dtype=torch.bool)
    mask[by_strength[:keep]] = True
    return mask.view(weight.shape)


def structure(mask):
    """CSR of a mask, its transpose, and the position in CSR of each of the transpose's edges."""
    out_channels, in_channels = mask.shape
    edges = [(v, u) for v in range(out_channels) for u in range(in_channels) if mask[v, u]]
    by_input = sorted(edges, key=lambda edge: (edge[1], edge[0]))
    row_offsets = [sum(v < row for v, _ in edges) for row in range(out_channels + 1)]
    column_offsets = [sum(u < column for _, u in edges) for column in range(in_channels + 1)]
    lists = (
        row_offsets,
        [u for _, u in edges],
        column_offsets,
        [v for v, _ in by_input],
        [edges.index(edge) for edge in by_input],
    )
    return [torch.tensor(values, dtype=torch.int32) for values in lists]


def weights(requires_grad=True):
    """Weights of the layouts and sizes that an op must take, on every device."""
    generator = torch.Generator().manual_seed(5)
    base = torch.randn(4, 6, generator=generator)
    cases = {
        "contiguous": base,
        "permuted": base.t(),
        "expanded": base[0].expand(4, 6),
        "empty": base[:0],
        "half": base.half(),
        "double": base.double(),
    }
    return [
        pytest.param(w.detach().to(device).requires_grad_(requires_grad), id=f"{name}-{device}")
        for device in DEVICES
        for name, w in cases.items()
    ]


def drawn(*shape, seed=0, device="cpu"):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(device)


@pytest.mark.parametrize("weight", weights())
def test_opcheck_selection(weight):
    keep = weight.numel() // 3
    hint = torch.tensor(0.5, dtype=weight.dtype, device=weight.device)
    opcheck(ops.select, (weight, keep))
    opcheck(ops.select, (weight, keep, hint))
    opcheck(ops.strongest_mask, (weight, keep))
    for gradient in ("all", "kept"):
        opcheck(ops.keep_strongest, (weight, keep, gradient))
    opcheck(ops.keep_strongest_backward, (weight, weight.detach() > 0))


@pytest.mark.parametrize("weight", weights())
def test_opcheck_dropout(weight):
    draws = drawn(*weight.shape, device=weight.device)
    for per_row, d, keep_sign in itertools.product((True, False), (None, draws), (True, False)):
        candidates = 2 if per_row else weight.numel() // 2
        opcheck(ops.targeted_dropout, (weight, candidates, per_row, d, 0.5, keep_sign))
        opcheck(ops.targeted_dropout_mask, (weight, candidates, per_row, d, 0.5))
    mask = draws < 0.5
    for keep_sign in (True, False):
        opcheck(ops.targeted_dropout_backward, (weight, weight.detach(), mask, keep_sign))


@pytest.mark.parametrize("weight", weights(requires_grad=False))
def test_opcheck_random_mask(weight):
    opcheck(ops.random_mask, (weight.abs(), weight.numel() // 2))
    opcheck(ops.random_mask, (weight.abs(), weight.numel() // 2, weight < 0))


@pytest.mark.parametrize("gradient", ["all", "kept"])
def test_keep_strongest_gradient(gradient):
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(5, 4, dtype=torch.float64)
    ops.keep_strongest(weight, 7, gradient).backward(grad)
    expected = grad if gradient == "all" else torch.where(strongest(weight, 7), grad, 0.0)
    assert torch.equal(weight.grad, expected)


def test_gradients_that_are_true_derivatives():
    """Straight-through is none; masking is one, away from ties, and so are both dropouts."""
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    draws = drawn(5, 4, seed=1)
    functions = [
        lambda w: ops.keep_strongest(w, 7, "kept"),
        lambda w: ops.targeted_dropout(w, 2, True, draws, 0.5),
        lambda w: ops.targeted_dropout(w, 9, False, None, 0.5, False),
    ]
    for function in functions:
        assert torch.autograd.gradcheck(function, weight)
        assert torch.autograd.gradgradcheck(function, weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ties", [False, True])
def test_selection_against_reference(dtype, ties):
    generator = torch.Generator().manual_seed(7)
    for _ in range(25):
        shape = torch.randint(0, 12, (2,), generator=generator).tolist()
        weight = torch.randn(shape, generator=generator)
        weight = (weight.round() if ties else weight).to(dtype)
        keep = int(torch.randint(0, weight.numel() + 1, (), generator=generator))
        mask = strongest(weight, keep)
        smallest = weight.abs()[mask].min() if keep else torch.tensor(torch.inf, dtype=dtype)
        near = [smallest * factor for factor in (1, 0.97, 1.03, 2, -1, torch.nan)]
        for hint in (None, *near):
            *selected, threshold = ops.select(weight, keep, hint)
            assert all(map(torch.equal, selected, structure(mask)))
            assert torch.equal(threshold, smallest)
        assert torch.equal(ops.strongest_mask(weight, keep), mask)
        assert torch.equal(ops.keep_strongest(weight, keep), weight.where(mask, 0.0))


def test_large_selection_against_sort():
    weight = torch.randn(700, 900, generator=torch.Generator().manual_seed(8))
    for keep in (1, 31_500, 315_000, 629_999):
        expected = torch.zeros(weight.numel(), dtype=torch.bool)
        expected[weight.flatten().abs().sort(descending=True, stable=True).indices[:keep]] = True
        assert torch.equal(ops.strongest_mask(weight, keep).flatten(), expected)


@pytest.mark.parametrize("per_row", [True, False])
@pytest.mark.parametrize("keep_sign", [True, False])
def test_targeted_dropout_against_reference(per_row, keep_sign):
    generator = torch.Generator().manual_seed(9)
    for trial in range(25):
        weight = torch.randn(6, 8, generator=generator)
        weight = weight.round() if trial % 2 else weight
        draws = drawn(6, 8, seed=trial)
        candidates = trial % 9 if per_row else 2 * trial
        if per_row:
            left = torch.stack([strongest(row, 8 - candidates) for row in weight])
        else:
            left = strongest(weight, 48 - candidates)
        value = weight if keep_sign else weight.abs()
        for d, kept in ((None, left), (draws, left | (draws >= 0.4))):
            out = ops.targeted_dropout(weight, candidates, per_row, d, 0.4, keep_sign)
            assert torch.equal(out, value.where(kept, 0.0))


def test_random_mask_against_reference():
    for seed in range(25):
        draws = drawn(6, 8, seed=seed)
        draws = (draws * 4).floor() / 4 if seed % 2 else draws
        impossible = drawn(6, 8, seed=seed + 100) < 0.3
        possible = draws.where(~impossible, 0.0)
        for prune in (0, 10, 25, 48):
            expected = strongest(possible, 48 - prune) & (possible > 0)
            assert torch.equal(ops.random_mask(draws, prune, impossible), expected)


def sparse_layer(weight, draws):
    """A function that uses every op, for compiling and scripting."""
    selection = torch.ops.rewire.select(weight, 9)
    row_offsets, columns, column_offsets, rows, order, threshold = selection
    dense = torch.ops.rewire.keep_strongest(weight, 9, "kept")
    dropped = torch.ops.rewire.targeted_dropout(weight, 3, True, draws, 0.5)
    mask = torch.ops.rewire.random_mask(draws, 10) | torch.ops.rewire.strongest_mask(weight, 5)
    edges = columns.sum() + rows.sum() + order.sum() + row_offsets.sum() + column_offsets.sum()
    return (dense + dropped) * mask, edges, threshold


def assert_same_function(function, weight, draws):
    results = []
    for f in (sparse_layer, function):
        leaf = weight.clone().requires_grad_()
        values = f(leaf, draws)
        values[0].sum().backward()
        results.append([*values, leaf.grad])
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize("device", DEVICES)
def test_compiles_without_graph_breaks(device):
    # The eager and aot backends run what was traced; inductor would test its code generator.
    for backend in ("eager", "aot_eager"):
        compiled = torch.compile(sparse_layer, fullgraph=True, backend=backend)
        weight = torch.randn(5, 6, device=device)
        assert_same_function(compiled, weight, drawn(5, 6, device=device))


@ignore_script_warning
@pytest.mark.parametrize("device", DEVICES)
def test_scripts(device):
    scripted = torch.jit.script(sparse_layer)
    assert_same_function(scripted, torch.randn(5, 6, device=device), drawn(5, 6, device=device))


@needs_gpu
def test_selection_on_a_gpu():
    """Values of the CPU; on a stream of its own, without waiting for the device; in a CUDA graph."""
    # Thousands of tiles, more than a GPU holds at a time.
    weight = torch.randn(4000, 5000, generator=torch.Generator().manual_seed(8))
    expected = ops.select(weight, 1_000_000)
    on_gpu = weight.cuda()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda.set_sync_debug_mode("error")
        try:
            selected = ops.select(on_gpu, 1_000_000)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    stream.synchronize()
    assert all(torch.equal(a.cpu(), b) for a, b in zip(selected, expected, strict=True))

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = ops.select(on_gpu, 1_000_000)
    for _ in range(5):
        graph.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(a.cpu(), b) for a, b in zip(captured, expected, strict=True))


def test_is_the_same_at_any_number_of_threads():
    weight = torch.randn(600, 500, generator=torch.Generator().manual_seed(3)).round(decimals=1)
    threads = torch.get_num_threads()
    results = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        results.append(ops.select(weight, 40_000))
    torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


def test_outputs_that_carry_no_gradient():
    weight = torch.randn(3, 4, requires_grad=True)
    outputs = [*ops.select(weight, 5), ops.strongest_mask(weight, 5)]
    assert not any(output.requires_grad for output in outputs)


def nan_at_row_1_column_2():
    weight = torch.ones(2, 3)
    weight[1, 2] = torch.nan
    return weight


@pytest.mark.parametrize(
    "message, op, arguments",
    [
        ("select: expected keep in [0, 6], got 7", "select", (torch.ones(2, 3), 7)),
        (
            "select: expected weight of shape [out, in] or [out, in, 1, 1], got [6]",
            "select",
            (torch.ones(6), 1),
        ),
        (
            "select: expected weight of dtype Float, Double, Half or BFloat16, got Long",
            "select",
            (torch.ones(2, 3, dtype=torch.int64), 1),
        ),
        (
            "select: expected weight without NaN, got NaN in row 1, column 2",
            "select",
            (nan_at_row_1_column_2(), 1),
        ),
        (
            "select: expected hint of dtype Half, got Float",
            "select",
            (torch.ones(2, 3).half(), 1, torch.tensor(1.0)),
        ),
        (
            "keep_strongest: expected gradient `all` or `kept`, got `some`",
            "keep_strongest",
            (torch.ones(2, 3), 1, "some"),
        ),
        (
            "keep_strongest_backward: expected mask of dtype Bool, got Float",
            "keep_strongest_backward",
            (torch.ones(2, 3), torch.ones(2, 3)),
        ),
        (
            "targeted_dropout: expected candidates in [0, 3], got 4",
            "targeted_dropout",
            (torch.ones(2, 3), 4, True, None, 0.5),
        ),
        (
            "targeted_dropout_backward: expected weight of shape [2, 3], got [3, 2]",
            "targeted_dropout_backward",
            (torch.ones(2, 3), torch.ones(3, 2), torch.ones(2, 3).bool(), True),
        ),
        (
            "random_mask: expected impossible of shape [2, 3], got [3]",
            "random_mask",
            (torch.ones(2, 3), 1, torch.ones(3).bool()),
        ),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_errors_say_what_was_expected(message, op, arguments, device):
    if device == "meta" and "NaN" in message:
        pytest.skip("meta tensors have no values")
    moved = [a.to(device) if isinstance(a, torch.Tensor) else a for a in arguments]
    with pytest.raises(RuntimeError) as caught:
        getattr(ops, op)(*moved)
    assert str(caught.value).splitlines()[0] == message
