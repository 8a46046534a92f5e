"""Pool the figures of a method over folds and keys.

Of attacks on single records, accuracies are averaged, then the best attack is taken, then NAG and its interval. Of the
other sections, figures are means over folds, with the smallest lower end and the largest upper end of all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.unknown.cases import FOLDS, Case, Task
from benchmarks.unknown.figures import unpacked
from sordine.attacks.risk import BOUND
from sordine.evaluation.sections.power import CORE
from sordine.metrics.nag import nag, nag_interval, nag_is_defined, resolvable, wilson

Unit = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """Accuracy of the best attacks on an attribute in one scenario, before and after, over all folds and keys.

    nag, low, high: unclipped, None where NAG is undefined. smallest: the least upper end that this number of records
    can show for an attack at the baseline. finest: the lower end that they show for an unchanged attribute. records:
    number of distinct records.
    """

    attribute: str
    scenario: str
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    smallest: float | None
    finest: float | None
    attack: str
    records: int


@dataclass(frozen=True)
class Mean:
    """A figure of another section: the mean over folds, the outermost ends, and the least end that can be shown.

    value: None where it is undefined in a fold. about: what it is about, for example the attribute.
    """

    about: str
    value: float | None
    low: float | None
    high: float | None
    smallest: float | None = None


@dataclass(frozen=True)
class Pool:
    """All units of one method on a data set and task."""

    case: Case
    task: Task
    entry: str
    units: tuple[Unit, ...]

    @property
    def first(self) -> list[Unit]:
        """The units under the first key, in which every section ran: one a fold."""
        return [u for u in self.units if u["key"] == 0]

    @property
    def folds(self) -> int:
        """Number of folds that are measured."""
        return len(self.first)

    @property
    def keys(self) -> int:
        """Number of keys under which every fold is measured."""
        return min(Counter(u["fold"] for u in self.units).values(), default=0)

    @property
    def complete(self) -> bool:
        """Whether every fold is measured."""
        return self.folds == FOLDS

    @property
    def preserved(self) -> tuple[str, ...]:
        """The attributes of the mean utility: all watched ones, or the named one."""
        return self.case.watched if self.task == "unknown" else (self.case.keeps,)

    @cached_property
    def figures(self) -> dict[str, list[Figure]]:
        """Attribute to a figure of single records in each scenario."""
        return pool(self.units)

    def leaks(self) -> list[Figure]:
        """Return the figures of every suppressed attribute in every scenario."""
        return [f for a in self.case.suppress for f in self.figures.get(a, ())]

    def useful(self, attribute: str) -> Figure | None:
        """Return the figure of a preserved or watched attribute: scenario A, which tests on unseen records."""
        return next((f for f in self.figures.get(attribute, ()) if f.scenario == "A"), None)

    def utility(self) -> Mean:
        """Return the mean NAG of `preserved`. None counts as more than 1, so that none makes up for another."""
        found = [self.useful(a) for a in self.preserved]
        some = [f for f in found if f is not None and f.nag is not None]
        if not some or len(some) < len(found):
            return Mean(", ".join(self.preserved), None, None, None)
        ends = [_mean([None if (v := getattr(f, w)) is None else min(v, 1.0) for f in some]) for w in _ENDS]
        return Mean(", ".join(self.preserved), *ends)

    def known(self, share: float, k: int, knows: Sequence[str] = ("outputs", "modifier")) -> list[Mean]:
        """Return the leakage to an attacker that knows so many classes, by suppressed attribute and what it has."""
        cells: dict[tuple[str, str], dict[int, list[Unit]]] = {}
        for unit in self.units:
            for row in unpacked(unit["known"]):
                if (row["known"], row["k"]) == (share, k) and row["knows"] in knows:
                    by = cells.setdefault((row["attribute"], row["knows"]), {})
                    by.setdefault(unit["fold"], []).append(row)
        wanted = {u["fold"] for u in self.units}
        # A figure that some folds lack is none of all folds.
        return [_known(f"{a}, {has}", by, k) for (a, has), by in cells.items() if set(by) == wanted]

    def persons(self, k: int, knows: str) -> list[Mean]:
        """Return the leakage from k unseen or released records of one person, by suppressed attribute and scenario."""
        cells: dict[tuple[str, str], dict[int, list[Unit]]] = {}
        for unit in self.first:
            for row in unpacked(unit["person"]):
                if (row["k"], row["knows"]) == (k, knows):
                    by = cells.setdefault((row["attribute"], row["setting"]), {})
                    by.setdefault(unit["fold"], []).append(row)
        return [_known(f"{a}, scenario {s}", by, k) for (a, s), by in cells.items() if len(by) == self.folds]

    def membership(self, knows: Sequence[str] = ("release", "modifier")) -> Mean | None:
        """Return the largest area under the curve of attackers that have so much; None where none was tried."""
        return max(self._risk("membership", "auc", knows), key=lambda m: m.value or 0.0, default=None)

    def risk(self, section: str, on: str = "") -> Mean | None:
        """Return the success of the best attack of "singling out" or "linking", beside its control.

        `low` is the control here, and `high` the risk beyond it.
        """
        rows: dict[str, list[Unit]] = {}
        for unit in self.first:
            for row in unpacked(unit[section]):
                if row["measure"] == "share" and on in ("", row["on"]):
                    rows.setdefault(row["attack"], []).append(row)
        found = [
            Mean(attack, *(_mean([r[w] for r in some]) for w in ("success", "control", "risk")))
            for attack, some in rows.items()
        ]
        return max(found, key=lambda m: m.high or 0.0, default=None)

    def clear(self) -> list[str]:
        """Return the risks that are surely above `BOUND` in some fold."""
        sections = {"membership": "membership", "singling out": "singling out", "linking": "linkability"}
        return [
            words
            for section, words in sections.items()
            if any((r["least"] or 0.0) > BOUND for u in self.first for r in unpacked(u[section]) if _released(r))
        ]

    def _risk(self, section: str, measure: str, knows: Sequence[str]) -> Iterator[Mean]:
        rows: dict[tuple[str, str], list[Unit]] = {}
        for unit in self.first:
            for row in unpacked(unit[section]):
                if row["measure"] == measure and row["knows"] in knows:
                    rows.setdefault((row["knows"], row["attack"]), []).append(row)
        for (has, _), some in rows.items():
            value = float(np.mean([r["success"] for r in some]))
            low, high = (pick(r["success_interval"][i] for r in some) for i, pick in ((0, min), (1, max)))
            widest = max(r["success_interval"][1] - r["success"] for r in some)
            yield Mean(has, value, low, high, 0.5 + widest)

    def kept_neighbours(self) -> float | None:
        """Return the share of the ten nearest neighbours that are kept."""
        every = [r for u in self.first for r in unpacked(u["utility"])]
        return _mean([r["value"] for r in every if (r["measure"], r["k"]) == ("neighbours", 10)])

    def power(self) -> dict[str, float | None]:
        """Return kind to the smallest planted leak that was found in every fold, of every suppressed attribute."""
        found: dict[str, list[float | None]] = {}
        for unit in self.first:
            for row in unpacked(unit["power"]):
                found.setdefault(row["kind"], []).append(row["smallest"])
        return {kind: _most(sizes) for kind, sizes in found.items()}

    def planted(self) -> float | None:
        """Return the size from which planted leaks of every core kind were found; None where there is none."""
        sizes = self.power()
        return _most([sizes.get(kind) for kind in CORE])

    def forecast(self, attribute: str, k: int) -> Mean | None:
        """Return the forecast of the fit for k records of one person; `high`: at its upper end."""
        rows = [f for u in self.first for f in u["forecast"] if f["attribute"] == attribute and str(k) in f["leakage"]]
        if not rows:
            return None
        about = "all records" if all(f["cross_fitted"] for f in rows) else "records outside the fit"
        most = max(f["upper"][str(k)] for f in rows)
        return Mean(about, _mean([f["leakage"][str(k)] for f in rows]), None, most)

    def verdicts(self) -> tuple[str, float | None]:
        """Return the levels of the verdicts in words, and the largest leakage that one cannot exclude."""
        levels = Counter(u["verdict"]["level"] for u in self.first)
        words = [level if len(levels) == 1 else f"{level} {n}" for level, n in levels.most_common()]
        return ", ".join(words), _most([u["verdict"]["not_excluded"] for u in self.first])

    def seconds(self) -> float:
        """Return the processor seconds of a fit, the mean over folds."""
        return float(np.mean([u["fit_core_seconds"] for u in self.first]))


_ENDS = ("nag", "low", "high", "finest")


def _released(row: Unit) -> bool:
    return bool(row["knows"] != "record")


def pool(units: Iterable[Unit]) -> dict[str, list[Figure]]:
    """Return attribute -> a figure in each scenario.

    Releases of a fold under several keys are averaged first, so that folds have weight by their records alone.
    """
    cells: dict[tuple[str, str], dict[str, dict[int, list[np.ndarray]]]] = {}
    tried: dict[tuple[str, str], dict[int, int]] = {}
    classes: dict[str, int] = {}
    for unit in units:
        classes |= unit["classes"]
        for attribute, scenarios in unit["attacks"].items():
            for scenario, cell in scenarios.items():
                at, n = (attribute, scenario), cell["records"]
                for attack, (before, after, *correlation) in cell["by"].items():
                    row = n * np.array([1.0, before, after, cell["guess"], *correlation])
                    cells.setdefault(at, {}).setdefault(attack, {}).setdefault(unit["fold"], []).append(row)
                own = tried.setdefault(at, {})
                own[unit["fold"]] = max(own.get(unit["fold"], 0), n)
    out: dict[str, list[Figure]] = {}
    for (attribute, scenario), by in sorted(cells.items()):
        folds = tried[attribute, scenario]
        # Unseen records differ in each fold; fitted ones are mostly the same, so one fold's are counted.
        n = max(folds.values()) if scenario == "C" else sum(folds.values())
        sums = {a: np.sum([np.mean(some, 0) for some in own.values()], 0) for a, own in by.items()}
        out.setdefault(attribute, []).append(_figure(attribute, scenario, sums, n, classes[attribute]))
    return out


def _figure(attribute: str, scenario: str, by: Mapping[str, np.ndarray], n: int, classes: int) -> Figure:
    was, now = ({a: float(s[i] / s[0]) for a, s in by.items()} for i in (1, 2))
    first, last = max(was, key=lambda a: was[a]), max(now, key=lambda a: now[a])
    before, after = was[first], now[last]
    guess = max(float(s[3] / s[0]) for s in by.values())
    pairs = by[last][4] if first == last else 0.0  # two kinds of attack: unknown
    correlation = (float(pairs / by[last][0]), float(by[last][5] / by[last][0]), float(by[first][6] / by[first][0]))
    interval = nag_interval(after, before, guess, n, correlation=correlation, classes=classes)
    untouched = nag_interval(before, before, guess, n, classes=classes)
    return Figure(
        attribute=attribute,
        scenario=scenario,
        before=before,
        after=after,
        guess=guess,
        nag=nag(after, before, guess) if nag_is_defined(before, guess, n) else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        smallest=resolvable(before, guess, n),
        finest=untouched[0] if untouched else None,
        attack=last,
        records=n,
    )


def _known(about: str, by: Mapping[int, Sequence[Unit]], k: int) -> Mean:
    """Return the mean over folds, each the mean over its keys. Accuracies are averaged before NAG."""
    rows = [r for some in by.values() for r in some]
    after, before, guess = (
        float(np.mean([np.mean([r[w] for r in some]) for some in by.values()])) for w in ("after", "before", "guess")
    )
    if any(r["nag"] is None for r in rows):
        return Mean(about, None, None, None)
    ends = [pick(r[w] for r in rows) for w, pick in (("low", min), ("high", max))]
    return Mean(about, nag(after, before, guess), *ends, _most([_floor(r, k) for r in rows]))


def _floor(row: Unit, k: int) -> float | None:
    """The least upper end that so many records, or groups of them, show for an attacker at the baseline."""
    n = row["records"] if "records" in row else row["groups"]
    if k == 1:
        return resolvable(row["before"], row["guess"], n)
    return nag(wilson(row["guess"] * n, n)[1], row["before"], row["guess"])


def _most(values: Iterable[float | None]) -> float | None:
    """Return the largest; None where one is None, or there is none."""
    some = list(values)
    return None if not some or None in some else max(v for v in some if v is not None)


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where one is None, or there is none."""
    return None if not values or None in values else float(np.mean([v for v in values if v is not None]))


def worst(found: Sequence[Figure] | Sequence[Mean], by: Callable[[Any], float | None]) -> Any:
    """Return the figure with the largest value; None counts as the smallest. None where there is no figure."""
    return max(found, key=lambda f: -np.inf if (v := by(f)) is None else v, default=None)
