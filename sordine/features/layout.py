"""What an extractor is, and the layout that it makes of one source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pyarrow as pa

Blocks = Callable[[], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Layout:
    """How one source's records become vectors.

    names: one name a number of x, in order. consumed: columns that do not stand beside x in the output.
    encode: a block of records and the number of the first one (from 1) -> (n, width) float32; a pure function, so that
        blocks may be encoded in any order by any number of workers. None where an extractor reads clips.
    notes: what the user should know (columns left out and why). details: plain data for the output's metadata.
    """

    names: tuple[str, ...]
    encode: Callable[[pa.RecordBatch, int], np.ndarray] | None = None
    consumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """How many numbers x has."""
        return len(self.names)


class Extractor(Protocol):
    """A dataclass whose fields are its options. `version` changes whenever the same input gives other numbers."""

    reads: ClassVar[Literal["audio", "table"]]
    version: ClassVar[int]

    def plan(self, blocks: Blocks, features: tuple[str, ...], where: str) -> Layout:
        """The layout for one source.

        blocks() starts a new pass over its records; features are the columns that the user named; `where` opens error
        messages. Raises SordineError where the source does not suit.
        """
        ...


class ClipExtractor(Extractor, Protocol):
    """An extractor of sound: one clip at a time."""

    def clip(self, wave: np.ndarray, rate: int) -> np.ndarray:
        """The vector (width,) float32 of a waveform (n,) at `rate` samples per second."""
        ...
