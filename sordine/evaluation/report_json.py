"""Reports in files: a Report as JSON text and back, and the JSON Schema of that text.

`python -m sordine.evaluation.report_json` prints the schema.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sordine.errors import SordineError
from sordine.evaluation.report import SCHEMA, Report

_REPORT = TypeAdapter(Report)


def to_json(report: Report) -> str:
    """The report as JSON text: one line for each part, and for each member of a part that is a list of objects.

    NaN and infinity become null. Raises ValueError, naming the field, where one stands in a field that needs a number:
    such a text could not be read back.
    """
    text = "{\n" + ",\n".join(f"{_text(name)}: {_member(value)}" for name, value in _plain(report).items()) + "\n}\n"
    try:
        _REPORT.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"the report cannot be written: {_place(first['loc'])}: {first['msg']}") from None
    return text


def from_json(text: str | bytes) -> Report:
    """Read what `to_json` wrote. Raises SordineError, in one line, for anything else or for another schema."""
    try:
        raw = json.loads(text)
    except ValueError:
        raise SordineError("the report is not JSON, or was cut short") from None
    if not isinstance(raw, dict) or "schema" not in raw or "verdict" not in raw:
        raise SordineError("this JSON is not a report of sordine audit")
    if raw["schema"] != SCHEMA:
        raise SordineError(
            f"the report was written in schema {raw['schema']!r}; this version of Sordine reads schema {SCHEMA}"
        )
    try:
        return _REPORT.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].splitlines()[0]
        raise SordineError(f"the report is damaged: {_place(first['loc'])}: {message}") from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `to_json`'s text; docs/report.schema.json."""
    schema = _REPORT.json_schema()
    schema["properties"]["schema"] = {"const": SCHEMA, "default": SCHEMA, "title": "Schema", "type": "integer"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sordine audit report", **schema}


def schema_text() -> str:
    """What docs/report.schema.json holds."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def digest(report: Report) -> str:
    """SHA-256, in hexadecimal, of `to_json`'s text: the same as that of the file it is written to."""
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
