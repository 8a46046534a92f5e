"""Pool figures of several folds and keys: first accuracies, then the best attacker, then NAG with its interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sordine.metrics.nag import nag, nag_interval, nag_is_defined, resolvable

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """Accuracy of the best attackers for an attribute in one scenario, before and after, over all folds and keys.

    nag, low, high: unclipped, None where NAG is undefined. smallest: the least upper end that this number of records
    can show for an attacker at the baseline. finest: the lower end that they show for an unchanged attribute. records:
    number of distinct records.
    """

    attribute: str
    setting: str
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    smallest: float | None
    finest: float | None
    by_before: str
    by_after: str
    records: int
    folds: int
    keys: int


def releases(parts: Iterable[Part]) -> list[Part]:
    """Return the audits of single records among the parts."""
    return [p for p in parts if p["part"] != "person"]


def pool(parts: Iterable[Part]) -> dict[str, list[Figure]]:
    """Return attribute -> a figure per scenario.

    Releases of a fold under several keys are averaged first, so that folds have weight by their records alone.
    """
    some = releases(parts)
    cells: dict[tuple[str, str], dict[str, dict[int, list[np.ndarray]]]] = {}
    tried: dict[tuple[str, str], dict[int, int]] = {}
    under: dict[tuple[str, str], set[str]] = {}
    classes: dict[str, int] = {}
    for part in some:
        classes |= part["classes"]
        for found in part["findings"]:
            cell, n = (found["attribute"], found["setting"]), found["records"]
            # Figures measured before correlations were stored count as independent.
            values = [found["before"], found["after"], found["guess"], *found.get("correlation", (0.0, 0.0, 0.0))]
            by = cells.setdefault(cell, {}).setdefault(found["attacker"], {})
            by.setdefault(part["fold"], []).append(n * np.array([1.0, *values]))
            own = tried.setdefault(cell, {})
            own[part["fold"]] = max(own.get(part["fold"], 0), n)
            under.setdefault(cell, set()).add(part["part"])
    out: dict[str, list[Figure]] = {}
    for (attribute, setting), by in sorted(cells.items()):
        folds = tried[attribute, setting]
        # Unseen records differ in each fold; fitted ones are mostly the same, so one fold's are counted.
        n = max(folds.values()) if setting == "C" else sum(folds.values())
        sums = {a: np.sum([np.mean(some, 0) for some in own.values()], 0) for a, own in by.items()}
        figure = _figure(attribute, setting, sums, n, classes[attribute], len(folds), len(under[attribute, setting]))
        out.setdefault(attribute, []).append(figure)
    return out


def _figure(
    attribute: str, setting: str, by: Mapping[str, np.ndarray], n: int, classes: int, folds: int, keys: int
) -> Figure:
    was, now = ({a: float(s[i] / s[0]) for a, s in by.items()} for i in (1, 2))
    first, last = max(was, key=lambda a: was[a]), max(now, key=lambda a: now[a])
    before, after = was[first], now[last]
    guess = max(float(s[3] / s[0]) for s in by.values())
    told = nag_is_defined(before, guess, n)
    pairs = by[last][4] if first == last else 0.0  # attackers of two families: unknown
    correlation = (float(pairs / by[last][0]), float(by[last][5] / by[last][0]), float(by[first][6] / by[first][0]))
    interval = nag_interval(after, before, guess, n, correlation=correlation, classes=classes)
    untouched = nag_interval(before, before, guess, n, classes=classes)
    return Figure(
        attribute=attribute,
        setting=setting,
        before=before,
        after=after,
        guess=guess,
        nag=nag(after, before, guess) if told else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        smallest=resolvable(before, guess, n),
        finest=untouched[0] if untouched else None,
        by_before=first,
        by_after=last,
        records=n,
        folds=folds,
        keys=keys,
    )


def worst(figures: Sequence[Figure]) -> Figure:
    """Return the scenario with the highest leakage, for a suppressed attribute."""
    return max(figures, key=lambda f: -np.inf if f.nag is None else f.nag)


def useful(figures: Sequence[Figure]) -> Figure:
    """Return scenario A, trained on one side of the split and tested on the other, for a preserved attribute."""
    return next(f for f in figures if f.setting == "A")


def mean_utility(figures: Mapping[str, Sequence[Figure]], attributes: Sequence[str]) -> float | None:
    """Return the mean NAG of the watched attributes; None where one of them is undefined.

    None counts as more than 1, so that one cannot compensate for another.
    """
    found = [useful(figures[a]).nag for a in attributes]
    defined = [min(v, 1.0) for v in found if v is not None]
    return float(np.mean(defined)) if defined and len(defined) == len(found) else None


def measured(parts: Sequence[Part]) -> tuple[int, int, bool]:
    """Return the folds measured, the keys common to them, and whether scenarios B and C ran under each."""
    some = releases(parts)
    by: dict[int, dict[str, Part]] = {}
    for p in some:
        by.setdefault(p["fold"], {})[p["part"]] = p
    if not by:
        return 0, 0, False
    common = set.intersection(*(set(parts) for parts in by.values()))
    return len(by), len(common), all({"B", "C"} <= set(p["settings"]) for p in some)


@dataclass(frozen=True)
class Exact:
    """The best possible attack on a discrete channel, means over folds weighted by records."""

    on: str
    accuracy: float
    guess: float
    permuted: float


def exact(parts: Iterable[Part], attribute: str) -> dict[str, Exact]:
    """Return on -> figure, for one attribute without released columns; empty where the channel is not discrete."""
    found = [e for p in releases(parts) for e in p["exact"] if list(e["attributes"]) == [attribute] and not e["kept"]]
    out = {}
    for on in dict.fromkeys(e["on"] for e in found):
        some = [e for e in found if e["on"] == on]
        weight = [e["records"] for e in some]
        accuracy, guess, permuted = (
            float(np.average([e[k] for e in some], weights=weight)) for k in ("accuracy", "guess", "permuted")
        )
        out[on] = Exact(on, accuracy, guess, permuted)
    return out


@dataclass(frozen=True)
class Person:
    """Leakage from k records of one person, means over folds. k: 0 for all."""

    attribute: str
    k: int
    knows: str
    setting: str
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    folds: int


def people(parts: Iterable[Part]) -> list[Person]:
    """Return a figure per attribute, number of records, attacker and scenario.

    Accuracies are averaged before NAG. The ends of the interval are means of the folds' own ends: as wide as one
    fold's, since the folds have other records of the same people.
    """
    cells: dict[tuple[str, int, str, str], list[Mapping[str, Any]]] = {}
    for part in parts:
        for f in part.get("person", ()):
            cells.setdefault((f["attribute"], f["k"], f["knows"], f["setting"]), []).append(f)
    out = []
    for (attribute, k, knows, setting), some in cells.items():
        before, after, guess = (float(np.mean([f[w] for f in some])) for w in ("before", "after", "guess"))
        share = low = high = None
        if all(f["nag"] is not None for f in some):
            share = nag(after, before, guess)
            low = min(share, float(np.mean([f["low"] for f in some])))
            high = max(share, float(np.mean([f["high"] for f in some])))
        out.append(Person(attribute, k, knows, setting, before, after, guess, share, low, high, len(some)))
    return out


def worst_person(found: Iterable[Person], attribute: str, k: int, knows: str | None = None) -> Person | None:
    """Return the highest leakage of an attribute from k records, over scenarios; None where nothing is measured.

    Without `knows` it is over both attackers, as the one with the channel may use the draws alone.
    """
    some = [p for p in found if p.attribute == attribute and p.k == k and knows in (None, p.knows)]
    return max(some, key=lambda p: -np.inf if p.nag is None else p.nag, default=None)
