"""Candidates to choose edges from."""

import torch
from torch import Tensor


def random_weight(outputs: int, inputs: int) -> Tensor:
    """Candidates as a convolution of torch begins with them."""
    generator = torch.Generator().manual_seed(1)
    return torch.empty(outputs, inputs).uniform_(-1, 1, generator=generator) / inputs**0.5
