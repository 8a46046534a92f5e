"""Raw views for a table of vectors (MaSS, B.1): the media that it was made of, augmented, through the extractor that made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sordine.data.media.kinds import Media
from sordine.data.table import Table
from sordine.data.table_io import read_note
from sordine.errors import SordineError
from sordine.features.augmentation.views import RawViews
from sordine.features.base import Work
from sordine.features.extract import NOTE, open_source
from sordine.features.registry import make_extractor
from sordine.features.sources import decoded, fitted_beside
from sordine.models.training import Views


def raw_views(
    table: str | Path,
    folder: str | Path,
    *,
    layout: str | None = None,
    layout_options: Mapping[str, Any] | None = None,
    count: int | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
    workers: int = 2,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Callable[[Table], Views]:
    """For some records of a table that `extract` made of a folder, what gives two raw views of a batch of them.

    table: the table file, whose note says how it was extracted; what its extractor learnt is looked for beside it, or is
    `weights`. count: view pairs made of each record beforehand, 0 for fresh ones every time, None for the default
    (`features.views.RawViews`). Raises SordineError where the table was not extracted from media by a network, what was
    learnt is missing, or a record is not in the folder; the last when the records are known.
    """
    table = Path(table)
    note = read_note(table, NOTE)
    if "kind" not in note:
        raise SordineError(f"{table} was not made of media by an extractor that raw views can go through again")
    options = {k: v for k, v in note["options"].items() if v is not None}
    learnt = fitted_beside(table, note["extractor"])
    if weights is None and learnt.exists():
        weights = learnt
    tool = make_extractor(note["extractor"], options | ({} if weights is None else {"weights": str(weights)}))
    if tool.learns and weights is None:
        raise SordineError(f"{learnt} is missing: what {note['extractor']} learnt when it made {table}")
    opened = open_source(Path(folder), note["extractor"], tool, layout, dict(layout_options or {}), True)
    assert isinstance(opened, Media)
    work = Work(device, 0, workers, None, log, progress)

    def views(records: Table) -> Views:
        have = decoded(tool, opened, work, skip_bad=True)
        ids = opened.ids
        place = {ids[row]: i for i, row in enumerate(have.rows.tolist())}
        missing = [name for name in records.ids if name not in place]
        if missing:
            raise SordineError(
                f"{opened.root} has no record {missing[0]!r} ({len(missing)} of the table's are missing)"
            )
        rows = np.array([place[name] for name in records.ids], np.int64)
        return RawViews(have, tool.open(opened.kind, work), rows, count=count, progress=progress)

    return views
