"""Import torchvision; works around builds whose operators do not match torch."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import library

from sordine.errors import SordineError

# torchvision describes two operators of its C++ library even where that library cannot be loaded (a CUDA build of it
# with a CPU build of torch), and that fails. None of the networks here uses either.
OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def installed() -> bool:
    """Return whether torchvision is installed."""
    return find_spec("torchvision") is not None


def load_torchvision() -> ModuleType:
    """Return the package torchvision, after declaring its missing operators where its import needs them.

    Raises
    ------
    SordineError
        Where it is not installed, or cannot be imported with this version of torch.
    """
    if not installed():
        raise SordineError("torchvision is not installed: pip install 'sordine[vision]'")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        # The first attempt loads torchvision's own operators where they can be loaded. Those still missing stay
        # missing, so declaring them clashes with nothing.
        _forget()
        _declare_missing()
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SordineError(
            f"torchvision cannot be imported with torch {torch.__version__}: {first}; install matching versions"
        ) from None


def _declare_missing() -> None:
    for name, schema in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"torchvision::{name}", schema)


def _forget() -> None:
    """Remove what a failed import left in `sys.modules`."""
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
