"""Reports side by side: leakage against utility, a curve a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sordine.errors import SordineError, nearest
from sordine.evaluation.report import Comparison, Curve, Headline, Point, Report, Sheet
from sordine.metrics.utility import NEIGHBOURS, UtilityFinding

# What of an audit (`made`) moves its figures whatever the release, in words. Counts of records count as alike where
# they are about as many.
HOW = {
    "families": "attacks",
    "settings": "scenarios",
    "folds": "folds",
    "seeds": "seeds",
    "pictures": "networks for pictures",
    "fitted": "fitted records",
    "unseen": "unseen records",
    "held_by_attackers": "records of the attackers' own",
}
# Utility that needs no attribute: its names in `--utility`, and in words.
GEOMETRY = {
    "neighbours": f"neighbours kept (k = {NEIGHBOURS})",
    "recall": f"recall@{NEIGHBOURS}",
    "cka": "linear CKA",
    "explained": "explained variance",
}
COUNTS, ABOUT = ("fitted", "unseen", "held_by_attackers"), 1.1
ORDERLESS = ("families", "settings", "seeds")


def compare(
    reports: Sequence[tuple[str, Report]],
    attribute: str | None = None,
    utility: str | None = None,
    *,
    watched: bool = False,
    leaks: Sequence[str] = (),
) -> Comparison:
    """Return reports side by side, as curves.

    Options of one method that are numbers and differ vary along its curve; other options that differ make separate
    curves. A report without a method (another tool's folder) is a curve of its own. Where the audits differ
    (`Comparison.differ`), no point is marked as undominated.

    Parameters
    ----------
    reports
        Reports, each with its name.
    attribute
        Attribute whose leakage is compared. None: the first that all reports suppress.
    utility
        Attribute whose utility is compared, or a name in `GEOMETRY`. None: the mean over the attributes that all
        reports preserve. Where there are none, the neighbours that are kept.
    watched
        Whether the mean may be over watched attributes where none is preserved. A note states it.
    leaks
        Watched attributes that a suppressed attribute determines, which are no utility.

    Raises
    ------
    SordineError
        If the reports have no such attribute in common, or none has both leakage and utility.
    """
    heads = [{h.attribute: h for h in report.headlines} for _, report in reports]
    secret, others = _secret(reports, heads, attribute)
    useful, incomplete = _useful(reports, heads, secret, utility, watched, leaks)
    notes = _limitations(reports, heads, secret, utility is not None)
    attributes = [a for a in useful if a not in GEOMETRY.values()]
    weak = _weak(reports, heads, [*attributes, *incomplete])
    notes += weak
    if not attributes:
        notes.append(f"The utility is a figure that needs no attribute: {useful[0]}.")
    elif watched and utility is None and all(found[a].role == "watch" for found in heads for a in useful):
        notes.append(
            "No attribute is preserved: the utility is the mean over watched attributes, which no method uses."
        )
    if others:
        notes.append(f"All reports also suppress {_names(others)}; choose one with --attribute.")
    if incomplete:
        notes.append(f"Left out of the utility, because a report does not have it: {_names(incomplete)}.")
    points = [_point(name, report, found, secret, useful) for (name, report), found in zip(reports, heads, strict=True)]
    if not any(_placed(p) for p in points):
        raise _nothing_to_compare(secret, weak)
    lost = [p.name for p in points if not _placed(p)]
    if lost:
        notes.append(f"In the table only, because leakage or utility is unknown: {', '.join(lost)}.")
    differ = _audit_differences(reports)
    points = [replace(p, front=not differ and _undominated(p, points)) for p in points]
    return Comparison(secret, useful, _curves(reports, points), tuple(notes), differ=differ)


def _nothing_to_compare(secret: str, weak: Sequence[str]) -> SordineError:
    why = "".join(f" ({note.rstrip('.').replace('`', chr(39))})" for note in weak)
    return SordineError(
        f"no report has both the leakage of {secret!r} and a utility, so there is nothing to compare{why}"
    )


def _secret(
    reports: Sequence[tuple[str, Report]], heads: Sequence[dict[str, Headline]], named: str | None
) -> tuple[str, list[str]]:
    """The attribute whose leakage is compared, and the others that could have been."""
    common = [a for a in heads[0] if all(a in found for found in heads)]
    if named is not None:
        if named not in common:
            where = [name for (name, _), found in zip(reports, heads, strict=True) if named not in found]
            raise SordineError(
                f"{where[0]}: there is no attack on {named!r}; all reports have: {', '.join(common) or 'none'}"
            )
        if any(found[named].role == "preserve" for found in heads):
            name = next(n for (n, _), found in zip(reports, heads, strict=True) if found[named].role == "preserve")
            raise SordineError(
                f"{name}: {named!r} is preserved in this report, so it cannot be the leakage; use --utility {named}"
            )
        return named, []
    suppressed = [a for a in common if all(found[a].role == "suppress" for found in heads)]
    if not suppressed:
        watched = [a for a in common if all(found[a].role != "preserve" for found in heads)]
        raise SordineError(
            "no attribute is suppressed in all reports; name one that is suppressed or watched with --attribute"
            f" (in all of them: {', '.join(watched) or 'none'})"
        )
    return suppressed[0], suppressed[1:]


def _useful(
    reports: Sequence[tuple[str, Report]],
    heads: Sequence[dict[str, Headline]],
    secret: str,
    named: str | None,
    watched: bool,
    decided: Sequence[str] = (),
) -> tuple[tuple[str, ...], list[str]]:
    """The attributes that the utility is the mean of, and those whose utility a report lacks."""
    common = [a for a in heads[0] if a != secret and all(a in found for found in heads)]
    if named in GEOMETRY and named not in common:
        return (_measured(reports, GEOMETRY[named]),), []
    if named is not None:
        if named == secret:
            raise SordineError(f"--utility {named}: this attribute's leakage is compared; choose another one")
        if named not in common:
            where = [name for (name, _), found in zip(reports, heads, strict=True) if named not in found]
            raise SordineError(f"{where[0]}: there is no attack on {named!r}; {nearest(named, common)}")
        return (named,), []
    preserved = [a for a in common if all(found[a].role == "preserve" for found in heads)]
    if not preserved and watched:
        # What a suppressed attribute decides is leakage under another name.
        leaks = set(decided).union(*(r.decided for _, r in reports))
        observed = [a for a in common if all(found[a].role == "watch" for found in heads)]
        preserved = [a for a in observed if a not in leaks] or observed
    if not preserved and all(map(geometry, (report for _, report in reports))):
        return (GEOMETRY["neighbours"],), []
    if not preserved:
        raise SordineError(
            f"no attribute is preserved in all reports; name one with --utility (in all of them: "
            f"{', '.join(common) or 'none'})"
        )
    # A mean over other attributes in each report would compare nothing.
    complete = [a for a in preserved if all(_has_utility(found[a]) for found in heads)]
    return tuple(complete or preserved), [a for a in preserved if complete and a not in complete]


def _measured(reports: Sequence[tuple[str, Report]], measure: str) -> str:
    # The measure, where every report has it.
    for name, report in reports:
        if measure not in geometry(report):
            raise SordineError(f"{name}: this report has no {measure}; audit again with the budget standard")
    return measure


def geometry(report: Report) -> dict[str, tuple[float, float, float]]:
    """Return the utility that needs no attribute, by its words in `GEOMETRY`: the figure and its interval."""
    found = report.sections.get("utility") or ()
    return {
        GEOMETRY[f.measure]: (f.value, f.low, f.high)
        for f in found
        if isinstance(f, UtilityFinding) and f.measure in GEOMETRY and f.k in (0, NEIGHBOURS)
    }


def _has_utility(h: Headline) -> bool:
    # Where accuracy is higher than on originals, NAG is no share.
    return h.nag is not None and not h.overtaken


def _weak(
    reports: Sequence[tuple[str, Report]], heads: Sequence[dict[str, Headline]], useful: Sequence[str]
) -> list[str]:
    # A sentence on attributes whose accuracy is surely higher than on originals; none where there are none.
    where = {a: [name for (name, _), found in zip(reports, heads, strict=True) if found[a].overtaken] for a in useful}
    each = "; ".join(f"`{a}` in {_first(names)}" for a, names in where.items() if names)
    return (
        [f"Accuracy is higher than on originals, so these attacks are too weak to measure utility: {each}."]
        if each
        else []
    )


def _limitations(
    reports: Sequence[tuple[str, Report]], heads: Sequence[dict[str, Headline]], secret: str, named: bool
) -> list[str]:
    """What makes these reports less comparable than they look."""
    notes = []

    def distinct(values: Sequence[Any]) -> list[str]:
        return list(dict.fromkeys(_words(v) for v in values))

    sources = distinct([report.table.get("source", "a table without a name") for _, report in reports])
    if len(sources) > 1:
        notes.append(f"These reports are of different tables: {', '.join(sources)}.")
    blind = [name for name, report in reports if report.made.get("no_attacker_for_pictures")]
    if blind:
        notes.append(
            f"The records are pictures, and no attack in {_first(blind)} is made for pictures: such an attack may "
            "infer more, before and after the release."
        )
    roles = {found[secret].role for found in heads}
    if "watch" in roles:
        all_of = "" if roles == {"watch"} else " in some of them"
        notes.append(
            f"`{secret}` is watched{all_of}, not suppressed: its figure is that of the best attack in one scenario. "
            "The figure of a suppressed attribute is that of the worst scenario."
        )
    if not named and len({tuple(r.policy.get("preserve", ())) for _, r in reports}) > 1:
        notes.append("The reports do not preserve the same attributes; the utility is over those that they share.")
    return notes


def _audit_differences(reports: Sequence[tuple[str, Report]]) -> tuple[str, ...]:
    """How the audits differ, one sentence each. A fact that a report lacks is no difference."""
    sentences = []
    for key, what in HOW.items():
        known = [(name, _audit_fact(r, key)) for name, r in reports]
        groups: dict[str, list[str]] = {}
        for name, value in known:
            if value is not None:
                groups.setdefault(_words(value) or "none", []).append(name)
        if len(groups) < 2:
            continue
        if key in COUNTS:
            counts = [float(value) for _, value in known if value is not None]
            if max(counts) <= ABOUT * min(counts):
                continue
        each = "; ".join(f"{value} ({_first(names)})" for value, names in groups.items())
        sentences.append(f"Other {what}: {each}.")
    return tuple(sentences)


def _audit_fact(report: Report, key: str) -> Any:
    # None where the report lacks the fact.
    value = report.made.get(key)
    return sorted(value, key=str) if key in ORDERLESS and isinstance(value, list | tuple) else value


def _first(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _point(name: str, report: Report, heads: dict[str, Headline], secret: str, useful: Sequence[str]) -> Point:
    h, shape = heads[secret], geometry(report)
    named = [heads[a] for a in useful if a in heads and _has_utility(heads[a])]
    known = {u.attribute: (u.nag, u.low, u.high) for u in named}
    known |= {a: shape[a] for a in useful if a not in heads and a in shape}
    whole = list(known.values()) if len(known) == len(useful) else []
    first = report.sheets[0] if report.sheets else None
    return Point(
        name=name,
        leakage=h.nag,
        leakage_low=h.low,
        leakage_high=h.high,
        utility=_mean([value for value, _, _ in whole]),
        # Means of the ends: as if all erred to the same side, so no narrower than the interval of the mean.
        utility_low=_mean([low for _, low, _ in whole]),
        utility_high=_mean([high for _, _, high in whole]),
        utilities={a: value for a, (value, _, _) in known.items() if value is not None},
        settings=_flat((report.modifier or {}).get("fields") or {}),
        role=h.role,
        before=h.before,
        after=h.after,
        guess=h.guess,
        attacker=h.attacker_after,
        setting=h.setting,
        records=h.records,
        level=report.verdict.level,
        distortion=report.distortion,
        geometry=shape,
        sheet=None if first is None else replace(first, rows=first.rows[:1], captions=first.captions[:1]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _flat(fields: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def _placed(point: Point) -> bool:
    return point.leakage is not None and point.utility is not None


def _undominated(point: Point, points: Sequence[Point]) -> bool:
    """Whether no other point leaks at most as much and is at least as useful, one of them strictly."""
    if point.leakage is None or point.utility is None:
        return False
    x, y = max(point.leakage, 0.0), max(point.utility, 0.0)
    for other in points:
        if other.leakage is not None and other.utility is not None:
            a, b = max(other.leakage, 0.0), max(other.utility, 0.0)
            if a <= x and b >= y and (a < x or b > y):
                return False
    return True


def _curves(reports: Sequence[tuple[str, Report]], points: Sequence[Point]) -> tuple[Curve, ...]:
    methods: dict[str, list[Point]] = {}
    alone = []
    for (_, report), point in zip(reports, points, strict=True):
        method = (report.modifier or {}).get("method")
        if method is None:
            # An anonymiser's folder or table is known by its name; nothing is known to vary between two of them.
            alone.append(Curve(str(report.made.get("transformed") or point.name), (), (replace(point, settings={}),)))
        else:
            methods.setdefault(str(method), []).append(point)
    curves = [curve for method, own in methods.items() for curve in _of_method(method, own)]
    return (*curves, *alone)


def _of_method(method: str, points: Sequence[Point]) -> list[Curve]:
    names = dict.fromkeys(name for p in points for name in p.settings)
    values = {name: [p.settings.get(name) for p in points] for name in names}
    varying = {name: some for name, some in values.items() if len({repr(v) for v in some}) > 1}
    numeric = tuple(name for name, some in varying.items() if _numeric(some))
    kinds = [name for name in varying if name not in numeric]
    groups: dict[tuple[str, ...], list[Point]] = {}
    for p in points:
        groups.setdefault(tuple(_words(p.settings.get(name)) for name in kinds), []).append(p)
    made = []
    for kind, own in groups.items():
        title = ", ".join([method, *(f"{name} {value}" for name, value in zip(kinds, kind, strict=True))])
        along = tuple(name for name in numeric if len({p.settings.get(name) for p in own}) > 1)
        rank = sorted(own, key=lambda p: [_order(p.settings.get(name)) for name in along])
        ordered = [replace(p, settings={n: p.settings.get(n) for n in (*kinds, *numeric)}) for p in rank]
        made.append(Curve(title, along, tuple(ordered)))
    return made


def _numeric(values: Sequence[Any]) -> bool:
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    return any(numbers) and all(n or v is None for n, v in zip(numbers, values, strict=True))


def _order(value: Any) -> float:
    return float("-inf") if value is None else float(value)


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def settings(curve: Curve, point: Point) -> str:
    """The values that distinguish a point from the others of its curve, in words; its name where nothing varies."""
    if not curve.varies:
        return point.name
    return ", ".join(f"{name} {_words(point.settings.get(name))}" for name in curve.varies)


def short(curve: Curve, point: Point) -> str:
    """The label beside a point: the values alone."""
    return ", ".join(_words(point.settings.get(name)) for name in curve.varies) or point.name


def strip(point: Point) -> Sheet | None:
    """Return the row of pictures of a point; None where its report has none."""
    return None if point.sheet is None or not point.sheet.rows else point.sheet
