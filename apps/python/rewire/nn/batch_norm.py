"""Batch norm whose averages take the variance that it normalises by."""

import torch
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """[batch, features], normalised over the batch while training, by the averages otherwise.

        y = weight (x - mean) / sqrt(variance + eps) + bias
        average <- (1 - momentum) average + momentum new,    of mean and variance

    As torch's BatchNorm1d, but that the variance of the average is divided by the count, not by one
    less. Source: NNKit 1.4.2.
    """

    def __init__(self, features: int, eps: float = 1e-8, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_variance", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, features] to the same shape."""
        if x.dim() != 2 or x.shape[1] != len(self.weight):
            raise ValueError(
                f"BatchNorm: expected input of shape [batch, features = {len(self.weight)}], got "
                f"{list(x.shape)}"
            )
        mean, variance = self.running_mean, self.running_variance
        if self.training:
            mean, variance = x.mean(0), x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_variance.lerp_(variance, self.momentum)
        return self.weight * (x - mean) / (variance + self.eps).sqrt() + self.bias

    def extra_repr(self) -> str:
        """Features and settings."""
        return f"{len(self.weight)}, eps={self.eps}, momentum={self.momentum}"
