"""Run: the circumstances of a fit, an extraction, an audit or a release."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from sordine.errors import SordineError

if TYPE_CHECKING:
    from sordine.keys import Key

MOST_SEEDS = 2**32 - 1  # the largest seed that NumPy and scikit-learn take
LOGGER = logging.getLogger("sordine")

Progress = Callable[[str, int, int], None]
P = ParamSpec("P")
R = TypeVar("R")


def _default_key() -> Key:
    from sordine.keys import Key  # NumPy and SciPy load here, not when the command line starts

    return Key.of_seed(0)


def silent(message: str) -> None:
    """Discard a message."""


@dataclass(frozen=True)
class Run:
    """The circumstances of a computation. Nothing in it but the seed and the key changes a result.

    Parameters
    ----------
    device
        Where tensors live: "cpu", "cuda" or "cuda:N".
    seed
        Seed of training (weights, shuffles): 0 to 2**32 - 1.
    key
        Secret key of released draws and of the split.
    log
        Takes one line for people. The default is the standard logger `sordine` at level INFO.
    progress
        Called with (what, done, total) while something long goes on. None shows nothing.
    folder
        Where unfinished work is kept, so that it can be resumed. None keeps nothing.
    workers
        How many threads or processes work at a time. None leaves the choice to the task.

    Raises
    ------
    SordineError
        Where the seed is out of range.
    """

    device: str = "cpu"
    seed: int = 0
    key: Key = field(default_factory=_default_key)
    log: Callable[[str], None] = LOGGER.info
    progress: Progress | None = None
    folder: Path | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MOST_SEEDS:
            raise SordineError(f"seed is {self.seed}; it must be a whole number from 0 to {MOST_SEEDS}")

    def step(self, what: str, done: int, total: int) -> None:
        """Report progress: `done` of `total` units of `what`."""
        if self.progress is not None:
            self.progress(what, done, total)


def duration(seconds: float) -> str:
    """Return a length of time in words: 75 -> "75 seconds", 300 -> "5 minutes", 9000 -> "2.5 hours"."""
    whole = max(round(seconds), 1)
    if whole < 120:
        return f"{whole} second{'s' if whole > 1 else ''}"
    return f"{round(seconds / 60)} minutes" if round(seconds / 60) < 120 else f"{seconds / 3600:.1f} hours"


RUN_KEYWORDS = ("device", "seed", "workers", "log", "progress")


def accepts_old_keywords(parameter: str, cls: type, names: Sequence[str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that lets a function accept fields of one parameter as keywords of their own.

    Version 0.1 had such keywords. They work for one version, with a deprecation warning.

    Parameters
    ----------
    parameter
        Name of the parameter that has the fields, such as "run".
    cls
        Its class, a dataclass with defaults for all fields.
    names
        Fields that are accepted as keywords; each replaces the field of that name.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            given = {name: kwargs.pop(name) for name in names if name in kwargs}
            if given:
                words = ", ".join(given)
                warnings.warn(
                    f"{function.__name__}: {words} as keywords are deprecated; "
                    f"use {parameter}={cls.__name__}({words}=...)",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[parameter] = replace(kwargs.get(parameter) or cls(), **given)  # type: ignore[type-var]
            return function(*args, **kwargs)

        return wrapper

    return decorate


accepts_run_keywords = accepts_old_keywords("run", Run, RUN_KEYWORDS)


def check_device(name: str) -> str:
    """Return the name of a device that is there.

    Raises
    ------
    SordineError
        Where the name is none of cpu, cuda and cuda:N, or this machine lacks the device.
    """
    import torch

    try:
        found = torch.device(name)
    except RuntimeError:
        raise SordineError(f"unknown device {name!r}; choose cpu, cuda or cuda:N") from None
    if found.type not in ("cpu", "cuda"):
        raise SordineError(f"unknown device {name!r}; choose cpu, cuda or cuda:N")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise SordineError(
            f"device {name!r} is not available: this machine has {torch.cuda.device_count()} CUDA devices"
        )
    return name
