"""What an extractor is, and the layout that it makes of one source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pyarrow as pa
from torch import Tensor

from sordine.data.media.cache import Decoded, Decoder
from sordine.data.media.kinds import Kind, Media

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


@dataclass(frozen=True)
class Work:
    """The circumstances of an extraction: nothing in it but the seed changes the numbers.

    folder: where unfinished training is kept, to resume. log: one line at a time. progress: (what, done, of).
    """

    device: str = "cpu"
    seed: int = 0
    workers: int = 2
    folder: Path | None = None
    log: Callable[[str], None] = lambda line: None
    progress: Callable[[str, int, int], None] | None = None


class Encode(Protocol):
    """Decoded records to vectors: an extractor whose weights are there.

    Where it gives other records than vectors of float32 (pictures), it has `shape`, of one record, and `dtype` too.
    """

    width: int

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(b, *shape) as the decoder gives them, (b,) real samples or frames -> (b, width) float32 of norm 1.

        Pure: a record's vector does not depend on what came with it.
        """
        ...

    def weights(self) -> dict[str, Tensor]:
        """What was learnt from the folder; empty where nothing was."""
        ...


class MediaExtractor(Protocol):
    """An extractor of media by a network or a learnt map: a frozen dataclass whose fields are its options.

    reads: kinds of media. block: records encoded at a time. learns: whether it is fitted on the folder itself; its fields
    then include `weights: Path | None`, a file of what was learnt before, which is then used instead. One that has
    `cached = True` reads the folder from the cache of decoded media although it learns nothing.
    """

    reads: ClassVar[tuple[Kind, ...]]
    version: ClassVar[int]
    learns: ClassVar[bool]

    @property
    def block(self) -> int: ...

    def decoder(self, kind: Kind) -> Decoder:
        """How it wants the files of a folder of this kind."""
        ...

    def open(self, kind: Kind, work: Work) -> Encode:
        """Load the weights (of `weights`, where it learns). Raises SordineError, saying where to get what is missing."""
        ...

    def fit(self, decoded: Decoded, media: Media, work: Work) -> Encode:
        """Learn from the folder, where it learns. The labels are columns of `media.records`, at `decoded.rows`."""
        ...
