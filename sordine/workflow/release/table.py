"""Release: what leaves the house. Pseudonyms for ids, a keyed order of rows, a manifest; the link table stays behind."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sordine.data.files import atomic, refuse_existing, sha256
from sordine.data.table import check_finite, check_ids
from sordine.data.table_io import (
    TableFile,
    feature_array,
    feature_type,
    read_ids,
    read_note,
    rows_at_once,
    write_blocks,
)
from sordine.errors import SordineError
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import digest
from sordine.keys import Key
from sordine.run import silent

SCHEMA = 1
TABLE, MANIFEST = "table.parquet", "manifest.json"
# Columns that tell which file a record came from: never released, whatever was kept.
NAMES_OF_FILES = frozenset({"file", "file_name", "filename", "file_path", "filepath", "path"})
# Flaws whose message named a record before `Flaw.example` had its id.
_NAMED_RECORDS = frozenset({"missing", "extra", "duplicate", "finite", "telling-id"})


@dataclass(frozen=True)
class Released:
    """What `release` wrote: the directory that may leave, the link table that must not, and what the manifest says."""

    folder: Path
    links: Path
    rows: int
    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    manifest: dict[str, Any]


def links_beside(folder: str | Path) -> Path:
    """Where the link table of a released directory is: DIR.links.parquet, in the folder that holds DIR."""
    folder = Path(folder).absolute()
    return folder.parent / f"{folder.name}.links.parquet"


def release(
    transformed: str | Path,
    output: str | Path,
    *,
    key: Key,
    report: Report | None = None,
    force: bool = False,
    force_leaky: bool = False,
    log: Callable[[str], None] = silent,
) -> Released:
    """Write what leaves the house into a new directory, and the link table (pseudonym, id) beside it.

    key: makes the pseudonyms and the order; may be another key than that of the transformation. report: the audit's, for
    the manifest. force_leaky: release although the report says that it leaks or is broken.
    Records are read once, in blocks; only ids and kept columns are held in memory.
    Raises SordineError, with nothing written, where the output exists without `force`, a suppressed column stands beside
    the records, the file was not written by `transform`, the report speaks against it or is of other records; and, unless
    force_leaky, where records hold NaN or columns were added.
    """
    transformed, output = Path(transformed), Path(output)
    links = ready(output, force)
    found = look_over(transformed, key, report=report, force_leaky=force_leaky, log=log)
    file, kept, ids = found.file, list(found.kept), found.ids
    pseudonyms, order = key.pseudonyms(ids), key.order("release order", ids)

    fields = [
        pa.field("id", pa.string()),
        *(pa.field(n, _plain_type(found.columns.schema.field(n).type)) for n in kept),
    ]
    name_of_x = file.features[0] if len(file.features) == 1 else "x"
    schema = pa.schema([*fields, pa.field(name_of_x, feature_type(file.shape, file.dtype))])

    with atomic(output, force=force) as folder, atomic(links, force=force) as link_table:
        folder.mkdir()
        write_links(link_table, pseudonym=pseudonyms, id=ids.tolist())
        with tempfile.TemporaryFile(dir=output.absolute().parent) as spilled:  # nameless: gone with the process
            spill(file, spilled, ids, check=not force_leaky)
            blocks = _in_order(spilled, file, found.columns.select(kept), schema, pseudonyms, order)
            write_blocks(folder / TABLE, schema, blocks)
        written = {
            "files": {TABLE: seal(folder / TABLE)},
            "rows": file.rows,
            "columns": {f.name: type_in_words(f.type, file.shape) for f in schema},
        }
        manifest = write_manifest(folder, written, found, report)
    tell(links, report, log)
    return Released(output, links, file.rows, tuple(schema.names), found.dropped, manifest)


def ready(output: Path, force: bool) -> Path:
    """Where the link table of a release into `output` goes, after checking that both may be written.

    Raises SordineError where one exists without `force`, or where `output` holds anything but an earlier release, which
    alone `force` replaces: a folder all of whose files its manifest lists.
    """
    links = links_beside(output)
    refuse_existing(output, force)
    refuse_existing(links, force)
    if output.exists() and not _is_release(output):
        raise SordineError(f"{output} holds something else than a release: it is not replaced, not even with --force")
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


@dataclass(frozen=True)
class Working:
    """A transformed table that may be released, before x is read.

    note: what `transform` wrote of itself. policy: role -> attribute names. kept: columns to release, `split` first.
    dropped: columns that name files or repeat ids. columns: `id` (where there is one) and the kept ones, in the table's order. ids: (n,).
    """

    file: TableFile
    note: dict[str, Any]
    policy: dict[str, list[str]]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    columns: pa.Table
    ids: np.ndarray


def look_over(
    transformed: Path, key: Key, *, report: Report | None, force_leaky: bool, log: Callable[[str], None]
) -> Working:
    """Read all of a transformed table but x. Raises SordineError where it must not be released: see `release`."""
    file = TableFile(transformed)
    note = read_note(transformed, "sordine.transform")
    if not note:
        raise SordineError(f"{transformed} was not written by sordine transform: original records are not released")
    policy = {r: [str(n) for n in names] for r, names in (note.get("policy") or {}).items() if isinstance(names, list)}
    _check_columns(file, policy)
    _check_report(report, transformed, force_leaky)
    if note.get("key") not in (None, key.fingerprint):
        log("the key is another than that of the transformation: pseudonyms and order come from the one given")

    dropped = tuple(n for n in file.other if n.lower() in NAMES_OF_FILES)
    if dropped:
        log(f"not released, because they name files: {', '.join(dropped)}")
    kept = [n for n in file.other if n not in ("id", *dropped)]
    unexpected = [n for n in kept if note and n not in ("split", *note.get("kept", ()))]
    if unexpected and not force_leaky:
        raise SordineError(
            f"{transformed}: column {unexpected[0]!r} was not written by sordine transform; --despite-findings releases it"
        )
    kept.sort(key=lambda n: n != "split")
    columns = _read_columns(file, [*(n for n in ("id",) if n in file.other), *kept])
    ids = read_ids(columns, file.rows)
    check_ids(ids, transformed.name)
    copies = tuple(n for n in kept if _repeats_ids(columns[n], ids))
    if copies:
        log(f"not released, because they contain the ids of the records: {', '.join(copies)}")
        kept, dropped = [n for n in kept if n not in copies], (*dropped, *copies)
        columns = columns.drop_columns(list(copies))
    return Working(file, note, policy, tuple(kept), dropped, columns, ids)


def tell(links: Path, report: Report | None, log: Callable[[str], None]) -> None:
    """What the owner must know of a release that was made."""
    if report is None:
        log("not audited: nobody has tried to read these records; the manifest says so")
    elif report.passed is False or report.verdict.level in ("leaks", "broken"):
        log(f"released DESPITE what the audit found: {report.verdict.title}; the manifest says so too")
    elif report.verdict.level == "unclear":
        log(f"the audit left open what can be read of these records: {report.verdict.title}")
    elif report.verdict.adds_up:
        log(f"the audit says: {report.verdict.title}. Release nothing that shows which records belong together")
    if report is not None and report.made.get("budget") == "quick":
        tried = ", ".join(map(str, report.made.get("families", ())))
        log(
            f"the audit was a quick one ({tried} only), which is for trying out: audit with --budget standard before records leave"
        )
    log(f"{links}: which pseudonym is which id; it stays with you")


def _check_columns(file: TableFile, policy: dict[str, list[str]]) -> None:
    beside = [n for n in policy.get("suppress", []) if n in file.other]
    if beside:
        raise SordineError(
            f"{file.path}: the suppressed column {beside[0]!r} stands beside the records; it is not released"
        )


def _check_report(report: Report | None, transformed: Path, force_leaky: bool) -> None:
    if report is None:
        return
    made_for = report.made.get("released_sha256")
    if made_for is not None and made_for != sha256(transformed):
        raise SordineError(f"the report is of other records than {transformed}: audit these first")
    if report.verdict.level in ("leaks", "broken") and not force_leaky:
        raise SordineError(
            f"the audit says {report.verdict.level!r}: {report.verdict.title}; --despite-findings releases it"
        )
    if report.passed is False and not force_leaky:
        raise SordineError(
            f"the audit found more than its limit of {100 * (report.max_leakage or 0.0):g} %: {report.verdict.title}; "
            "--despite-findings releases it"
        )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Without dictionaries, which would carry the values of records that are not there."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _read_columns(file: TableFile, names: list[str]) -> pa.Table:
    if not names:
        return pa.table({})
    schema = pa.schema([pa.field(n, _plain_type(file.schema.field(n).type)) for n in names])
    parts = [pa.Table.from_batches([block]).cast(schema) for block in file.blocks(names)]
    return pa.concat_tables(parts).combine_chunks()


def _repeats_ids(column: pa.ChunkedArray, ids: np.ndarray) -> bool:
    """Whether over half of a column's values give away the id of their own record: see `_forms`."""
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        return False
    found = sum(
        value is not None and bool(_forms(str(value)) & _forms(str(own)))
        for value, own in zip(column.to_pylist(), ids, strict=True)
    )
    return 2 * found > len(ids)


