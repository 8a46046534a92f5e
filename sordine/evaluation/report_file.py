"""A report on disk: JSON for programs, a page for people."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sordine.data.files import atomic, refuse_existing
from sordine.errors import SordineError
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import digest, from_json, json_schema, to_json

__all__ = ["digest", "from_json", "json_schema", "read_report", "to_json", "write_report"]


def write_report(
    report: Report, html: str | Path | None = None, json: str | Path | None = None, *, force: bool = False
) -> None:
    """Write the page, the JSON or both; both or, where one fails, neither.

    Raises SordineError where one exists without `force` or cannot be written.
    """
    wanted = [(Path(path), make) for path, make in ((html, to_html), (json, to_json)) if path is not None]
    for path, _ in wanted:
        refuse_existing(path, force)
    with contextlib.ExitStack() as stack:
        for path, make in wanted:
            stack.enter_context(atomic(path, force=force)).write_text(make(report), encoding="utf-8")


def read_report(path: str | Path) -> Report:
    """Read a report's JSON file. Raises SordineError, naming the file, where it is missing or not a report."""
    try:
        return from_json(Path(path).read_bytes())
    except OSError as error:
        raise SordineError(f"report {path} cannot be read: {error.strerror or error}") from None
    except SordineError as error:
        raise SordineError(f"{path}: {error}") from None
