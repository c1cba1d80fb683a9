"""Losses that torch has otherwise: sums over a sample's entries, means over the batch.

All take prediction and target [batch, ...] of one shape and return a number; gradients are exact,
to both. Source: NNKit 1.4.2, whose gradients of cross-entropy and Huber differ where they are wrong.
"""

from torch import Tensor
from torch.nn import functional


def _mean_of_sums(errors: Tensor, prediction: Tensor) -> Tensor:
    return errors.sum() / max(len(prediction), 1)


def l1_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """mean over the batch of sum |p - t|"""
    return _mean_of_sums((prediction - target).abs(), prediction)


def l2_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """mean over the batch of sum (p - t)^2 / 2"""
    return _mean_of_sums((prediction - target).square() / 2, prediction)


def huber_loss(prediction: Tensor, target: Tensor, delta: float = 1.0) -> Tensor:
    """mean over the batch of sum of d^2 / 2 where |d| <= delta, else delta |d| - delta^2 / 2"""
    return functional.huber_loss(prediction, target, reduction="sum", delta=delta) / max(
        len(prediction), 1
    )


def probability_cross_entropy(probability: Tensor, target: Tensor) -> Tensor:
    """minus the mean over the batch of sum t log p, of probabilities and not of logits

    0 log 0 is 0, without gradient.
    """
    impossible = (target == 0) & (probability == 0)
    return _mean_of_sums(-target * probability.masked_fill(impossible, 1).log(), probability)


def l2_penalty(parameters, strength: float, batch: int) -> Tensor:
    """strength / (2 batch) times the sum of squares of the parameters"""
    return strength / (2 * batch) * sum(parameter.square().sum() for parameter in parameters)
