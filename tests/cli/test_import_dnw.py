"""Checkpoints of the published PyTorch code."""

import collections
import io
import os
import pickle
import struct
import zipfile

import pytest
import torch
from program import BUILD, ROOT, Program

GOLDEN = ROOT / "tests" / "golden"
CHECKPOINTS = GOLDEN / "checkpoints"
DISCRETE = f"""\
base: {ROOT}/configs/base/discrete.yaml
name: discrete
model: {{dim: 144, wiring: {{kind: dnw, prune_rate: 0.9}}}}
"""
MEDIUM = f"""\
base: {ROOT}/configs/base/mobilenetv1.yaml
name: medium
model: {{small: %s, wiring: {{kind: %s, prune_rate: 0.775}}}}
"""


@pytest.fixture
def discrete(rewire):
    config = rewire.path("discrete.yaml")
    config.write_text(DISCRETE)
    return config


def load(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    "name", ["best.legacy", "best.zip", "epoch_0.legacy", "epoch_0.zip", "init.zip"]
)
def test_tensors_epoch_and_best_result(rewire, discrete, name):
    golden = load(CHECKPOINTS / f"discrete_dnw.{name}.tensors.pt")
    done = rewire(
        "import-dnw", CHECKPOINTS / f"discrete_dnw.{name}.pt", "--to", "out.pt", "--config", discrete, "--json"
    ).check()
    tensors = load(rewire.path("out.pt"))
    compared = 0
    for key, expected in golden.items():
        if key.startswith("model.module."):
            assert torch.equal(tensors["model." + key.removeprefix("model.module.")], expected), key
            compared += 1
    assert compared == 23
    whole = name.startswith("epoch_0")
    assert done.json["epochs"] == (1 if whole else 0)
    assert done.json["best_top1"] == (25.0 if whole else None)
    assert done.json["momentum"] is whole
    written = bytes(tensors["config"].tolist()).decode()
    assert "execution: sparse\n" in written or "execution: dense\n" in written
    assert done.json["edges"] == 144 * 144 - int(0.9 * 144 * 144)
    if whole:
        order = [golden[f"optimizer.param_groups.0.params.{i}"].item() for i in range(16)]
        names = [
            key.removeprefix("model.module.")
            for key in golden
            if key.startswith("model.module.") and not key.endswith(("running_mean", "running_var", "tracked", "zeros"))
        ]
        for name, key in zip(names, order, strict=True):
            expected = golden[f"optimizer.state.{key}.momentum_buffer"]
            assert torch.equal(tensors[f"optimizer.{name}.momentum_buffer"], expected)


@pytest.mark.parametrize("name, small, kind", [("medium_dnw_names.legacy", "false", "dnw"),
                                               ("medium_random_small_names.zip", "true", "random")])  # fmt: skip
def test_every_name_of_the_medium_networks(rewire, name, small, kind):
    config = rewire.path("medium.yaml")
    config.write_text(MEDIUM % (small, kind))
    golden = load(CHECKPOINTS / f"{name}.tensors.pt")
    rewire("import-dnw", CHECKPOINTS / f"{name}.pt", "--to", "out.pt", "--config", config).check()
    tensors = load(rewire.path("out.pt"))
    compared = 0
    for key, expected in golden.items():
        if key.startswith("model.module."):
            assert torch.equal(tensors["model." + key.removeprefix("model.module.")], expected), key
            compared += 1
        if key.startswith("strided.") and key.endswith(".base"):
            weight = tensors["model." + key.removeprefix("strided.model.module.").removesuffix(".base")]
            out, inputs = weight.shape[:2]
            assert torch.equal(weight.view(out, inputs), expected.as_strided((out, inputs), (1, 1)))
            compared += 1
        if key.startswith("big.") and key.endswith(".shape"):
            name = "model." + key.removeprefix("big.model.module.").removesuffix(".shape")
            assert list(tensors[name].shape) == expected.tolist()
            compared += 1
    assert compared > 80


def test_what_was_imported_evaluates_exports_and_trains_on(rewire, discrete, tmp_path):
    data = tmp_path / "data" / "cifar-10-batches-bin"
    data.mkdir(parents=True)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        (data / name).write_bytes(bytes(range(10)) * 307 + bytes(3) + bytes(3073))
    rewire("import-dnw", CHECKPOINTS / "discrete_dnw.epoch_0.legacy.pt", "--to", "out.pt", "--config", discrete).check()
    evaluated = rewire("evaluate", discrete, "--checkpoint", "out.pt", "--data", data.parent, "--json").check()
    assert evaluated.json["epochs"] == 1 and evaluated.json["samples"] == 2
    rewire("export", discrete, "--checkpoint", "out.pt", "--to", "model.safetensors").check()
    more = rewire(
        "train", discrete, "--data", data.parent, "--resume", "out.pt", "--json", "--output", "run",
        training__epochs=2,
    )  # fmt: skip
    assert more.check().json["epochs"] == 2


