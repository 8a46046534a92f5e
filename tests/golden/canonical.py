"""Reports and cards without what may change: sentences, times, versions; floats rounded; and where two differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

DIGITS = 6
# Names, codes and settings have no blank in them; sentences have.
CODE = re.compile(r"[^\s]*")
VOLATILE = frozenset(
    {
        "seconds",
        "versions",
        "provenance",
        "weights",
        "original_sha256",
        "released_sha256",
        "notes",
        "source",
        "sentences",
        "sentence",
    }
)
# What follows from numbers by a judgement: a repair of the verdict may change it, and no method's bits.
STATES = frozenset({"verdict", "passed", "at_chance", "uneven", "flaws", "proved", "schema"})

# Added after the values were recorded: left out where there is nothing to state, and a difference otherwise.
LATER = frozenset({"independent", "units"})


def rounded(value: float) -> float:
    """To 6 digits after the point; never minus 0."""
    return round(value, DIGITS) + 0.0


def numbers(value: Any, *, volatile: bool = False) -> Any:
    """JSON without sentences, its floats rounded. volatile: also without the members named in VOLATILE and STATES."""
    left_out = VOLATILE | STATES if volatile else frozenset()
    if isinstance(value, dict):
        stated = {k: v for k, v in value.items() if v is not None or k not in LATER}
        kept = {k: v for k, v in stated.items() if k not in left_out and not _is_prose(v)}
        return {k: numbers(v, volatile=volatile) for k, v in sorted(kept.items())}
    if isinstance(value, list):
        return [numbers(v, volatile=volatile) for v in value if not _is_prose(v)]
    return rounded(value) if isinstance(value, float) else value


def states(report: dict[str, Any]) -> dict[str, Any]:
    """The judgements of a report: level, codes of flaws, and the states of each attribute."""
    verdict = report["verdict"]
    return {
        "level": verdict.get("level"),
        "adds_up": verdict.get("adds_up"),
        "passed": report.get("passed"),
        "flaws": sorted(f"{f['severity']} {f['code']} {f.get('attribute') or ''}".strip() for f in report["flaws"]),
        "attributes": {h["attribute"]: {k: h.get(k) for k in ("at_chance", "uneven")} for h in report["headlines"]},
    }


def differences(recorded: Any, found: Any, where: str = "") -> Iterator[str]:
    """A line for each place where two JSON values differ."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for key in sorted({*recorded, *found}):
            place = f"{where}/{key}"
            if key not in found:
                yield f"{place}: recorded, and missing now"
            elif key not in recorded:
                yield f"{place}: not recorded, and there now"
            else:
                yield from differences(recorded[key], found[key], place)
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for i, (one, other) in enumerate(zip(recorded, found, strict=True)):
            yield from differences(one, other, f"{where}/{i}")
    elif type(recorded) is not type(found) or recorded != found:
        yield f"{where}: {recorded!r} recorded, {found!r} now"


def _is_prose(value: Any) -> bool:
    return isinstance(value, str) and not CODE.fullmatch(value)
