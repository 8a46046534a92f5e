"""The files of every release: the manifest in it, the link table beside it, and where both may be written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sordine.data.files import refuse_existing, sha256
from sordine.errors import SordineError
from sordine.evaluation.grade import grade
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import digest
from sordine.workflow.release.checks import Working

SCHEMA = 1
MANIFEST = "manifest.json"
_OF_THE_AUDIT = ("budget", "families", "settings", "known", "left_out")  # what it tested
# Flaws of earlier versions whose message named a record; `Flaw.example` holds its id now.
_NAMED_RECORDS = frozenset({"missing", "extra", "duplicate", "finite", "telling-id"})


@dataclass(frozen=True)
class Released:
    """What was released.

    Parameters
    ----------
    folder
        The directory that may leave.
    links
        The link table (pseudonym, id), which must not leave.
    rows, columns
        Number of records, and the released columns.
    dropped
        Columns that were left out because they name files or repeat ids.
    manifest
        The contents of the manifest.
    """

    folder: Path
    links: Path
    rows: int
    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    manifest: dict[str, Any]


def links_beside(folder: str | Path) -> Path:
    """Return the path of a release's link table: DIR.links.parquet, in the folder that holds DIR."""
    folder = Path(folder).absolute()
    return folder.parent / f"{folder.name}.links.parquet"


def check_output(output: Path, force: bool) -> Path:
    """Return where the link table goes, after checking that it and the release may be written.

    Raises
    ------
    SordineError
        Where one of them exists without `force`, or `output` holds anything but an earlier release (a folder all of
        whose files its manifest lists), which alone `force` replaces.
    """
    links = links_beside(output)
    refuse_existing(output, force)
    refuse_existing(links, force)
    if output.exists() and not _is_release(output):
        raise SordineError(f"{output} contains other files than a release, so it is not replaced: choose another place")
    return links


def _is_release(folder: Path) -> bool:
    """Whether a folder is empty or an earlier release."""
    if not folder.is_dir():
        return False
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()} - {MANIFEST}
    try:
        listed = set(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        listed = set()
    return files <= listed


def write_links(path: Path, found: Working, **columns: list[str]) -> None:
    """Write the link table of the released records, readable by its owner alone. columns: a string for each record."""
    released = {name: found.of_released(values) for name, values in columns.items()}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in released.items()})
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        pq.write_table(table, file)


def seal(path: Path) -> dict[str, Any]:
    """Return a file's entry in the manifest: its SHA-256 and its size in bytes."""
    return {"sha256": sha256(path), "bytes": path.stat().st_size}


def type_in_words(kind: pa.DataType, shape: tuple[int, ...]) -> str:
    """Return an Arrow type in words. shape: of one record, where the type is that of x."""
    if isinstance(kind, pa.FixedShapeTensorType) or pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type.to_pandas_dtype().__name__} [{' x '.join(map(str, shape))}]"
    return str(kind)


def write_manifest(folder: Path, written: dict[str, Any], found: Working, report: Report | None) -> dict[str, Any]:
    """Write what the receiver may know: contents and hashes, the method, and what the audit found.

    The manifest holds no key, no record's id, no path and no date.

    Parameters
    ----------
    folder
        The release.
    written
        `files` (name -> `seal`), `rows`, `columns` (name -> type in words), and further facts about them.
    found, report
        The transformed table, and the report of the audit.
    """
    manifest = {
        "schema": SCHEMA,
        **written,
        **({"withheld": int(found.left_out.sum())} if found.left_out.any() else {}),
        "method": found.note.get("method"),
        "policy": found.policy,
        "audit": "not audited" if report is None else _audit(report),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _without_ids(sentence: str, report: Report) -> str:
    """A sentence of the verdict without a record's id, which reports of earlier versions name in a flaw's message."""
    old = any(f.message == sentence and f.example is None and f.code in _NAMED_RECORDS for f in report.flaws)
    return re.sub(r" \((?:the first: |such as ).*\)", "", sentence, flags=re.DOTALL) if old else sentence


def _audit(report: Report) -> dict[str, Any]:
    return {
        "verdict": {
            "level": report.verdict.level,
            "grade": report.verdict.grade or grade(report),
            "not_excluded": report.verdict.not_excluded,
            "title": report.verdict.title,
            "sentences": [_without_ids(s, report) for s in report.verdict.sentences],
        },
        "max_leakage": report.max_leakage,
        "passed": report.passed,
        **{name: report.made[name] for name in _OF_THE_AUDIT if name in report.made},
        "attributes": [
            {
                "attribute": h.attribute,
                "role": h.role,
                "before": h.before,
                "after": h.after,
                "guess": h.guess,
                "nag": h.nag,
                "low": h.low,
                "high": h.high,
                **({"not_excluded": h.not_excluded} if h.role == "suppress" else {}),
                "sentence": h.sentence,
            }
            for h in report.headlines
        ],
        "report_sha256": digest(report),
    }


def may_be_shared(report: Report | None) -> str:
    """Return what a release is, and on what condition it may be shared."""
    only = "the release; share only this folder"
    if report is None:
        return f"{only}. It was not audited."
    if report.verdict.level in ("leaks", "broken"):
        return f"{only}, and only if you accept what the verdict says of it."
    if report.made.get("budget") == "quick":
        return f"{only}, and only after an audit with the budget standard."
    if report.verdict.level == "unclear":
        return f"{only}, and only if you accept the leakage that the verdict cannot exclude."
    return f"{only}, after you have read the report."


def announce(links: Path, report: Report | None, log: Callable[[str], None]) -> None:
    """Log what the owner must know about a release that was made."""
    if report is None:
        log("These records were not audited: no attack was run on them. The manifest states it.")
    elif report.passed is False or report.verdict.level in ("leaks", "broken"):
        log(f"Released DESPITE the result of the audit: {report.verdict.title}. The manifest states it.")
    elif report.verdict.level == "unclear":
        log(f"The verdict of the audit is 'unclear': {report.verdict.title}")
    elif report.verdict.adds_up:
        log(f"Result of the audit: {report.verdict.title}. Release nothing that shows which records belong together.")
    if report is not None and report.made.get("budget") == "quick":
        families = ", ".join(map(str, report.made.get("families", ())))
        log(
            f"The audit had the budget quick ({families} only), which is for trials. Audit with --budget standard "
            "before you share records."
        )
    log(f"{links}: the ids of the pseudonyms; store this file, but do not share it")
