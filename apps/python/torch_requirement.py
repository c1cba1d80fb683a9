"""What the wheel requires, asked while it is built: the torch that it is built with, to the minor
version, beyond which LibTorch's binary interface is another."""

import torch


def dynamic_metadata(field, settings=None):
    """The value of `dependencies`, as scikit-build-core asks a provider."""
    if field != "dependencies":
        raise ValueError(f"torch_requirement: expected field 'dependencies', got {field!r}")
    major, minor = torch.__version__.split(".")[:2]
    return [f"torch=={major}.{minor}.*"]
