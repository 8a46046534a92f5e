"""Views of raw media for a table of vectors (MaSS, appendix B.1): features of augmented files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sordine.data.media.kinds import Media
from sordine.data.table import Table
from sordine.data.table_io import EXTRACT, read_note
from sordine.errors import SordineError
from sordine.features.augmentation.views import RawViews
from sordine.features.base import NetworkExtractor, workers_of
from sordine.features.extract import ExtractOptions, open_source
from sordine.features.registry import make_extractor
from sordine.features.sources import decoded, fitted_beside
from sordine.models.training import Views
from sordine.run import Run, accepts_run_keywords


@accepts_run_keywords
def raw_views(
    table: str | Path,
    folder: str | Path,
    *,
    layout: str | None = None,
    layout_options: Mapping[str, Any] | None = None,
    count: int | None = None,
    weights: str | Path | None = None,
    run: Run | None = None,
) -> Callable[[Table], Views]:
    """Return a function that gives the raw views of a table's records.

    Parameters
    ----------
    table
        The table file that `extract` made of the folder. Its metadata names the extractor and its options; fitted
        weights are in a file beside it.
    folder
        The media folder.
    layout, layout_options
        Name and options of the data set's layout; None detects it.
    count
        Pairs of views made of each record beforehand; 0 makes new ones in every call, None takes the default of
        `RawViews`.
    weights
        Weights of the extractor, in place of those beside the table.
    run
        Its device, workers, log and progress are used.

    Returns
    -------
    Callable
        Table to `Views`. It raises SordineError where a record of the table is not in the folder.

    Raises
    ------
    SordineError
        Where the table was not extracted from media by a network, or fitted weights are missing.
    """
    run = run or Run()
    name, tool = _extractor_of(Path(table), weights)
    where = ExtractOptions(layout=layout, layout_options=layout_options)
    opened = open_source(Path(folder), name, tool, where)
    assert isinstance(opened, Media)

    def views(records: Table) -> Views:
        have = decoded(tool.decoder(opened.kind), opened, run, workers_of(run), skip_bad=True)
        ids = opened.ids
        place = {ids[row]: i for i, row in enumerate(have.rows.tolist())}
        missing = [name for name in records.ids if name not in place]
        if missing:
            raise SordineError(f"{opened.root} lacks {len(missing)} records of the table; the first is {missing[0]!r}")
        rows = np.array([place[name] for name in records.ids], np.int64)
        return RawViews(have, tool.open(opened.kind, run), rows, count=count, run=run)

    return views


def _extractor_of(table: Path, weights: str | Path | None) -> tuple[str, NetworkExtractor]:
    # Name and extractor of a table that `extract` wrote, with the weights that were fitted then.
    note = read_note(table, EXTRACT)
    if "kind" not in note:
        raise SordineError(f"{table}: raw views need a table that a network extracted from a media folder")
    name = note["extractor"]
    options = {k: v for k, v in note["options"].items() if v is not None}
    fitted = fitted_beside(table, name)
    if weights is None and fitted.exists():
        weights = fitted
    tool = make_extractor(name, options | ({} if weights is None else {"weights": str(weights)}))
    if tool.learns and weights is None:
        raise SordineError(f"{fitted} is missing: it holds what {name} fitted when it made {table}")
    assert isinstance(tool, NetworkExtractor)
    return name, tool
