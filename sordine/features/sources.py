"""Media folders to tables: clip by clip (`logmel`), or decoded and put through a network a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.torch
from torch import Tensor

from sordine.data.files import atomic, sha256
from sordine.data.media.audio import read_clip
from sordine.data.media.cache import Block, Decoded, blocks, decode
from sordine.data.media.kinds import Media
from sordine.errors import SordineError
from sordine.features.base import ClipExtractor, Encode, MediaExtractor, Work
from sordine.features.rows import Encoded, batch_of

CLIPS = 64  # clips at a time


def sources(media: Media) -> Iterator[pa.RecordBatch]:
    """The folder's records with their ids, in blocks of clips."""
    return iter(_with_ids(media).to_batches(CLIPS))


def _with_ids(media: Media) -> pa.Table:
    table = media.records.drop_columns([c for c in ("id",) if c in media.records.column_names])
    return table.add_column(0, "id", pa.array(media.ids, pa.string())).combine_chunks()


def clip_encoder(tool: ClipExtractor, media: Media, schema: pa.Schema) -> Callable[[pa.RecordBatch, int], Encoded]:
    """A block of records (with ids) to a block of the output, for an extractor of whole waveforms."""
    width = schema.field("x").type.list_size

    def encode(block: pa.RecordBatch, row: int) -> Encoded:
        good, vectors, bad = [], [], []
        for i, name in enumerate(block.column("file_name").to_pylist()):
            try:
                vectors.append(tool.clip(*read_clip(media.root / name)))
                good.append(i)
            except SordineError as error:
                bad.append((name, str(error)))
        rest = block.take(pa.array(good, pa.int64()))
        x = np.stack(vectors) if vectors else np.zeros((0, width), np.float32)
        return Encoded(batch_of(rest, rest.column("id"), x, schema), len(block), tuple(bad))

    return encode


class Network:
    """An extractor of decoded media, ready: `encode` has its weights, learnt from this very folder or loaded.

    learnt: what it learnt here; empty where it was loaded or learns nothing. shape, dtype: of one record of x.
    """

    def __init__(self, tool: MediaExtractor, media: Media, work: Work, *, skip_bad: bool) -> None:
        self.tool, self.media, self.work = tool, media, work
        self.decoder = tool.decoder(media.kind)
        self.decoded: Decoded | None = None
        self.learnt: dict[str, Tensor] = {}
        if tool.learns and getattr(tool, "weights", None) is None:
            self.decoded = decoded(tool, media, work, skip_bad=skip_bad)
            self.encode: Encode = tool.fit(self.decoded, media, work)
            self.learnt = self.encode.weights()
        else:
            self.encode = tool.open(media.kind, work)
            if getattr(tool, "cached", False):
                self.decoded = decoded(tool, media, work, skip_bad=skip_bad)
        self.shape: tuple[int, ...] = getattr(self.encode, "shape", (self.encode.width,))
        self.dtype = np.dtype(getattr(self.encode, "dtype", np.float32))

    def encoded(self, schema: pa.Schema) -> Iterator[Encoded]:
        """Every record in order, as blocks of the output."""
        table = _with_ids(self.media)
        size = self.tool.block
        for block in self._decoded_blocks(size):
            rows = table.take(pa.array(block.rows)).combine_chunks()
            part = rows.to_batches()[0] if len(block.rows) else pa.RecordBatch.from_pylist([], schema=table.schema)
            x = self.encode(block.x, block.lengths) if len(block.rows) else np.zeros((0, *self.shape), self.dtype)
            if self.dtype != np.uint8 and not np.isfinite(x).all():
                at = int(block.rows[~np.isfinite(x).all(axis=1)][0])
                raise SordineError(f"{self.media.path(at)}: the extractor gives numbers that are not finite")
            yield Encoded(batch_of(part, part.column("id"), x, schema), len(block.rows) + len(block.bad), block.bad)

    def _decoded_blocks(self, size: int) -> Iterator[Block]:
        if self.decoded is None:
            yield from blocks(self.media, self.decoder, size, workers=self.work.workers)
            return
        known = self.decoded
        for start in range(0, len(known), size):
            part = slice(start, start + size)
            bad = known.bad if start == 0 else ()
            yield Block(np.asarray(known.x[part]), known.lengths[part], known.rows[part], bad)


def decoded(tool: MediaExtractor, media: Media, work: Work, *, skip_bad: bool) -> Decoded:
    """The folder as the extractor wants it, from the cache or into it."""

    def progress(done: int, of: int) -> None:
        if work.progress:
            work.progress("decode", done, of)

    return decode(media, tool.decoder(media.kind), skip_bad=skip_bad, workers=work.workers, progress=progress)


def fitted_beside(output: Path, name: str) -> Path:
    """Where what an extractor has learnt is kept: TABLE.NAME.safetensors beside TABLE.parquet."""
    return output.with_name(f"{output.stem}.{name}.safetensors")


def save_learnt(path: Path, learnt: dict[str, Tensor], *, force: bool) -> None:
    """Write what an extractor has learnt, atomically."""
    with atomic(path, force=force) as temporary:
        safetensors.torch.save_file({k: v.detach().cpu().contiguous() for k, v in learnt.items()}, temporary)


def weights_note(tool: Any) -> dict[str, Any]:
    """For the output's metadata: the hash of the file of weights that was named, if one was."""
    named = getattr(tool, "weights", None) if any(f.name == "weights" for f in fields(tool)) else None
    return {} if named is None or not Path(named).is_file() else {"weights_sha256": sha256(named)}
