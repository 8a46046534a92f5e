"""What an extractor is, and base classes that leave its author one or two functions to write.

An extractor is one file with one class, and one line in `sordine.features.registry`. The class is a frozen dataclass
whose fields are its options; it derives from `TableExtractor`, `SoundExtractor` or `NetworkExtractor`, or from
`Extractor` itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pyarrow as pa
from torch import Tensor

from sordine.data.media.audio import read_clip
from sordine.data.media.cache import Decoded, DecodedBlock, Decoder, blocks
from sordine.data.media.kinds import FILE_NAME, Kind, Media
from sordine.data.table import row_ids
from sordine.errors import SordineError, pass_on
from sordine.features.rows import Encoded, batch_of, in_order
from sordine.features.sources import CLIPS, RawTable, decoded, records_of, with_ids
from sordine.run import Run

Blocks = Callable[[], Iterable[pa.RecordBatch]]
SourceKind = Kind | Literal["table"]
WORKERS = 2  # where a run does not say


def workers_of(run: Run) -> int:
    """Return the number of threads of a run."""
    return WORKERS if run.workers is None else run.workers


@dataclass(frozen=True)
class FeaturePlan:
    """How the records of one source become x.

    Parameters
    ----------
    shape
        Of one record of x: (width,), or (channels, height, width) of a picture.
    blocks
        The schema of the output to its blocks, in the order of the source.
    dtype
        Of x.
    names
        One name for each number of a vector, or none.
    consumed
        Columns of the source that are not in the output.
    notes
        What the user should know, such as columns that are left out and why.
    details
        Plain data for the output's metadata.
    fitted
        Weights that were fitted on this source. Empty where nothing was fitted.
    """

    shape: tuple[int, ...]
    blocks: Callable[[pa.Schema], Iterator[Encoded]]
    dtype: Any = np.float32
    names: tuple[str, ...] = ()
    consumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    fitted: Mapping[str, Tensor] = field(default_factory=dict)


class Extractor(ABC):
    """Turns a media folder or a raw table into records of x. Subclasses are frozen dataclasses; fields are options.

    Attributes
    ----------
    accepts
        Kinds of source: "audio", "image", "video", "table".
    version
        Changes whenever the same input gives other numbers.
    learns
        Whether it is fitted on the source. Then it has a field `weights`, a file of an earlier fit to use instead.
    makes_pictures
        Whether a record of x is a picture.
    weights
        A file of weights; a field of extractors that take one.
    by_frame
        Whether each frame of a video is a record.
    """

    accepts: ClassVar[tuple[SourceKind, ...]]
    version: ClassVar[int]
    learns: ClassVar[bool] = False
    makes_pictures: ClassVar[bool] = False
    weights: Path | None = None
    by_frame: bool = False

    @abstractmethod
    def plan(
        self, source: Media | RawTable, run: Run, *, features: tuple[str, ...] = (), skip_bad: bool = False
    ) -> FeaturePlan:
        """Return how the records of a source become x, fitted on the source where the extractor learns.

        Parameters
        ----------
        source
            A media folder or a raw table, of a kind in `accepts`.
        run
            Device, seed, workers, log, progress, and the folder of unfinished training.
        features
            Columns that the user named, for tables.
        skip_bad
            Whether files that cannot be decoded are left out.

        Raises
        ------
        SordineError
            Where the source does not suit.
        """

    def hides_information(self) -> str:
        """Return what the numbers hide on purpose, such as "light"; an audit of two folders needs ""."""
        return ""


# --------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class TableMap:
    """A map from the records of a raw table to vectors.

    Parameters
    ----------
    names
        One name for each number of a vector, in order.
    encode
        A block of records and the number of its first record (from 0) to (n, width) float32. A pure function: blocks
        are encoded in any order by any number of workers.
    consumed, notes, details
        As in `FeaturePlan`.
    """

    names: tuple[str, ...]
    encode: Callable[[pa.RecordBatch, int], np.ndarray]
    consumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """How many numbers a vector has."""
        return len(self.names)


class TableExtractor(Extractor):
    """An extractor of raw tables: an author writes `fit_table`."""

    accepts: ClassVar[tuple[SourceKind, ...]] = ("table",)

    @abstractmethod
    def fit_table(self, blocks: Blocks, features: tuple[str, ...], where: str) -> TableMap:
        """Return the map for one table.

        Parameters
        ----------
        blocks
            Starts a new pass over the records.
        features
            Columns that the user named.
        where
            Start of error messages.
        """

    def plan(
        self, source: Media | RawTable, run: Run, *, features: tuple[str, ...] = (), skip_bad: bool = False
    ) -> FeaturePlan:
        """Return how the records of a raw table become vectors."""
        assert isinstance(source, RawTable)
        fitted = self.fit_table(source.blocks, features, str(source.path))

        def made(schema: pa.Schema) -> Iterator[Encoded]:
            def encode(block: pa.RecordBatch, row: int) -> Encoded:
                if "id" in block.schema.names:
                    ids = block.column("id").cast(pa.string())
                else:
                    ids = pa.array(row_ids(len(block), row), pa.string())
                return Encoded(batch_of(block, ids, fitted.encode(block, row), schema), len(block))

            return in_order(encode, source.blocks(), workers_of(run))

        return FeaturePlan(
            (fitted.width,),
            made,
            names=fitted.names,
            consumed=fitted.consumed,
            notes=fitted.notes,
            details=fitted.details,
        )


# --------------------------------------------------------------------------------------------- sound, clip by clip


class SoundExtractor(Extractor):
    """An extractor of whole sound clips: an author writes `names` and `clip`."""

    accepts: ClassVar[tuple[SourceKind, ...]] = ("audio",)

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Return one name for each number of a vector, in order."""

    @abstractmethod
    def clip(self, wave: np.ndarray, rate: int) -> np.ndarray:
        """Return the vector (width,) float32 of a waveform (n,) at `rate` samples per second."""

    def plan(
        self, source: Media | RawTable, run: Run, *, features: tuple[str, ...] = (), skip_bad: bool = False
    ) -> FeaturePlan:
        """Return how the clips of a folder become vectors."""
        assert isinstance(source, Media)
        names = self.names()

        def encode(block: pa.RecordBatch, schema: pa.Schema) -> Encoded:
            good, vectors, bad = [], [], []
            for i, name in enumerate(block.column(FILE_NAME).to_pylist()):
                try:
                    vectors.append(self.clip(*read_clip(source.root / name)))
                    good.append(i)
                except SordineError as error:
                    pass_on(error)
                    bad.append((name, str(error)))
            rest = block.take(pa.array(good, pa.int64()))
            x = np.stack(vectors) if vectors else np.zeros((0, len(names)), np.float32)
            return Encoded(batch_of(rest, rest.column("id"), x, schema), len(block), tuple(bad))

        def made(schema: pa.Schema) -> Iterator[Encoded]:
            return in_order(lambda block, row: encode(block, schema), records_of(source, CLIPS), workers_of(run))

        return FeaturePlan((len(names),), made, names=names)


