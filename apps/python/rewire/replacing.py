"""Layers of a model replaced by others, wherever they stand."""

from torch import nn

from rewire.nn.sparse import Sparse
from rewire.nn.wired import Wired

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)

# What torch's fast paths in evaluation, which read the weights of layers and do not call them, are
# governed by, and the value that turns each off.
_FAST_PATHS = (
    (nn.TransformerEncoderLayer, "activation_relu_or_gelu", 0),
    (nn.TransformerEncoder, "use_nested_tensor", False),
)


def replaced(model: nn.Module, new_of: dict[nn.Module, nn.Module]) -> nn.Module:
    """The model with new layers wherever the old ones stand, in several places too.

    Hooks of forward and backward passes go with them. Returns the model, or the layer in its place.
    """
    for old, new in new_of.items():
        for name in _HOOKS:
            setattr(new, name, getattr(old, name))  # the same dicts: handles remove from both
    for name, old in list(model.named_modules(remove_duplicate=False)):
        if old not in new_of:
            continue
        if not name:
            return new_of[old]
        owner_name, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner_name), last, new_of[old])
    for module in model.modules():
        for kind, name, off in _FAST_PATHS:
            if isinstance(module, kind) and hasattr(module, name):
                _set_fast_path(module, name, off)
    return model


def is_sparse(layer: nn.Module) -> bool:
    """Whether it is one of those that `rewire.sparsify` makes."""
    return isinstance(layer, (Wired, Sparse))


def _set_fast_path(module: nn.Module, name: str, off: bool | int):
    """Off while a layer in it is sparse; then what it was."""
    found = f"_found_{name}"
    sparse = any(is_sparse(layer) for layer in module.modules())
    if sparse and not hasattr(module, found):
        setattr(module, found, getattr(module, name))
        setattr(module, name, off)
    elif not sparse and hasattr(module, found):
        setattr(module, name, getattr(module, found))
        delattr(module, found)
