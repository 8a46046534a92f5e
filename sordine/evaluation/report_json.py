"""Reports on disk: a Report as JSON text and back, the JSON Schema of that text, and the files of a report.

`python -m sordine.evaluation.report_json > docs/report.schema.json` writes the schema.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from pydantic import TypeAdapter, ValidationError

from sordine.data.files import atomic_together, refuse_existing
from sordine.data.hostile import JSON_BYTES, parse_json, read_limited
from sordine.errors import SordineError
from sordine.evaluation.page.page import to_html
from sordine.evaluation.page.pdf import to_pdf
from sordine.evaluation.report import SCHEMA, Report
from sordine.evaluation.sections.registry import SECTIONS

_REPORT = TypeAdapter(Report)


def to_json(report: Report) -> str:
    """Return the report as JSON text: one line for each part, and for each member of a part that is a list of objects.

    NaN and infinity become null. The part `sections` is left out where it is empty.

    Raises
    ------
    ValueError
        If a field that needs a number holds NaN or infinity: such a text could not be read back.
    """
    parts = _plain(report)
    if not parts["sections"]:
        del parts["sections"]
    text = "{\n" + ",\n".join(f"{_text(name)}: {_member(value)}" for name, value in parts.items()) + "\n}\n"
    try:
        _REPORT.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"the report cannot be written: {_place(first['loc'])}: {first['msg']}") from None
    return text


def from_json(text: str | bytes) -> Report:
    """Return the report that `to_json` wrote. Findings of sections that are not registered stay plain data.

    Raises
    ------
    SordineError
        In one line, for anything else and for another schema.
    """
    try:
        raw = parse_json(text, parse_constant=_not_finite, parse_float=_finite)
    except ValueError:
        raise SordineError("this is not JSON, or the file is incomplete; run `sordine audit` again") from None
    if not isinstance(raw, dict) or "schema" not in raw or "verdict" not in raw:
        raise SordineError("this JSON is not a report; give the file that `sordine audit --json` wrote")
    if raw["schema"] != SCHEMA:
        raise SordineError(
            f"the report has schema {raw['schema']!r}, but this version of Sordine needs schema {SCHEMA}; run "
            "`sordine audit` again"
        )
    try:
        report = _REPORT.validate_python(raw)
        return replace(report, sections={name: _section(name, found) for name, found in report.sections.items()})
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].splitlines()[0]
        raise SordineError(f"the report is damaged: {_place(first['loc'])}: {message}") from None


def _not_finite(number: str) -> float:
    raise ValueError(f"{number} is not a finite number")


def _finite(number: str) -> float:
    return found if math.isfinite(found := float(number)) else _not_finite(number)


def _section(name: str, found: Any) -> Any:
    """The finding of an external section: in its own type where the section is registered."""
    kind = SECTIONS[name].finding if name in SECTIONS else None
    return found if kind is None or found is None else TypeAdapter(kind).validate_python(found)


def write_report(
    report: Report,
    html: str | Path | None = None,
    json: str | Path | None = None,
    *,
    pdf: str | Path | None = None,
    force: bool = False,
) -> None:
    """Write the page, the JSON file and the PDF, where a path is given. If one fails, none is written.

    Raises
    ------
    SordineError
        If a file exists and `force` is False, or cannot be written; and for a PDF, if WeasyPrint is missing.
    """
    makers: tuple[tuple[str | Path | None, Callable[[Report], bytes]], ...] = (
        (html, lambda r: to_html(r).encode()),
        (json, lambda r: to_json(r).encode()),
        (pdf, lambda r: to_pdf(to_html(r))),
    )
    wanted = [(Path(path), make) for path, make in makers if path is not None]
    for path, _ in wanted:
        refuse_existing(path, force)
    with atomic_together(*(path for path, _ in wanted), force=force) as temporary:
        for path, (_, make) in zip(temporary, wanted, strict=True):
            path.write_bytes(make(report))


def read_report(path: str | Path) -> Report:
    """Read a report's JSON file.

    Raises
    ------
    SordineError
        If the file is missing or is not a report; the message names the file.
    """
    try:
        return from_json(read_limited(Path(path), JSON_BYTES))
    except ValueError as error:
        raise SordineError(f"{path}: this is not a report: {error}") from None
    except OSError as error:
        raise SordineError(f"{path}: the report cannot be opened: {error.strerror or error}") from None
    except SordineError as error:
        raise SordineError(f"{path}: {error}") from None


@contextlib.contextmanager
def values_of(*paths: Path) -> Iterator[None]:
    """Turn what goes wrong with the values of a report from elsewhere into one line.

    Raises
    ------
    SordineError
        Where the block cannot use a value that is of the right type.
    """
    try:
        yield
    except (
        ArithmeticError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        TemplateError,
    ) as error:
        names, message = ", ".join(map(str, paths)), " ".join(str(error).split())[:120]
        raise SordineError(
            f"{names}: a value in the report cannot be used: {type(error).__name__}: {message}"
        ) from error


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `to_json`'s text: docs/report.schema.json."""
    schema = _REPORT.json_schema()
    schema["properties"]["schema"] = {"const": SCHEMA, "default": SCHEMA, "title": "Schema", "type": "integer"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sordine audit report", **schema}


def schema_text() -> str:
    """Return the text of docs/report.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def digest(report: Report) -> str:
    """Return the SHA-256, in hexadecimal, of `to_json`'s text without its date: equal audits have equal ones."""
    of = report.made.get("provenance")
    if isinstance(of, dict):
        undated = {name: value for name, value in of.items() if name != "date"}
        report = replace(report, made={**report.made, "provenance": undated})
    return hashlib.sha256(to_json(report).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if hasattr(value, "tolist"):  # an array, or one of its numbers
        return _plain(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _member(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        return "[\n  " + ",\n  ".join(_text(v) for v in value) + "\n]"
    return _text(value)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


if __name__ == "__main__":
    print(schema_text(), end="")
