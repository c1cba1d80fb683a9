"""Where a GPU is, and the library has kernels for it."""

import pytest
import torch


def devices():
    """The CPU and, where there are one and kernels for it, a GPU."""
    if torch.cuda.is_available():
        try:
            torch.ops.rewire.strongest_mask(torch.ones(1, device="cuda"), 1)
            return ["cpu", "cuda"]
        except RuntimeError as error:
            if "built without CUDA kernels" not in str(error):
                raise
    return ["cpu"]


DEVICES = devices()
needs_gpu = pytest.mark.skipif(DEVICES == ["cpu"], reason="no GPU, or no kernels for it")
