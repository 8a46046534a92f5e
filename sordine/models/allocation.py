"""A limit on what building a network from a file may allocate: its options may name any size."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

MAKERS = frozenset({"empty", "zeros", "ones", "full", "rand", "randn", "eye"})
OPERATIONS = 100_000  # a network of more layers than this is none that Sordine fits


@contextlib.contextmanager
def limited_allocation(most: int) -> Iterator[None]:
    """Raise ValueError where the block makes tensors of more than `most` bytes together, before they are allocated."""
    with _Limited(most):
        yield


class _Limited(TorchFunctionMode):
    # Modes of torch that see every allocation import its compiler, which takes seconds. This one sees the functions
    # that modules call.
    def __init__(self, most: int) -> None:
        super().__init__()
        self.left, self.operations = most, OPERATIONS

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations -= 1
        before = self.left
        if getattr(func, "__name__", "") in MAKERS:
            size = args[0] if args and isinstance(args[0], list | tuple) else args
            self.left -= 4 * math.prod(side for side in size if isinstance(side, int))
        self._check()
        made = func(*args, **(kwargs or {}))
        if before == self.left and isinstance(made, torch.Tensor) and not any(made is given for given in args):
            self.left -= made.nbytes
            self._check()
        return made

    def _check(self) -> None:
        if self.left < 0 or self.operations < 0:
            raise ValueError("the options in the card describe a larger network than the weights")
