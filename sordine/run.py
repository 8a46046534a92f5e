"""Run: the circumstances of a fit, an audit or an extraction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sordine.errors import SordineError
from sordine.keys import Key

MOST_SEEDS = 2**32 - 1  # what NumPy and scikit-learn take


def silent(message: str) -> None:
    """The default log: says nothing."""


@dataclass(frozen=True)
class Run:
    """The circumstances of a fit: nothing in it changes what a method is.

    device: where tensors live. seed: of training (weights, shuffles). key: of released draws and of the split.
    log: takes one line for people. progress: (what, done, of). folder: where unfinished work is kept, to resume.
    pool: another table whose records may be released in place of the owner's own (substitution).
    raw_views: for training records, what gives two views of a batch made from the raw media (MaSS, B.1); None where there
    are no raw media: views are then made of the vectors themselves.
    """

    device: str = "cpu"
    seed: int = 0
    key: Key = field(default_factory=lambda: Key.of_seed(0))
    log: Callable[[str], None] = silent
    progress: Callable[[str, int, int], None] | None = None
    folder: Path | None = None
    pool: Any = None
    raw_views: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MOST_SEEDS:
            raise SordineError(f"seed is {self.seed}; it must be a whole number from 0 to {MOST_SEEDS}")


def check_device(name: str) -> str:
    """A device that is there. Raises SordineError where it is not."""
    import torch

    try:
        found = torch.device(name)
    except RuntimeError:
        raise SordineError(f"no device {name!r}; cpu, cuda or cuda:N") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise SordineError(f"no device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    if found.type not in ("cpu", "cuda"):
        raise SordineError(f"no device {name!r}; cpu, cuda or cuda:N")
    return name
