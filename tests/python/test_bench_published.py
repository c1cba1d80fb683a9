"""The published algorithm as the benchmark restates it, against values of the published code."""

from pathlib import Path

import formula
import pytest
import torch
from torch.nn.functional import cross_entropy

from published import ChooseEdges, StaticClassifier, zero_by_kthvalue, zero_by_sort
from published_mobilenet_v1 import Block, MobileNetV1, layer_prune_rate

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
WAYS = pytest.mark.parametrize("zero", [zero_by_sort, zero_by_kthvalue])

# Measured against float64: logits 8e-7 in evaluation, 3e-6 in training, gradients 1e-5.
EVALUATION, TRAINING, LOSS, GRADIENT = 1e-5, 5e-5, 1e-5, 5e-4


def load(name):
    return torch.load(GOLDEN / f"{name}.pt", weights_only=True)


def close(actual, expected, tolerance, at_least=0.0):
    """Within tolerance of the largest value expected."""
    allowed = max(tolerance * expected.abs().max().item(), at_least)
    return (actual.detach() - expected).abs().max().item() <= allowed


@WAYS
@pytest.mark.parametrize("name", ["layer_dnw_24x40", "layer_dnw_24x50", "layer_dnw_64x64"])
def test_a_layer_keeps_what_the_published_one_keeps(name, zero):
    golden = load(name)
    for i in range(len(golden["rates"])):
        weight = golden["weight"].clone().requires_grad_()
        effective = ChooseEdges.apply(weight, int(golden[f"r{i}.p"]), zero)
        assert torch.equal(effective, golden[f"r{i}.effective_weight"].view_as(effective))
        output = torch.nn.functional.conv2d(
            golden["input"], effective.view(*weight.shape[:2], 1, 1)
        )
        assert close(output, golden[f"r{i}.output"], 5e-6)
        output.backward(golden["grad_output"])
        assert close(weight.grad, golden[f"r{i}.grad_weight"].view_as(weight), 5e-6)


@WAYS
def test_the_static_classifier(zero):
    golden = load("small_static_dnw")
    model = StaticClassifier(zero=zero)
    model.load_state_dict(formula.state(model, golden))
    images = formula.tensor("input", int(golden["seed"]), (4, 3, 32, 32), 0, 2)
    assert images.double().sum().item() == pytest.approx(golden["input_stats"][0].item(), rel=1e-12)

    kept = model.graph.edges()[:, :, 0, 0]
    assert kept.sum() == golden["kept.graph"]
    assert torch.equal(kept.sum(1), golden["kept_per_output.graph"].long())
    assert torch.equal(kept.sum(0), golden["kept_per_input.graph"].long())

    assert close(model.eval()(images), golden["eval.logits"], EVALUATION)
    logits = model.train()(images)
    assert close(logits, golden["train.logits"], TRAINING)
    loss = cross_entropy(logits, golden["labels"])
    assert close(loss, golden["train.loss"], LOSS)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    largest = max(gradient.abs().max().item() for gradient in gradients.values())
    for name, gradient in gradients.items():
        if f"grad.{name}" in golden:
            assert close(gradient, golden[f"grad.{name}"], GRADIENT, 1e-6 * largest), name
        else:
            places = torch.arange(1024) * gradient.numel() // 1024
            sample = gradient.flatten()[places]
            assert close(sample, golden[f"grad_sample.{name}"], GRADIENT, 1e-6 * largest), name


@WAYS
@pytest.mark.parametrize(
    "name",
    ["block_dnw_4_4_1_1_p025", "block_dnw_6_10_1_4_p05", "block_dnw_6_10_2_4_p0123",
     "block_dnw_8_16_2_3_p03"],
)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_a_block_of_the_mobilenet(name, mode, zero):
    golden = load(name)
    inputs, outputs, stride, depth = golden["inp_out_stride_n"].tolist()
    rate = layer_prune_rate(inputs, outputs, depth, golden["prune_rate"].item())
    assert rate == pytest.approx(golden["layer_prune_rate"].item(), rel=1e-12)
    block = Block(inputs, outputs, stride, depth, rate, zero)
    block.load_state_dict(
        {key.removeprefix("param."): value for key, value in golden.items() if key.startswith("param.")}
    )
    assert torch.equal(block.graph.effective_weight(), golden["effective_weight"])
    images = golden["input"].clone().requires_grad_()
    output = block.train(mode == "train")(images)
    assert close(output, golden[f"{mode}.output"], 1e-5)
    output.backward(golden["grad_output"])
    assert close(images.grad, golden[f"{mode}.grad_input"], 2e-5)
    for key, parameter in block.named_parameters():
        assert close(parameter.grad, golden[f"{mode}.grad.{key}"], 2e-5), key


@WAYS
def test_the_mobilenet(zero):
    golden = load("medium_dnw")
    model = MobileNetV1(zero=zero)
    model.load_state_dict(formula.state(model, golden))
    images = formula.tensor("input", int(golden["seed"]), tuple(golden["input_shape"]), 0, 2)
    for i, block in enumerate(model.layers):
        kept = block.graph.edges()[:, :, 0, 0]
        assert torch.equal(kept.sum(1), golden[f"kept_per_output.layers.{i}.graph"].long())
        assert torch.equal(kept.sum(0), golden[f"kept_per_input.layers.{i}.graph"].long())
    assert close(model.eval()(images), golden["eval.logits"], EVALUATION)
    logits = model.train()(images)
    assert close(logits, golden["train.logits"], TRAINING)
    assert close(cross_entropy(logits, golden["labels"]), golden["train.loss"], LOSS)
