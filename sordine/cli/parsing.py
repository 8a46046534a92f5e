"""Turn the text of options into values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sordine.errors import SordineError, nearest
from sordine.policy import ALL_OTHERS, Policy

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget
    from sordine.models.modifier import Modifier


def names(values: Sequence[str] | None, table: Path | None = None) -> tuple[str, ...]:
    """Return the names given as `-s a -s b` or as `-s a,b`.

    Parameters
    ----------
    values
        What was given. `none` and the empty string stand for no name.
    table
        A table whose column names may contain commas, or blanks at their ends; each such column is one name.
    """
    odd = any("," in value or value != value.strip() for value in values or ())
    known = columns(table) if odd and table is not None else ()
    parts = ([value] if value in known else value.split(",") for value in values or ())
    found = tuple(n if n in known else n.strip() for part in parts for n in part if n.strip())
    return () if found == ("none",) else found


def columns(table: Path) -> tuple[str, ...]:
    """Return the names of a table's columns; none if it cannot be opened, which a later check reports."""
    from sordine.data.reading.columns import plain
    from sordine.data.reading.files import open_file
    from sordine.data.reading.options import current

    try:
        return tuple(plain(open_file(table, current(), 0), current()).schema.names)
    except SordineError:
        return ()


def integers(values: Sequence[str] | None, option: str) -> tuple[int, ...]:
    """Return whole numbers, given as names are."""
    try:
        return tuple(int(n) for n in names(values))
    except ValueError:
        raise SordineError(f"{option} needs whole numbers, not {' '.join(values or ())!r}") from None


def shares(values: Sequence[str] | None, option: str) -> tuple[float, ...] | None:
    """Return shares, given as names are; None where nothing was given, and an empty tuple for `none`."""
    if values is None:
        return None
    try:
        return tuple(float(n) for n in names(values))
    except ValueError:
        raise SordineError(f"{option} needs shares such as 0.5,0.9, or none, not {' '.join(values)!r}") from None


def assignments(values: Sequence[str] | None, option: str = "--option") -> dict[str, str]:
    """Return NAME=VALUE, repeated, as a mapping. A `-` in a name counts as `_`.

    Raises
    ------
    SordineError
        For a value without a name or `=`, and for a name given twice.
    """
    found: dict[str, str] = {}
    for value in values or ():
        name, equals, given = value.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise SordineError(f"{option} needs NAME=VALUE, not {value!r}")
        if name in found:
            raise SordineError(f"{option} {name} is given twice")
        found[name] = given.strip()
    return found


def policy(
    suppress: Sequence[str] | None,
    preserve: Sequence[str] | None,
    watch: Sequence[str] | None,
    table: Path | None = None,
) -> Policy:
    """Return the policy of -s, -p and -w. Without -w all other attributes are watched.

    `table` is the table whose columns are named, as in `names`.
    """
    return Policy(names(suppress, table), names(preserve, table), ALL_OTHERS if watch is None else names(watch, table))


def policy_to_audit(asked: Policy, modifier: Modifier | None, note: Mapping[str, Any]) -> Policy:
    """Return the policy to audit: the one asked for, else the modifier's, else that in the transformed file's note.

    Raises
    ------
    SordineError
        If none of them names an attribute.
    """
    if asked.suppress or asked.preserve:
        return asked
    written = modifier.card.policy if modifier is not None else note.get("policy")
    if not written:
        raise SordineError("no attribute to audit: give what was suppressed with -s (preserved: -p), or --modifier")
    suppress, preserve = (tuple(written.get(role, ())) for role in ("suppress", "preserve"))
    return Policy(suppress, preserve, asked.watch)


def watched(modifier: Modifier | None, note: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the watched attributes of the fit: of the modifier, else of the transformed file's note."""
    written = (modifier.card.policy if modifier is not None else note.get("policy")) or {}
    return tuple(written.get("watch", ()))


def with_watched(policy: Policy, known: Sequence[str], modifier: Modifier | None, note: Mapping[str, Any]) -> Policy:
    """Return the policy with the watched attributes of the fit, unless -w was given or none of those is `known`."""
    named = (*policy.suppress, *policy.preserve)
    of_fit = tuple(a for a in watched(modifier, note) if a in known and a not in named)
    if policy.watch != ALL_OTHERS or not of_fit:
        return policy
    return Policy(policy.suppress, policy.preserve, of_fit)


def leakage_limits(given: str, suppress: Sequence[str]) -> dict[str, float]:
    """Return the limits (NAG, between 0 and 1) by suppressed attribute.

    Parameters
    ----------
    given
        `0.05` for all suppressed attributes, or one limit for each: `speaker=0.05,gender=0.1`.
    suppress
        The suppressed attributes.

    Raises
    ------
    SordineError
        For a limit out of range, and for attributes that are missing, unknown or given twice.
    """
    if not suppress:
        raise SordineError("--max-leakage limits suppressed attributes; name them with -s")
    if "=" not in given:
        return dict.fromkeys(suppress, _limit(given))
    found: dict[str, float] = {}
    for part in given.split(","):
        name, equals, value = part.rpartition("=")  # a name may contain "="
        name, value = (name, value) if equals else (part, "")
        name = name if name in suppress else name.strip()
        if name not in suppress:
            raise SordineError(f"--max-leakage: {name!r} is not suppressed; {nearest(name, suppress)}")
        if name in found:
            raise SordineError(f"--max-leakage: {name!r} is given twice")
        found[name] = _limit(value)
    missing = [name for name in suppress if name not in found]
    if missing:
        raise SordineError(f"--max-leakage gives no limit for the suppressed attribute {missing[0]!r}")
    return {name: found[name] for name in suppress}


def _limit(value: str) -> float:
    try:
        limit = float(value)
    except ValueError:
        limit = math.nan
    if not 0 < limit < 1:
        raise SordineError(f"--max-leakage needs a number between 0 and 1, not {value.strip()!r}")
    return limit


def budget(name: str, attacks: Sequence[str] = ()) -> Budget:
    """Return an audit's budget by name, with other attacks where some are named."""
    from sordine.attacks.budget import Budget

    return Budget.named(name, **({"families": tuple(attacks)} if attacks else {}))


def values_along(given: str) -> tuple[str, tuple[str, ...]]:
    """Return `--along NAME=V1,V2,...` as an option and its values."""
    name, equals, values = given.partition("=")
    found = tuple(v.strip() for v in values.split(",") if v.strip())
    if not equals or not name.strip() or not found:
        raise SordineError(f"--along needs NAME=VALUE,VALUE,..., not {given!r}")
    return name.strip().replace("-", "_"), found


def options_by_method(options: Mapping[str, Any], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return for each method the options that it has.

    Raises
    ------
    SordineError
        For an unknown method, and for an option that none of the methods has.
    """
    from sordine.methods.registry import METHODS

    made: dict[str, dict[str, Any]] = {}
    known: dict[str, None] = {}
    for method in methods:
        if method not in METHODS:
            raise SordineError(f"unknown method {method!r}; {nearest(method, METHODS)}")
        of_method = dict.fromkeys(METHODS.options(method))
        known |= of_method
        made[method] = {name: value for name, value in options.items() if name in of_method}
    for name in options:
        if name not in known:
            raise SordineError(f"unknown option {name!r} of {', '.join(methods)}; {nearest(name, known)}")
    return made