def test_a_start_from_published_weights_gives_the_published_logits(rewire, discrete, tmp_path):
    """use_graph takes edges and weights of the best checkpoint, use_init then the first weights."""
    golden = load(GOLDEN / "use_graph_use_init_discrete.pt")
    files = {}
    for name in ("best", "init"):
        files[name] = rewire.path(f"{name}.pt")
        rewire(
            "import-dnw", CHECKPOINTS / f"discrete_dnw.{name}.zip.pt", "--to", files[name], "--config", discrete
        ).check()
    data = tmp_path / "data" / "cifar-10-batches-bin"
    data.mkdir(parents=True)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        (data / name).write_bytes(bytes(3073))
    starts = {
        "use_graph": f"{{weights: {files['best']}}}",
        "use_init": f"{{weights: {files['init']}, edges: {files['best']}}}",
    }
    for case, start in starts.items():
        settings = {"model__wiring": "{kind: fine_tune, prune_rate: 0.8}", "start": start, "training__epochs": 0}
        rewire("train", discrete, "--data", data.parent, "--output", case, **settings).check()
        tensors = load(rewire.path(case, "checkpoints", "init.pt"))
        assert torch.equal(tensors["model.graph.mask"], golden["mask"].float())
        assert torch.equal(tensors["model.graph.weight"], golden[f"{case}.graph.weight"])


# The ResNets' checkpoints: .pth.tar, which are files of torch.save too.

RESNET = f"""\
base: {ROOT}/configs/base/cifar10.yaml
name: resnet
model: {{kind: resnet, depth: 18, wiring: {{kind: dnw, prune_rate: 0.9}}}}
training: {{epochs: 5, batch_size: 8, optimizer: {{momentum: 0.875, no_decay: [bn]}}}}
"""


@pytest.fixture(scope="module")
def resnet_state(tmp_path_factory):
    """Names and shapes as the program has them, in its order; values of our own."""
    program = Program(tmp_path_factory.mktemp("resnet"))
    config = program.path("resnet.yaml")
    config.write_text(RESNET)
    program("export", config, "--to", "model.pt").check()
    torch.ops.load_library(os.environ.get("REWIRE_LIBRARY", BUILD / "librewire.so"))
    model = torch.jit.load(program.path("model.pt"))
    generator = torch.Generator().manual_seed(3)
    state = collections.OrderedDict(
        (f"module.{name}", torch.rand(t.shape, generator=generator) if t.is_floating_point() else t + 7)
        for name, t in model.state_dict().items()
    )
    return state, [name for name, _ in model.named_parameters()]


def pth_tar(state, names, keys, grouped, epoch=2):
    """What the published code saves. keys: of the optimizer's state, one a parameter."""
    shapes = {name: state[f"module.{name}"].shape for name in names}
    order = sorted(names, key=lambda name: "bn" not in name) if grouped else names
    keys = [keys(i) for i in range(len(names))]
    momentum = {name: torch.full(shapes[name], float(i)) for i, name in enumerate(order)}
    norms = sum("bn" in name for name in names)
    rest = {"lr": 0.1, "momentum": 0.875, "dampening": 0, "nesterov": False, "foreach": None}
    groups = (
        [{"params": keys[:norms], "weight_decay": 0, **rest}, {"params": keys[norms:], "weight_decay": 3e-5, **rest}]
        if grouped else [{"params": keys, "weight_decay": 3e-5, **rest}]
    )  # fmt: skip
    return {
        "epoch": epoch,
        "arch": "resnet18",
        "state_dict": state,
        "best_prec1": 71.25,
        "optimizer": {
            "state": {key: {"momentum_buffer": momentum[name]} for key, name in zip(keys, order, strict=True)},
            "param_groups": groups,
        },
    }, momentum


@pytest.fixture
def resnet(rewire):
    config = rewire.path("resnet.yaml")
    config.write_text(RESNET)
    return config


@pytest.mark.parametrize("grouped", [False, True], ids=["one-group", "norms-apart"])
@pytest.mark.parametrize(
    "zipped, keys", [(True, lambda i: i), (False, lambda i: i), (False, lambda i: 140_000_000_000_000 - 8 * i)],
    ids=["zip", "legacy", "legacy-addresses"],
)  # fmt: skip
def test_a_resnets_checkpoint(rewire, resnet, resnet_state, zipped, keys, grouped):
    state, names = resnet_state
    content, momentum = pth_tar(state, names, keys, grouped)
    path = rewire.path("model_best.pth.tar")
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    done = rewire("import-dnw", path, "--to", "out.pt", "--config", resnet, "--json").check()
    assert (done.json["epochs"], done.json["best_top1"], done.json["momentum"]) == (2, 71.25, True)
    tensors = load(rewire.path("out.pt"))
    for name, expected in state.items():
        assert torch.equal(tensors["model." + name.removeprefix("module.")], expected), name
    for name, expected in momentum.items():
        assert torch.equal(tensors[f"optimizer.{name}.momentum_buffer"], expected), name
    assert done.json["edges"] == sum(
        t.numel() - int(0.9 * t.numel()) for name, t in state.items() if t.dim() == 4
    )


