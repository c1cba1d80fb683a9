"""evaluate, predict and export: what a checkpoint is good for, and checkpoints that are not."""

import gzip
import io
import json
import math
import os
import struct
import zipfile
import zlib

import checkpoints
import pytest
import torch
from program import BUILD, ROOT

ignore_script_warning = pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated")


def grey_png(rows):
    """A PNG file of grey pixels, 0 to 255."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    pixels = b"".join(b"\0" + bytes(row) for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    )


def test_digits():
    """Images [359, 64] of 0 to 16 and labels: of every five the fifth is for testing."""
    with gzip.open(ROOT / "csrc" / "data" / "digits" / "digits.csv.gz", "rt") as file:
        table = torch.tensor([[int(value) for value in line.split(",")] for line in file])[4::5]
    return table[:, :64], table[:, 64]


test_digits.__test__ = False


def evaluate(trained, checkpoint=None):
    return trained(
        "evaluate", trained.config, "--checkpoint", checkpoint or trained.checkpoint("run"), "--json"
    )


def test_evaluate(trained):
    result = evaluate(trained).check().json
    assert result["top1"] == trained.result.json["top1"]
    assert result["loss"] == trained.result.json["loss"]
    assert result["samples"] == 359
    assert result["epochs"] == 3
    for key in ("edges", "parameters"):
        assert result[key] == trained.result.json[key]
    assert result["macs"] > 0 and result["seconds"] > 0 and result["images_per_second"] > 0
    assert result["checkpoint"] == str(trained.checkpoint("run"))


def test_evaluate_the_start(trained):
    assert evaluate(trained, trained.checkpoint("run", "init")).check().json["top1"] < 30


@ignore_script_warning
def test_an_exported_model_does_what_evaluate_says(trained, tmp_path):
    to = tmp_path / "model.pt"
    result = trained(
        "export", trained.config, "--checkpoint", trained.checkpoint("run"), "--to", to, "--json"
    ).check().json
    assert result["file"] == str(to)
    if not hasattr(torch.ops.rewire, "select"):
        torch.ops.load_library(BUILD / "librewire.so")
    model = torch.jit.load(to)
    pixels, labels = test_digits()
    images = ((pixels / 16 - 0.305) / 0.376).view(-1, 1, 8, 8)
    model.eval()
    with torch.no_grad():
        logits = model(images)
    evaluated = evaluate(trained).json
    top1 = 100 * (logits.argmax(1) == labels).double().mean().item()
    assert top1 == pytest.approx(evaluated["top1"], abs=1e-9)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(evaluated["loss"], rel=1e-5)
    saved = torch.load(trained.checkpoint("run"), weights_only=True)
    names = {name.removeprefix("model.") for name in saved if name.startswith("model.")}
    assert set(model.state_dict()) == names
    # It obeys the weights that are loaded into it: the rule chooses among them.
    model.load_state_dict({name: torch.zeros_like(value) for name, value in model.state_dict().items()})
    with torch.no_grad():
        assert not model(images[:2]).any()


def test_safetensors(trained, tmp_path):
    to = tmp_path / "model.safetensors"
    trained("export", trained.config, "--checkpoint", trained.checkpoint("run"), "--to", to).check()
    data = to.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert (8 + length) % 8 == 0
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "pt" and metadata["config"].startswith("name: small\n")
    saved = torch.load(trained.checkpoint("run"), weights_only=True)
    expected = {name[6:]: value for name, value in saved.items() if name.startswith("model.")}
    assert header.keys() == expected.keys()
    types = {"F32": torch.float32, "I64": torch.int64}
    end = 0
    for name, entry in header.items():
        begin, end_of_this = entry["data_offsets"]
        assert begin == end
        end = end_of_this
        part = bytearray(data[8 + length + begin : 8 + length + end])
        tensor = torch.frombuffer(part, dtype=types[entry["dtype"]]).view(entry["shape"])
        assert torch.equal(tensor, expected[name]), name
    assert 8 + length + end == len(data)


def test_export_without_a_checkpoint(rewire):
    for name in ("a", "b", "c"):
        rewire("export", rewire.config, "--to", f"{name}.safetensors", seed=int(name == "c")).check()
    a, b, c = ((rewire.folder / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_export_into_a_folder_that_is_none(rewire):
    rewire("export", rewire.config, "--to", "absent/model.pt").refused(1, "absent/model.pt")


def test_predict(trained, tmp_path):
    pixels, _ = test_digits()
    rows = (pixels[0] * 255 // 16).view(8, 8).tolist()
    image = tmp_path / "digit.png"
    image.write_bytes(grey_png(rows))
    large = tmp_path / "large.png"  # 24 x 24: resized
    large.write_bytes(grey_png([[value for value in row for _ in range(3)] for row in rows for _ in range(3)]))
    arguments = ["predict", trained.config, "--checkpoint", trained.checkpoint("run"), image, large]
    result = trained(*arguments, "--json").check().json
    assert [entry["image"] for entry in result["predictions"]] == [str(image), str(large)]
    for entry in result["predictions"]:
        probabilities = entry["probabilities"]
        assert list(probabilities) == [str(digit) for digit in range(10)]
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert entry["class"] == max(probabilities, key=probabilities.get)
        assert entry["probability"] == max(probabilities.values())
    lines = trained(*arguments).check().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(image), str(large)]
    assert lines[0].split(": ")[1].startswith(result["predictions"][0]["class"] + " ")


def test_predict_what_is_no_image(trained, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    cut = tmp_path / "cut.png"
    cut.write_bytes(grey_png([[0] * 8] * 8)[:-20])
    for path, message in {text: "neither PNG nor JPEG", cut: "", tmp_path / "absent.png": "no such file"}.items():
        done = trained("predict", trained.config, "--checkpoint", trained.checkpoint("run"), path)
        done.refused(3, f"{path}: {message}")


@pytest.fixture(scope="module")
def damaged(trained, tmp_path_factory):
    """Checkpoints that are none, and what is said about them."""
    folder = tmp_path_factory.mktemp("damaged")
    whole = trained.checkpoint("run").read_bytes()
    size = len(whole)
    flipped = bytearray(whole)
    flipped[size // 2] ^= 1
    (folder / "cut.pt").write_bytes(whole[:-1])
    (folder / "half.pt").write_bytes(whole[: size // 2])
    (folder / "flipped.pt").write_bytes(flipped)
    (folder / "longer.pt").write_bytes(whole + b"\0")
    (folder / "empty.pt").write_bytes(b"")
    (folder / "text.pt").write_text("no checkpoint\n")
    (folder / "version.pt").write_bytes(whole.replace(b"rewire-checkpoint 1 ", b"rewire-checkpoint 2 "))
    (folder / "folder.pt").mkdir()
    os.mkfifo(folder / "fifo.pt")
    torch.save({"weight": torch.zeros(3)}, folder / "plain.pt")
    return folder, {
        "cut": f"cut or altered: {size - 1} bytes, expected {size}",
        "half": f"cut or altered: {size // 2} bytes, expected {size}",
        "longer": f"cut or altered: {size + 1} bytes, expected {size}",
        "flipped": "damaged: recorded 'size=",
        "empty": "not a whole checkpoint of this program: 0 bytes",
        "text": "not a whole checkpoint of this program: 14 bytes",
        "version": "checkpoint of format version 2, expected 1",
        "folder": "a folder, expected a checkpoint in it",
        "fifo": "not a file",
        "plain": "not a whole checkpoint of this program",
        "absent": "no such checkpoint",
    }


NAMES = ["cut", "half", "flipped", "longer", "empty", "text", "version", "folder", "fifo", "plain", "absent"]


@pytest.mark.parametrize("name", NAMES)
def test_damaged_checkpoints(trained, damaged, name):
    folder, messages = damaged
    path = folder / f"{name}.pt"
    evaluate(trained, path).refused(4, f"{path}: {messages[name]}")


def test_a_device_in_place_of_a_checkpoint(trained):
    evaluate(trained, "/dev/zero").refused(4, "/dev/zero: not a file")


def test_a_training_in_place_of_a_checkpoint(trained):
    evaluate(trained, trained.path("run")).refused(
        4, f"run: a folder, expected a checkpoint in it: {trained.checkpoint('run')}\n"
    )


@pytest.mark.parametrize("command", ["evaluate", "export", "predict", "train"])
def test_a_weight_that_is_not_finite(trained, tmp_path, command):
    path = tmp_path / "spoiled.pt"
    path.write_bytes(trained.checkpoint("run").read_bytes())
    checkpoints.spoil(path, "model.graph.weight", struct.pack("<f", math.nan))
    arguments = {
        "evaluate": ["--checkpoint", path],
        "export": ["--checkpoint", path, "--to", tmp_path / "model.pt"],
        "predict": ["--checkpoint", path, tmp_path / "digit.png"],
        "train": ["--resume", path, "--output", tmp_path / "run"],
    }
    trained(command, trained.config, *arguments[command]).refused(5, f"graph.weight is not finite: {path}\n")
    assert not (tmp_path / "model.pt").exists()


def test_a_checkpoint_of_another_width(trained):
    done = trained(
        "evaluate", trained.config, "--checkpoint", trained.checkpoint("run"), model__dim=36,
        model__feature_dim=16,
    ).refused(4, "does not fit this model: mismatched: ")
    assert "conv.weight: expected [36, 1, 3, 3], got [68, 1, 3, 3]" in done.err


def test_a_checkpoint_of_another_architecture(trained):
    evaluate = ["evaluate", trained.config, "--checkpoint", trained.checkpoint("run")]
    done = trained(*evaluate, model__wiring="{kind: random, prune_rate: 0.5}")
    done.refused(4, "does not fit this model: missing: graph.mask\n")
    done = trained(*evaluate, model__layers=2).refused(4, "does not fit this model: unexpected: norm.2.")
    assert "; mismatched: norm.1." in done.err


def sealed(records):
    """A zip with a checkpoint's checksums, whatever it holds."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in ({"version": b"3\n"} | records).items():
            archive.writestr(f"archive/{name}", data)
    payload = bytearray(file.getvalue())
    payload[-2] = 56  # of the comment that follows
    return payload + b"rewire-checkpoint 1 size=%016x crc32=%08x" % (len(payload), zlib.crc32(payload))


