"""The extractor that suits a source, by what the source holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sordine.data.layouts.registry import MOTION, check_layout, has_motion_files, open_media
from sordine.data.media.folder import metadata_file
from sordine.data.media.kinds import WORDS, Kind, Media, kind_of
from sordine.data.reading.columns import is_vector
from sordine.data.reading.files import is_table_file, parts_in
from sordine.errors import SordineError
from sordine.features.sources import open_table, table_in
from sordine.policy import Policy

ENOUGH_FOR_ENCODER = 2000  # files below which a network that learns from the folder itself has too little to learn from


@dataclass(frozen=True)
class ExtractorChoice:
    """The extractor that suits a source. name is None where the source already is a table of vectors.

    Parameters
    ----------
    name, options
        As `pipeline.extract` and `ExtractOptions` take them.
    reason
        Why, in one sentence.
    """

    name: str | None
    options: dict[str, str]
    reason: str


def suited_extractor(
    source: str | Path,
    policy: Policy | None = None,
    *,
    layout: str | None = None,
    layout_options: Mapping[str, Any] | None = None,
) -> ExtractorChoice:
    """Return the extractor that suits what a source holds, and why.

    Sound is turned into log-mel spectra. Pictures and videos go through an encoder that learns from the folder, where
    there are at least 2,000 files, and are reduced to their principal components otherwise. One list column of a table
    holds vectors; several are sensor channels. Any other table is encoded column by column.

    Parameters
    ----------
    source
        Media folder, Parquet or CSV file, or a folder with one such file.
    policy
        Its attributes do not enter the vectors of a table that is encoded column by column.
    layout, layout_options
        Layout of a media folder; None detects it.

    Raises
    ------
    SordineError
        Where the source does not exist or holds nothing known, or a layout is given for a file.
    """
    source = Path(source)
    if not source.exists():
        raise SordineError(f"{source} does not exist")
    check_layout(source, layout, layout_options)
    if is_motion(source, layout):
        return ExtractorChoice("windows", {}, "extractor windows: the folder holds recordings of motion sensors")
    if is_media(source, layout):
        return suited_to_media(open_media(source, layout, layout_options))
    path = table_in(source) if source.is_dir() else source
    return suited_to_columns(open_table(path).schema, path.name, policy)


def is_motion(source: Path, layout: str | None) -> bool:
    """Return whether a source is a folder of MotionSense, which is a table of sensor windows."""
    found = source.is_dir() and layout is None and metadata_file(source) is None
    return layout == MOTION or (found and has_motion_files(source))


def is_media(source: Path, layout: str | None) -> bool:
    """Return whether a source is a media folder, rather than a table or a folder with one."""
    if not source.is_dir():
        return False
    if layout is not None or metadata_file(source) is not None:
        return True
    if parts_in(source):
        return False
    tables = [p for p in source.iterdir() if is_table_file(p)]
    media = any(kind_of(p.name) is not None for p in source.rglob("*") if p.is_file())
    return media or len(tables) != 1


def suited_to_media(media: Media) -> ExtractorChoice:
    """Return the extractor for a media folder; see `suited_extractor`."""
    count, what = len(media), WORDS[media.kind]
    if media.kind == "audio":
        return ExtractorChoice("logmel", {}, f"extractor logmel: the folder holds {count:,} sound {what}")
    if count >= ENOUGH_FOR_ENCODER:
        why = f"{count:,} {what} are enough for a network that learns from them"
        return ExtractorChoice("encoder", {}, f"extractor encoder: {why}")
    why = f"{count:,} {what} are too few for a network to learn from ({ENOUGH_FOR_ENCODER:,} are needed)"
    return ExtractorChoice("pixels", {}, f"extractor pixels: {why}")


def suited_to_columns(schema: pa.Schema, name: str, policy: Policy | None = None) -> ExtractorChoice:
    """Return the extractor for the columns of a table; see `suited_extractor`."""
    vectors = [f.name for f in schema if is_vector(f.type)]
    if len(vectors) == 1:
        return ExtractorChoice(None, {}, f"no extractor: column {vectors[0]!r} of {name} holds the vectors")
    if vectors:
        why = f"{name} has {len(vectors)} list columns, which are sensor channels"
        return ExtractorChoice("windows", {}, f"extractor windows: {why}")
    labels = () if policy is None else tuple(n for n in policy.named if n in schema.names)
    options = {"labels": ",".join(labels)} if labels else {}
    why = f"{name} has columns of numbers and classes, and no column of vectors"
    return ExtractorChoice("columns", options, f"extractor columns: {why}")


def suggested(kinds: Collection[Kind] | None) -> str:
    """Return the name of the extractor to suggest for files of these kinds, for a folder of unknown kind (empty), or
    for a table (None).
    """
    if kinds is None:
        return "columns"
    return "encoder" if kinds and "audio" not in kinds else "logmel"
