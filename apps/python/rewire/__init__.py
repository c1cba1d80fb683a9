"""Networks whose wiring is learned: the operators `torch.ops.rewire.*`.

Importing the package loads the library that registers them. It is looked for, in this order, at
the path in the environment variable ``REWIRE_LIBRARY``, in the folder ``lib`` beside this file, where
a wheel has it, and in the ``build`` folder of a source tree.

>>> import torch, rewire
>>> torch.ops.rewire.keep_strongest(torch.tensor([[1.0, -3.0], [2.0, 0.5]]), 2)
tensor([[ 0., -3.],
        [ 2.,  0.]])
"""

import os
from pathlib import Path

import torch

__version__ = "0.1.0"

_NAME = "librewire.so"


def _library_path():
    """Find the library.

    Returns
    -------
    pathlib.Path
        The library's file.

    Raises
    ------
    ImportError
        If ``REWIRE_LIBRARY`` names no file, or there is no library in the places searched.
    """
    package = Path(__file__).resolve().parent
    named = os.environ.get("REWIRE_LIBRARY")
    if named:
        if not Path(named).is_file():
            raise ImportError(f"rewire: REWIRE_LIBRARY={named} is no file: point it at {_NAME}")
        return Path(named)
    places = [package / "lib" / _NAME, package.parents[2] / "build" / _NAME]
    for place in places:
        if place.is_file():
            return place
    searched = ", ".join(str(place) for place in places)
    raise ImportError(f"rewire: {_NAME} not found ({searched}): build it, or set REWIRE_LIBRARY")


def _load():
    """Load the library, unless the operators are registered already.

    Raises
    ------
    ImportError
        If the library is missing, cannot be loaded because it was built for another torch, or
        registers no operators because it is another library.
    """
    if hasattr(torch.ops.rewire, "select"):
        return  # by torch.ops.load_library, or by the program that embeds this Python
    path = _library_path()
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ImportError(
            f"rewire: {path} does not load with torch {torch.__version__}; "
            f"rebuild it for this torch ({reason})"
        ) from error
    if not hasattr(torch.ops.rewire, "select"):
        raise ImportError(f"rewire: {path} registers no operators: is it {_NAME}?")


_load()

from rewire import graphs, nn, optim, pictures  # noqa: E402
from rewire.experiments import load, load_dnw  # noqa: E402
from rewire.graph import Graph  # noqa: E402
from rewire.schedules import GradualPruning, Rewiring  # noqa: E402
from rewire.sparsity import densify, report, sparsify  # noqa: E402

__all__ = [
    "GradualPruning",
    "Graph",
    "Rewiring",
    "densify",
    "graphs",
    "load",
    "load_dnw",
    "nn",
    "optim",
    "pictures",
    "report",
    "sparsify",
]