FORGED = {
    "no index": {"data.pkl": b"\x80\x02cposix\nsystem\nX\x0a\x00\x00\x00touch here\x85R."},
    "nested pickle": {"data.pkl": b"\x80\x02K\x01" + b"\x85" * 1_000_000 + b"."},
    "no json": {"index.json": b"{"},
    "nested": {"index.json": b"[" * 1_000_000},
    "list": {"index.json": b"[1, 2]"},
    "no entry": {"index.json": b'{"w": 3}'},
    "no record": {"index.json": b'{"w": ["Float", [1], 0]}'},
    "type": {"index.json": b'{"w": ["Floaty", [1], 0]}', "data/0": b"1234"},
    "too large": {"index.json": b'{"w": ["Float", [1000000], 0]}', "data/0": b"1234"},
    "larger than memory": {"index.json": b'{"w": ["Float", [9000000000000000000, 9], 0]}', "data/0": b"1234"},
    "negative": {"index.json": b'{"w": ["Float", [-2], 0]}', "data/0": b"12345678"},
    "half an element": {"index.json": b'{"w": ["Float", [1], 0]}', "data/0": b"12345"},
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_checkpoints(trained, tmp_path, name):
    """With right checksums: nothing of it is executed, believed or indexed with."""
    path = tmp_path / "forged.pt"
    path.write_bytes(sealed(FORGED[name]))
    evaluate(trained, path).refused(4, f"{path}: not a dict of tensors (")
    assert not (trained.folder / "here").exists()


def test_a_sealed_file_with_too_little(trained, tmp_path):
    path = tmp_path / "little.pt"
    path.write_bytes(sealed({"index.json": b'{"model.fc.bias": ["Float", [10], 0]}', "data/0": bytes(40)}))
    evaluate(trained, path).refused(4, "does not fit this model: missing: ")
