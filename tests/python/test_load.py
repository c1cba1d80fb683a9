"""rewire.load: the networks of experiment files in Python."""

import pickle
from pathlib import Path

import pytest
import torch

import rewire

CONFIGS = Path(__file__).parents[2] / "configs"
LEARNED = CONFIGS / "digits" / "learned.yaml"
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def state_of(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def test_a_file_and_a_seed_give_a_network():
    first, same = rewire.load(LEARNED), rewire.load(LEARNED)
    other = rewire.load(LEARNED, overrides={"seed": 1})
    assert isinstance(first, torch.jit.ScriptModule) and not first.training
    with torch.no_grad():
        assert first(IMAGES).shape == (3, 10)
        assert torch.equal(first(IMAGES), same(IMAGES))
        assert not torch.equal(first(IMAGES), other(IMAGES))


@pytest.mark.parametrize("how", ["dict", "state dict", "checkpoint"])
def test_takes_weights(how, tmp_path):
    source = rewire.load(LEARNED, overrides={"seed": 1})
    state = state_of(source)
    if how == "checkpoint":  # as the program writes it
        state = {f"model.{name}": tensor for name, tensor in state.items()}
        state |= {"progress.epoch": torch.tensor(3), "config": torch.zeros(3, dtype=torch.uint8)}
    given = state
    if how != "dict":
        given = tmp_path / "weights.pt"
        torch.save(state, given)
    with torch.no_grad():
        assert torch.equal(rewire.load(LEARNED, given)(IMAGES), source(IMAGES))


def test_goes_on_learning():
    model = rewire.load(LEARNED).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    labels = torch.tensor([1, 2, 3])
    losses = []
    for _ in range(10):
        loss = torch.nn.functional.cross_entropy(model(IMAGES), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("config", "overrides", "shape"),
    [
        ("digits/learned", {}, (1, 8, 8)),
        ("graphs/mnist-learned-1", {"model.init": "xavier"}, (1, 28, 28)),
        ("cifar10/mobilenetv1-dnw", {"model.wiring.prune_rate": 0.99}, (3, 32, 32)),
    ],
)
def test_fast_evaluation_gives_the_same(config, overrides, shape):
    file = CONFIGS / f"{config}.yaml"
    whole = rewire.load(file, overrides=overrides)
    fast = rewire.load(file, state_of(whole), overrides, fast_eval=True)
    images = torch.rand(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(fast(images), whole(images), rtol=1e-4, atol=1e-5)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (fast, whole)]
    assert sizes[0] <= sizes[1]


def test_other_weights_are_refused():
    state = state_of(rewire.load(LEARNED))
    with pytest.raises(ValueError, match="not the weights of this network: missing: fc.bias"):
        rewire.load(LEARNED, {name: tensor for name, tensor in state.items() if name != "fc.bias"})
    state["fc.bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"mismatched: fc.bias: expected \[10\], got \[3\]"):
        rewire.load(LEARNED, state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.yaml",), "rewire.load: none.yaml"),
        ((LEARNED, None, {"model.dimm": 3}), r"--set: model.dimm: unknown key \(did you mean 'dim'"),
        ((LEARNED, None, {"model.dim": "many"}), "model.dim: expected an integer, got the string 'many'"),
    ],
)
def test_a_wrong_file_or_key_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        rewire.load(*arguments)


def test_a_missing_or_odd_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        rewire.load(LEARNED, tmp_path / "none.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="a checkpoint that is a dict of tensors"):
        rewire.load(LEARNED, tmp_path / "list.pt")
    with pytest.raises(ValueError, match="the checkpoint holds no tensor"):
        rewire.load(LEARNED, {})
    whole = (tmp_path / "list.pt").read_bytes()
    for damaged in (b"", b"experiment: x\n", whole[: len(whole) // 2]):
        (tmp_path / "damaged.pt").write_bytes(damaged)
        with pytest.raises((ValueError, pickle.UnpicklingError), match=r"damaged.pt .* damaged") as caught:
            rewire.load(LEARNED, tmp_path / "damaged.pt")
        assert "weights_only" not in str(caught.value)
    torch.save({"a": 1}, tmp_path / "numbers.pt")
    with pytest.raises(ValueError, match="a checkpoint that is a dict of tensors"):
        rewire.load(LEARNED, tmp_path / "numbers.pt")


PUBLISHED = Path(__file__).parents[1] / "golden" / "checkpoints"
DISCRETE = CONFIGS / "cifar10" / "discrete-dnw.yaml"
SIZES = {"model.dim": 144, "model.wiring.prune_rate": 0.9}


@pytest.mark.parametrize("name", ["best.legacy", "best.zip", "epoch_0.legacy", "epoch_0.zip", "init.zip"])
def test_published_checkpoints_are_read(name):
    golden = torch.load(PUBLISHED / f"discrete_dnw.{name}.tensors.pt", weights_only=True)
    model = rewire.load_dnw(PUBLISHED / f"discrete_dnw.{name}.pt", DISCRETE, SIZES)
    state = model.state_dict()
    expected = {key: value for key, value in golden.items() if key.startswith("model.module.")}
    assert len(expected) == 23
    for key, value in expected.items():
        assert torch.equal(state[key.removeprefix("model.module.")], value), key
    fast = rewire.load_dnw(PUBLISHED / f"discrete_dnw.{name}.pt", DISCRETE, SIZES, fast_eval=True)
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fast(image), model(image), rtol=1e-4, atol=1e-4)


class Hostile:
    def __reduce__(self):
        return (open, ("executed", "w"))


def test_nothing_that_a_checkpoint_names_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"fc.bias": torch.zeros(10)}, "meters": Hostile()}, "hostile.pt")
    with pytest.raises(pickle.UnpicklingError):
        rewire.load_dnw("hostile.pt", DISCRETE, SIZES)
    assert not Path("executed").exists()


def test_a_published_checkpoint_of_another_network_is_refused():
    with pytest.raises(ValueError, match="not the weights of this network: mismatched: "):
        rewire.load_dnw(PUBLISHED / "discrete_dnw.best.zip.pt", DISCRETE)
    with pytest.raises(ValueError, match="not the weights of this network: missing: "):
        rewire.load_dnw(PUBLISHED / "medium_dnw_names.legacy.pt", DISCRETE, SIZES)
