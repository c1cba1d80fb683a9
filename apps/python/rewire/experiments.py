"""Networks of experiment files."""

import ctypes
import io
import json
import os
import pickle
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

_MODEL = "model."  # what names the network's tensors in a checkpoint of the program


def load(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike | Mapping[str, Tensor] | None = None,
    overrides: Mapping[str, object] | None = None,
    fast_eval: bool = False,
) -> torch.jit.ScriptModule:
    """The network that an experiment file describes, as the program `rewire` builds it.

    Parameters
    ----------
    config
        The file (YAML).
    checkpoint
        Weights: a checkpoint of `rewire train` or `rewire import-dnw`; a state dict that
        `torch.save` wrote; by its ending, a .safetensors file of `rewire export`, without its
        `--fast-eval`, or of the package safetensors, which must be installed then; or such a dict
        itself. None: freshly initialised, by the file's seed.
    overrides
        {key: value} of the file to be replaced: {"model.wiring.prune_rate": 0.9}.
    fast_eval
        With the wiring fixed, and without channels or neurons that nothing reads where the network
        can be built without them: for evaluation alone.

    Returns
    -------
    torch.jit.ScriptModule
        On the CPU and in evaluation mode; `train()` and an optimiser go on with it. Its input is
        [batch, channels, size, size], normalised as the file says.

    Raises
    ------
    ValueError
        If the file or an override is wrong, with its place; the weights are another network's; or
        the checkpoint is damaged, or no such file.
    pickle.UnpicklingError
        If the checkpoint names classes other than those of tensors: nothing in it is executed.
    OSError
        If the checkpoint cannot be opened, FileNotFoundError if there is none.
    ImportError
        If a .safetensors file is given and the package safetensors is not installed.
    """
    settings = [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
    state = _state_of(checkpoint)
    archive = torch.ops.rewire_experiment.archive(
        os.fspath(config), settings, list(state), list(state.values()), fast_eval
    )
    data = ctypes.string_at(archive.data_ptr(), archive.numel())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript as a whole
        return torch.jit.load(io.BytesIO(data))


def _state_of(checkpoint) -> dict[str, Tensor]:
    if checkpoint is None:
        return {}
    if not isinstance(checkpoint, Mapping):
        if str(checkpoint).endswith(".safetensors"):
            checkpoint = _of_safetensors(checkpoint)
        else:
            checkpoint = _saved(checkpoint)
    if not isinstance(checkpoint, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in checkpoint.items()
    ):
        raise ValueError("rewire.load: expected a checkpoint that is a dict of tensors")
    if not checkpoint:
        raise ValueError("rewire.load: the checkpoint holds no tensor")
    for name in checkpoint:
        if not name.isprintable():  # a message with it would be of several lines
            raise ValueError(f"rewire.load: expected names that can be printed, got {name!r}")
    state = {
        name.removeprefix(_MODEL): tensor
        for name, tensor in checkpoint.items()
        if name.startswith(_MODEL)
    }
    return state or dict(checkpoint)


def _saved(checkpoint: str | os.PathLike):
    """What `torch.save` wrote, by torch's restricted reader."""
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError(
            f"rewire.load: {checkpoint} names what is no tensor, or is damaged; nothing that it "
            "names was executed"
        ) from error
    except Exception as error:  # of many kinds, by where the file is damaged
        raise ValueError(
            f"rewire.load: {checkpoint} is nothing that torch.save wrote, or damaged"
        ) from error


def _of_safetensors(path: str | os.PathLike) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ImportError(
            f"rewire.load: {path} needs the package safetensors: pip install safetensors"
        ) from error
    with open(path, "rb"):  # load_file does not name what it cannot open
        pass
    try:
        return load_file(path)
    except SafetensorError as error:
        reason = str(error).encode("unicode_escape").decode()  # one line: it quotes the file
        raise ValueError(
            f"rewire.load: {path} is no safetensors file, or damaged: {reason}"
        ) from error


class _Meter:
    """Stands for the class of the published training script in its checkpoints; does nothing."""


def load_dnw(
    checkpoint: str | os.PathLike,
    config: str | os.PathLike,
    overrides: Mapping[str, object] | None = None,
    fast_eval: bool = False,
) -> torch.jit.ScriptModule:
    """The network of an experiment file with the weights of a published checkpoint.

    The file may be of any torch, before 1.6 too, and of several GPUs. It is read by torch's
    restricted reader: nothing in it is executed, and a class other than those of tensors, numbers
    and the training script's meters is refused. What else it holds, as the optimiser, is taken over
    by the program's `rewire import-dnw` alone.

    Parameters, returns and errors are those of `load`; and pickle.UnpicklingError for a file that
    names other classes.
    """
    with torch.serialization.safe_globals(_published_globals()):
        saved = _saved(checkpoint)
    for key in ("model", "state_dict"):
        if isinstance(saved, Mapping) and key in saved:
            saved = saved[key]
    if not isinstance(saved, Mapping):
        raise ValueError("rewire.load_dnw: expected a checkpoint with a state dict")
    state = {str(name).removeprefix("module."): tensor for name, tensor in saved.items()}
    for name, tensor in load(config, overrides=overrides).state_dict().items():
        if name.endswith("num_batches_tracked"):  # counted since torch 0.4.1
            state.setdefault(name, torch.zeros_like(tensor))
    return load(config, state, overrides, fast_eval)


def _published_globals() -> list:
    """What checkpoints of the published code name besides tensors."""
    allowed = [(_Meter, "train.ScalarMeter")]
    try:
        import numpy
    except ImportError:
        return allowed
    dtypes = [type(numpy.dtype(name)) for name in ("float64", "float32", "int64")]
    scalar = numpy.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [*allowed, numpy.dtype, *dtypes, *((scalar, name) for name in names)]
