"""Reference values of graphs of neurons: how they are read, and how near results have to come."""

from pathlib import Path

import rewire
import torch

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "wired"

NAMES = dict(enumerate("linear relu selu leaky_relu sigmoid softmax gelu_tanh tanh silu".split()))
# Of the largest entry of a tensor: about ten times the noise of float32 in what was recorded.
FLOAT32 = {"plain": 1e-5, "gradients": 3e-5, "attention": 5e-5, "attention gradients": 1e-4}
FLOAT64 = 1e-10


def golden(name):
    return torch.load(FOLDER / f"{name}.pt", weights_only=True)


def names(pattern):
    return sorted(path.stem for path in FOLDER.glob(f"{pattern}.pt"))


def error(actual, expected):
    """The largest difference, relative to the largest entry."""
    assert actual.shape == expected.shape
    scale = expected.abs().max().item() or 1.0
    return (actual.detach().double() - expected.double()).abs().max().item() / scale


def graph_of(case, prefix=""):
    """The graph of a case; of one with edits, `before.` or `after.` it."""
    get = {key.removeprefix(prefix): value for key, value in case.items()}.get
    codes = get("activation").tolist()
    neurons = get("neurons")
    neurons = list(range(len(codes))) if neurons is None else neurons.tolist()
    inputs = get("inputs").tolist()
    operations = get("op_id")
    if operations is not None:
        operations = {n: i for n, i in zip(neurons, operations.tolist()) if i >= 0}
    transform = get("output_transform")
    return rewire.Graph(
        get("edges"),
        inputs,
        get("outputs").tolist(),
        activation={n: NAMES[c] for n, c in zip(neurons, codes) if n not in set(inputs)},
        output_transform="softmax" if transform is not None and int(transform) == 5 else None,
        operation=operations,
        neurons=neurons,
        parallel=True,
    )


def options_of(case, prefix=""):
    """The keyword arguments of NeuronGraph that a case has."""
    options = int(case.get(f"{prefix}options", 0))
    attention = {0: None, 2: "level", 4: "neuron", 6: "both"}[options & 6]
    return {"norm": bool(options & 1), "attention": attention, "adaptive": bool(options & 8)}


def network_of(case, prefix="", dtype=torch.float64):
    """The network of a case with its parameters."""
    net = rewire.nn.NeuronGraph(graph_of(case, prefix), **options_of(case, prefix)).to(dtype)
    own = dict(net.named_parameters())
    with torch.no_grad():
        for name, value in packed(case, net, "", prefix).items():
            own[name].copy_(value)
    return net


def packed(case, net, kind="", prefix="", suffix=""):
    """What a case has in the layout of the parameters of `net`; kind: "" or "grad."."""

    def stored(key):
        return case[f"{prefix}{kind}{key}{suffix}"]

    found = {"weight": stored("weight"), "bias": stored("bias")}
    if net.adaptive:
        found |= {"gain": stored("ada.a"), "rate": stored("ada.b")}
    levels = net.levels
    if levels is None:
        return found

    def places(pointers, indices, number, own):
        first, last = pointers[number], pointers[number + 1]
        stored_names = indices[first:last].tolist()
        return first + torch.tensor([stored_names.index(name) for name in own], dtype=torch.int64)

    def squares(pointers, number, within):
        first, size = pointers[number], len(within)
        return (first + within[:, None] * size + within).flatten()

    if levels.norm or levels.of_level:
        pointers, indices = case[f"{prefix}tb.in_ptr"], case[f"{prefix}tb.in_idx"]
        by_level = [
            places(pointers, indices, i, level.source_names)
            for i, level in enumerate(levels.levels)
        ]
        sources = torch.cat(by_level)
    if levels.norm:
        found["levels.norm_weight"] = stored("norm.gamma")[sources]
        found["levels.norm_bias"] = stored("norm.beta")[sources]
    if levels.of_level:
        matrices = case[f"{prefix}tb.mat_ptr"]
        square = torch.cat(
            [squares(matrices, i, own - pointers[i]) for i, own in enumerate(by_level)]
        )
        for key, place in (("weight", square), ("bias", sources)):
            found[f"levels.attention_{key}"] = torch.stack(
                [stored(f"tatt.{part}_{key}")[place] for part in "qkv"]
            )
    if levels.of_neuron:
        pointers, indices = case[f"{prefix}na.in_ptr"], case[f"{prefix}na.in_idx"]
        matrices = case[f"{prefix}na.mat_ptr"]
        neurons = case[f"{prefix}neurons"].tolist()
        own, square = [], []
        for level in levels.levels:
            for name, sources in zip(level.names, level.own_sources):
                number = neurons.index(name)
                own.append(places(pointers, indices, number, sources))
                square.append(squares(matrices, number, own[-1] - pointers[number]))
        for key, place in (("weight", torch.cat(square)), ("bias", torch.cat(own))):
            found[f"levels.neuron_attention_{key}"] = torch.stack(
                [stored(f"natt.{part}_{key}")[place] for part in "qkv"]
            )
    return found
