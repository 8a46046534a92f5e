"""torchvision, imported here and nowhere else: it does not load beside every build of torch without help."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import library

from sordine.errors import SordineError

# torchvision describes two operators of its C++ library even where that library cannot be loaded (a CUDA build of it
# beside a CPU build of torch), and fails at that. None of the networks here uses either.
OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def installed() -> bool:
    """Whether torchvision is there at all."""
    return find_spec("torchvision") is not None


def load_torchvision() -> ModuleType:
    """The package torchvision, its missing operators declared first where that is what it fails at.

    Raises SordineError where it is not installed, or cannot be imported beside this torch for another reason.
    """
    if not installed():
        raise SordineError("torchvision is not installed: pip install 'sordine[vision]'")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        # The first try loads torchvision's own operators where they can be loaded: what is missing now stays missing,
        # so that declaring it clashes with nothing.
        _forget()
        _declare_missing()
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise SordineError(f"torchvision cannot be imported beside torch {torch.__version__}: {first}") from None


def _declare_missing() -> None:
    for name, schema in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"torchvision::{name}", schema)


def _forget() -> None:
    """Drop what a failed import has left behind, so that the next one starts afresh."""
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