@pytest.mark.parametrize("best", [torch.tensor(71.25), torch.tensor(71.25, dtype=torch.float64), 71.25])
def test_a_resnets_best_result_may_be_a_tensor(rewire, resnet, resnet_state, best):
    state, names = resnet_state
    path = rewire.path("a.pth.tar")
    torch.save({"epoch": 1, "arch": "resnet18", "state_dict": state, "best_prec1": best}, path)
    done = rewire("import-dnw", path, "--to", "out.pt", "--config", resnet, "--json").check()
    assert (done.json["best_top1"], done.json["momentum"]) == (71.25, False)


def test_groups_that_are_none_of_the_published_ones(rewire, resnet, resnet_state):
    state, names = resnet_state
    path = rewire.path("a.pth.tar")
    for spoil in (
        lambda groups: groups.reverse(),
        lambda groups: groups.append({"params": []}),
        lambda groups: groups[0]["params"].pop(),
        lambda groups: groups[0].pop("params"),
        lambda groups: groups.clear(),
    ):
        content, _ = pth_tar(state, names, lambda i: i, grouped=True)
        spoil(content["optimizer"]["param_groups"])
        torch.save(content, path)
        done = rewire("import-dnw", path, "--to", "out.pt", "--config", resnet, "--json").check()
        assert not done.json["momentum"] and "without momentum" in done.err


def test_a_run_that_was_imported_whole_tells_what_it_reaches_itself(rewire, resnet, resnet_state, tmp_path):
    state, names = resnet_state
    path = rewire.path("a.pth.tar")
    torch.save(pth_tar(state, names, lambda i: i, grouped=True, epoch=5)[0], path)
    rewire("import-dnw", path, "--to", "out.pt", "--config", resnet).check()
    data = tmp_path / "data" / "cifar-10-batches-bin"
    data.mkdir(parents=True)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        (data / name).write_bytes(bytes(3073) * 3)
    arguments = (resnet, "--data", data.parent, "--json")
    done = rewire("train", *arguments, "--resume", "out.pt", "--output", "run").check()
    assert "is complete, 5 of 5 epochs" in done.err
    evaluated = rewire("evaluate", *arguments, "--checkpoint", "out.pt").check().json
    assert done.json["best_top1"] == 71.25
    assert (done.json["top1"], done.json["loss"]) == (evaluated["top1"], evaluated["loss"])
    assert done.json["top1"] in (0, 100)  # of equal images of one class


def test_files_of_big_endian_machines_are_refused(rewire, discrete, tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"w": torch.ones(2)}, path)
    with zipfile.ZipFile(path) as archive:
        records = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    assert records["byteorder"] == b"little"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (records | {"byteorder": b"big"}).items():
            archive.writestr(f"archive/{name}", data)
    refusal = f"{path}: written by a big-endian machine"
    rewire("import-dnw", path, "--to", "out.pt", "--config", discrete).refused(4, refusal)
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert b"little_endianq\x02\x88" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89", 1))
    rewire("import-dnw", path, "--to", "out.pt", "--config", discrete).refused(4, refusal)


# Pickles that somebody else wrote.


