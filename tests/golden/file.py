"""The file of golden values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden.json")


def read() -> dict[str, Any]:
    """The recorded values."""
    values: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return values


def write(values: dict[str, Any]) -> None:
    """Record these values."""
    GOLDEN.write_text(_text(values) + "\n", encoding="utf-8")


def plain(values: Any) -> Any:
    """As it is read back."""
    return json.loads(json.dumps(values))


def _text(value: Any, depth: int = 0) -> str:
    # What fits on a line stands on one: differences stay readable and the file short.
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + 2 * depth <= 110 or not isinstance(value, dict | list):
        return flat
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{json.dumps(k, ensure_ascii=False)}: {_text(v, depth + 1)}" for k, v in value.items()]
    else:
        parts = [_text(v, depth + 1) for v in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{pad}" + f",\n{pad}".join(parts) + f"\n{'  ' * depth}{last}"
