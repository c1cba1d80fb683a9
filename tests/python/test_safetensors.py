"""Files of the package safetensors: what it writes and the program reads, and the other way round."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import rewire

safetensors = pytest.importorskip("safetensors", reason="the package safetensors is not installed")
from safetensors.torch import load_file, save_file  # noqa: E402

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("REWIRE_BUILD", ROOT / "build")) / "rewire"
LEARNED = ROOT / "configs" / "digits" / "learned.yaml"
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
needs_program = pytest.mark.skipif(not PROGRAM.is_file(), reason=f"{PROGRAM}: not built")


def saved(to, change=lambda state: None, seed=1):
    """A network of another seed, and its file, changed."""
    model = rewire.load(LEARNED, overrides={"seed": seed})
    state = dict(model.state_dict())
    change(state)
    save_file(state, to)
    return model


@needs_program
def test_the_package_reads_what_the_program_exports(tmp_path):
    to = tmp_path / "model.safetensors"
    command = [PROGRAM, "export", LEARNED, "--set", "seed=1", "--to", to]
    subprocess.run(command, check=True, capture_output=True)
    expected = rewire.load(LEARNED, overrides={"seed": 1})
    state = load_file(to)
    assert set(state) == set(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        assert state[name].dtype == tensor.dtype and torch.equal(state[name], tensor), name
    with safetensors.safe_open(to, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt" and "seed: 1\n" in metadata["config"]
    with torch.no_grad():
        assert torch.equal(rewire.load(LEARNED, to)(IMAGES), expected(IMAGES))


@pytest.mark.parametrize("as_path", [str, Path])
def test_load_reads_what_the_package_writes(as_path, tmp_path):
    source = saved(tmp_path / "model.safetensors")
    model = rewire.load(LEARNED, checkpoint=as_path(tmp_path / "model.safetensors"))
    with torch.no_grad():
        assert torch.equal(model(IMAGES), source(IMAGES))
        assert not torch.equal(model(IMAGES), rewire.load(LEARNED)(IMAGES))


def rename(state):
    state["head.bias"] = state.pop("fc.bias")


def reshape(state):
    state["fc.bias"] = torch.zeros(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename, r"missing: fc\.bias; unexpected: head\.bias"),
        (reshape, r"mismatched: fc\.bias: expected \[10\], got \[3\]"),
        (dict.clear, "the checkpoint holds no tensor"),
    ],
)
def test_weights_of_another_network_are_refused(change, message, tmp_path):
    to = tmp_path / "model.safetensors"
    saved(to, change)
    with pytest.raises(ValueError, match=message) as caught:
        rewire.load(LEARNED, to)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_damaged_file_is_refused(kept, tmp_path):
    to = tmp_path / "model.safetensors"
    saved(to)
    to.write_bytes(to.read_bytes()[:kept])
    with pytest.raises(ValueError, match="model.safetensors is no safetensors file, or damaged: ") as caught:
        rewire.load(LEARNED, to)
    assert "\n" not in str(caught.value)


def entry(name="fc.bias", dtype="F32", shape=(2,), end=8):
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


@pytest.mark.parametrize(
    ("header", "length", "message"),
    [
        (b"{}", 2**63, "damaged: .*header too large"),
        (b"no\nJSON", None, "damaged: .*invalid JSON"),
        (b'{"\xff": 1}', None, "damaged: .*invalid UTF-8"),
        (entry(end=2**40), None, "damaged: "),
        (entry("a") | entry("b"), None, "damaged: .*invalid offset"),
        (entry(shape=(2**40, 2**40)), None, "damaged: .*overflow"),
        (entry(dtype="F\n3"), None, r"damaged: .*unknown variant `F\\n3`"),
        (entry("a\nb"), None, r"expected names that can be printed, got 'a\\nb'"),
        (entry("a"), None, "not the weights of this network: missing: .*; unexpected: a"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(header, length, message, tmp_path):
    to = tmp_path / "model.safetensors"
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    to.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(8))
    with pytest.raises(ValueError, match=message) as caught:
        rewire.load(LEARNED, to)
    assert "\n" not in str(caught.value)


@needs_program
def test_a_network_without_its_candidates_is_refused(tmp_path):
    to = tmp_path / "model.safetensors"
    command = [PROGRAM, "export", LEARNED, "--fast-eval", "--to", to]
    subprocess.run(command, check=True, capture_output=True)
    for fast_eval in (False, True):
        with pytest.raises(ValueError, match="not the weights of this network: unexpected: graph"):
            rewire.load(LEARNED, to, fast_eval=fast_eval)


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        rewire.load(LEARNED, tmp_path / "none.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.safetensors"):
        rewire.load(LEARNED, tmp_path / "folder.safetensors")


def test_without_the_package_one_line_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError) as caught:
        rewire.load(LEARNED, "model.safetensors")
    assert str(caught.value) == (
        "rewire.load: model.safetensors needs the package safetensors: pip install safetensors"
    )


def test_a_graph_of_neurons_comes_back(tmp_path):
    graph = rewire.graphs.random_dag(5, 30, 3, 150)
    options = {"norm": True, "attention": "both", "adaptive": True, "keep": 60}
    net, fresh = (rewire.nn.NeuronGraph(graph, **options) for _ in range(2))
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "net.safetensors"))
    x = torch.randn(4, 5)
    assert torch.equal(fresh(x), net(x))


def test_a_graph_of_neurons_comes_back_with_its_edges(tmp_path):
    """Its state dict has no graph: the edges are the caller's, as tensors."""
    graph = rewire.graphs.random_dag(5, 30, 3, 150)
    net = rewire.nn.NeuronGraph(graph)
    number = {name: i for i, name in enumerate(graph.neurons)}
    tensors = {
        "edges": torch.tensor([[number[a], number[b]] for a, b in graph.edges]),
        "inputs": torch.tensor([number[name] for name in graph.inputs]),
        "outputs": torch.tensor([number[name] for name in graph.outputs]),
        "neurons": torch.arange(len(number)),
    }
    save_file(tensors | net.state_dict(), tmp_path / "net.safetensors")
    state = load_file(tmp_path / "net.safetensors")
    edges, inputs, outputs, neurons = (state.pop(name) for name in tensors)
    read = rewire.Graph(
        edges, inputs=inputs.tolist(), outputs=outputs.tolist(), neurons=neurons.tolist()
    )
    fresh = rewire.nn.NeuronGraph(read)
    fresh.load_state_dict(state)
    x = torch.randn(4, 5)
    assert torch.equal(fresh(x), net(x))


def test_sparse_layers_come_back(tmp_path):
    layers = [rewire.nn.DNWLinear(12, 9, density=0.3), rewire.nn.DNWConv2d(6, 8, 1, density=0.3)]
    for layer, x in zip(layers, (torch.randn(4, 12), torch.randn(4, 6, 5, 5)), strict=True):
        for one in (layer, layer.to_sparse()):
            save_file(one.state_dict(), tmp_path / "layer.safetensors")
            expected = one(x)
            with torch.no_grad():
                for parameter in one.parameters():
                    parameter.zero_()
            one.load_state_dict(load_file(tmp_path / "layer.safetensors"))
            assert torch.equal(one(x), expected)