class Call:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def zipped(path, pickled, records=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        for name, data in records:
            archive.writestr(f"archive/data/{name}", data)


def test_a_file_that_would_run_something_is_refused(rewire, discrete, tmp_path):
    path = tmp_path / "evil.pt"
    for function, name in ((exec, "builtins.exec"), (print, "builtins.print"), (os.system, "posix.system")):
        for value in (Call(function, "open('ran', 'w')"), {"model": {}, "unused": [Call(function, "1")]}):
            for protocol in (2, 4):
                zipped(path, pickle.dumps(value, protocol))
                done = rewire("import-dnw", path, "--to", "out.pt", "--config", discrete)
                spelled = name if protocol > 2 else name.replace("builtins", "__builtin__")
                done.refused(4, f"{path}: names {spelled}, which no plain checkpoint needs: refused")
                assert not rewire.path("ran").exists() and not rewire.path("out.pt").exists()


def tensor(sizes, strides, offset=0, elements=4, key="0"):
    """The pickle of {"fc.bias": a tensor}, its storage described as one of `elements` floats."""

    class Storage:
        def __init__(self):
            pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                return ("storage", torch.FloatStorage, key, "cpu", elements)
            return None

    stream = io.BytesIO()
    rebuild = Call(torch._utils._rebuild_tensor_v2, Storage(), offset, sizes, strides, False, collections.OrderedDict())
    Pickler(stream, 2).dump({"fc.bias": rebuild})
    return stream.getvalue()


@pytest.mark.parametrize(
    "description, cause",
    [
        (dict(sizes=(10,), strides=(1,)), "a tensor that reaches beyond its storage"),
        (dict(sizes=(10,), strides=(0,), offset=4), "a tensor that reaches beyond its storage"),
        (dict(sizes=(10,), strides=(0,), offset=-1), "a tensor of impossible offset"),
        (dict(sizes=(10,), strides=(-1,), offset=9), "a tensor of impossible strides"),
        (dict(sizes=(10,), strides=(2**62,)), "a tensor of impossible strides"),
        (dict(sizes=(-10,), strides=(1,)), "a tensor of impossible size"),
        (dict(sizes=(1,) * 17, strides=(1,) * 17), "a tensor of impossible size"),
        (dict(sizes=(2**40, 2**40), strides=(1, 1)), "a tensor of impossible size"),
        (dict(sizes=(10,), strides=(1,), elements=10), "a storage of another size than its description"),
        (dict(sizes=(10,), strides=(1,), elements=2**62), "a storage of another size than its description"),
        (dict(sizes=(10,), strides=(0,), key="1"), "a storage is missing"),
    ],
)
def test_a_tensor_that_lies_about_itself(rewire, discrete, tmp_path, description, cause):
    path = tmp_path / "a.pt"
    zipped(path, tensor(**description), [("0", struct.pack("<4f", 1, 2, 3, 4))])
    rewire("import-dnw", path, "--to", "out.pt", "--config", discrete).refused(4, f"{path}: {cause}")


def test_another_model_names_what_does_not_fit(rewire, discrete):
    done = rewire(
        "import-dnw", CHECKPOINTS / "discrete_dnw.best.zip.pt", "--to", "out.pt", "--config", discrete, model__dim=145
    )
    done.refused(4, "does not fit this model: mismatched: ")
    assert "graph.weight: expected [145, 145, 1, 1], got [144, 144, 1, 1]" in done.err


def test_files_that_are_none(rewire, discrete, tmp_path):
    path = tmp_path / "a.pt"
    whole = (CHECKPOINTS / "discrete_dnw.best.legacy.pt").read_bytes()
    for content, cause in (
        (b"", "not a file of torch.save"),
        (b"hello", "not a file of torch.save"),
        (whole[:100], "cut: "),
        (whole[:3000], "cut: "),
        (whole[:-1], "cut: a storage is missing"),
        (b"PK\3\4", "a damaged zip"),
    ):
        path.write_bytes(content)
        rewire("import-dnw", path, "--to", "out.pt", "--config", discrete).refused(4, f"{path}: {cause}")
    rewire("import-dnw", "none.pt", "--to", "out.pt", "--config", discrete).refused(4, "none.pt: no such file")
    zipped(path, pickle.dumps([1, 2], 2))
    rewire("import-dnw", path, "--to", "out.pt", "--config", discrete).refused(4, "holds no state dict")


@pytest.mark.parametrize(
    "pickled, cause",
    [
        (b"\x80\x02(" + b"N" * 1_000_001, "a pickle of more than a million values"),
        (b"\x80\x02" + b"(" * 1_000_001, "a pickle of more than a million marks"),
        (b"\x80\x02N" + b"".join(b"r" + struct.pack("<I", i) for i in range(1_000_001)), "more than a million names"),
        (b"\x80\x02h\x07.", "a pickle that names what it has not"),
        (b"\x80\x02(t(0.", "no pickle of a state dict: instruction 0x30"),
        (b"\x80\x02e.", "a pickle that takes more than it has"),
        (b"\x80\x02}(Nu.", "a pickled dict with half an entry"),
        (b"\x80\x02]q\x00h\x00a.", "holds no state dict"),
        (b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.", "holds no state dict"),
        (b"\x80\x02\x8a\x09123456789.", "a number of more than 64 bits"),
        (b"\x80\x09N.", "a pickle of an unknown protocol"),
        (b"\x80\x02N", "cut: a pickle that does not end"),
    ],
)
def test_pickles_that_are_none(rewire, discrete, tmp_path, pickled, cause):
    path = tmp_path / "a.pt"
    zipped(path, pickled)
    rewire("import-dnw", path, "--to", "out.pt", "--config", discrete).refused(4, cause)