# --------------------------------------------------------------------------------------------- media by a network


class Encode(Protocol):
    """A map from decoded records to x, with its weights in place."""

    @property
    def width(self) -> int:
        """How many numbers a record of x has."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one record of x."""
        ...

    @property
    def dtype(self) -> Any:
        """Of x."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """Plain data for the output's metadata."""
        ...

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return x of some records: (b, *shape) as decoded and (b,) real samples or frames to (b, *shape of x).

        Pure: a record's x does not depend on the other records of the block. Vectors have norm 1.
        """
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """Return what was fitted on the folder; empty where nothing was."""
        ...


class NetworkExtractor(Extractor):
    """An extractor of decoded media by a network or a fitted map.

    An author writes `decoder` and `open`, and `fit` where the extractor learns.

    Attributes
    ----------
    cached
        Whether the folder is decoded into the cache although nothing is fitted on it.
    """

    cached: ClassVar[bool] = False

    @property
    @abstractmethod
    def block(self) -> int:
        """Records that are encoded at a time; a class attribute in most extractors."""

    @abstractmethod
    def decoder(self, kind: Kind) -> Decoder:
        """Return how the files of a folder of this kind are decoded."""

    @abstractmethod
    def open(self, kind: Kind, run: Run) -> Encode:
        """Load the weights, from `weights` where the extractor learns.

        Raises
        ------
        SordineError
            Where weights are missing; the message names where to get them.
        """

    def fit(self, decoded: Decoded, media: Media, run: Run) -> Encode:
        """Fit on a folder. Labels are columns of `media.records`, at `decoded.rows`. The default fits nothing."""
        return self.open(decoded.kind, run)

    def plan(
        self, source: Media | RawTable, run: Run, *, features: tuple[str, ...] = (), skip_bad: bool = False
    ) -> FeaturePlan:
        """Return how the files of a folder become x, after fitting where the extractor learns."""
        assert isinstance(source, Media)
        found: Decoded | None = None
        fitted: Mapping[str, Tensor] = {}
        decoder, workers = self.decoder(source.kind), workers_of(run)
        fits = self.learns and self.weights is None
        if fits or self.cached:
            found = decoded(decoder, source, run, workers, skip_bad=skip_bad)
        if fits:
            assert found is not None
            encode = self.fit(found, source, run)
            fitted = encode.weights()
        else:
            encode = self.open(source.kind, run)

        def made(schema: pa.Schema) -> Iterator[Encoded]:
            parts = blocks(source, decoder, self.block, workers=workers) if found is None else _parts(found, self.block)
            return _encoded(encode, source, parts, schema)

        # The kind marks vectors: raw views of the media can be encoded like them. Pictures have a shape instead.
        note = {"kind": source.kind} if len(encode.shape) == 1 else {"shape": encode.shape}
        return FeaturePlan(encode.shape, made, encode.dtype, details={**note, **encode.details}, fitted=fitted)


def _parts(found: Decoded, size: int) -> Iterator[DecodedBlock]:
    for start in range(0, len(found), size):
        part = slice(start, start + size)
        bad = found.bad if start == 0 else ()
        yield DecodedBlock(np.asarray(found.x[part]), found.lengths[part], found.rows[part], bad)


def _encoded(encode: Encode, media: Media, parts: Iterable[DecodedBlock], schema: pa.Schema) -> Iterator[Encoded]:
    # Every record in order, as blocks of the output.
    table, shape, dtype = with_ids(media), encode.shape, np.dtype(encode.dtype)
    for block in parts:
        rows = table.take(pa.array(block.rows)).combine_chunks()
        part = rows.to_batches()[0] if len(block.rows) else pa.RecordBatch.from_pylist([], schema=table.schema)
        x = encode(block.x, block.lengths) if len(block.rows) else np.zeros((0, *shape), dtype)
        if dtype != np.uint8 and not np.isfinite(x).all():
            at = int(block.rows[~np.isfinite(x).all(axis=1)][0])
            raise SordineError(f"{media.path(at)}: the extractor's output contains NaN or infinity; check the file")
        yield Encoded(batch_of(part, part.column("id"), x, schema), len(block.rows) + len(block.bad), block.bad)