def _forms(name: str) -> set[str]:
    """An id or a file name as it stands, without its folder, and without folder and suffix."""
    path = PurePosixPath(name.replace("\\", "/"))
    return {name, path.name, path.stem} - {""}


def spill(file: TableFile, spilled: IO[bytes], ids: np.ndarray, check: bool) -> None:
    """Write the records as one plain array, in the order of the table: any row is then one read away."""
    first = 0
    for block in file.blocks(file.features):
        x = file.x(block, first)
        if check:
            check_finite(x, ids[first : first + len(x)], str(file.path))
        spilled.write(np.ascontiguousarray(x, dtype=file.dtype).data)
        first += len(x)
    spilled.flush()


def rows_in_order(spilled: IO[bytes], file: TableFile, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What was spilled, in another order, in blocks: places in the table (b,), and their records (b, *shape)."""
    width = file.dtype.itemsize * int(np.prod(file.shape))
    handle, size = spilled.fileno(), rows_at_once(file.shape)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        x = np.empty((len(rows), *file.shape), file.dtype)
        flat = x.reshape(len(rows), -1)
        for i in np.argsort(rows):  # along the file, not back and forth
            flat[i] = np.frombuffer(os.pread(handle, width, int(rows[i]) * width), file.dtype)
        yield rows, x


def _in_order(
    spilled: IO[bytes], file: TableFile, beside: pa.Table, schema: pa.Schema, pseudonyms: list[str], order: np.ndarray
) -> Iterator[pa.RecordBatch]:
    for rows, x in rows_in_order(spilled, file, order):
        names = pa.array([pseudonyms[r] for r in rows], pa.string())
        columns = [beside[n].take(pa.array(rows)).combine_chunks() for n in beside.schema.names]
        yield pa.record_batch([names, *columns, feature_array(x)], schema=schema)


def write_links(path: Path, **columns: list[str]) -> None:
    """The link table: columns of strings of one length, readable by its owner alone."""
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        pq.write_table(table, file)


def seal(path: Path) -> dict[str, Any]:
    """What a manifest says of one file: its SHA-256 and its size in bytes."""
    return {"sha256": sha256(path), "bytes": path.stat().st_size}


def write_manifest(folder: Path, written: dict[str, Any], found: Working, report: Report | None) -> dict[str, Any]:
    """What the receiver may know: contents and hashes, the method, what the audit found. No key, no id of a record, no path, no date.

    written: `files` (name -> `seal`), `rows`, `columns` (name -> type in words), and what else is to be said of them.
    """
    manifest = {
        "schema": SCHEMA,
        **written,
        "method": found.note.get("method"),
        "policy": found.policy,
        "audit": "not audited" if report is None else _audit(report),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def type_in_words(kind: pa.DataType, shape: tuple[int, ...]) -> str:
    """An Arrow type for people; shape: of one record, where the type is that of x."""
    if isinstance(kind, pa.FixedShapeTensorType) or pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type.to_pandas_dtype().__name__} [{' x '.join(map(str, shape))}]"
    return str(kind)


def _without_ids(sentence: str, report: Report) -> str:
    """A sentence of the verdict as it may leave. Reports of earlier versions name a record in a flaw's message."""
    old = any(f.message == sentence and f.example is None and f.code in _NAMED_RECORDS for f in report.flaws)
    return re.sub(r" \((?:the first: |such as ).*\)", "", sentence, flags=re.DOTALL) if old else sentence


def _audit(report: Report) -> dict[str, Any]:
    return {
        "verdict": {
            "level": report.verdict.level,
            "title": report.verdict.title,
            "sentences": [_without_ids(s, report) for s in report.verdict.sentences],
        },
        "max_leakage": report.max_leakage,
        "passed": report.passed,
        **{name: report.made[name] for name in ("budget", "families", "settings") if name in report.made},
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
