"""Fit under a leakage limit: the most useful option of a method that held-out records certify.

Each candidate is fitted on one half of the training records and tested on the other, and the other way round, so that
every training record is held out once. The table's own test records are not touched. `sordine.workflow.certificates`
states what follows from the predictions, and why testing several candidates does not spoil it.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.base import Method
from sordine.methods.registry import METHODS, make
from sordine.metrics.percent import percent
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords
from sordine.workflow.certificates import CONFIDENCE
from sordine.workflow.halves import CandidateResult, Halves, fit_candidate


class NotMet(Exception):
    """No candidate was certified. The message describes the best one."""


@dataclass(frozen=True)
class Candidate:
    """A method with its options.

    Parameters
    ----------
    name, method
        The method's name, and the method.
    field, value
        The option that varies, and its value; None where the method has one candidate.
    """

    name: str
    method: Method
    field: str | None = None
    value: Any = None

    def __str__(self) -> str:
        return self.name if self.field is None else f"{self.name}, {self.field} {_plain(self.value)}"


def candidates(
    name: str,
    settings: Mapping[str, Any] | None = None,
    along: tuple[str, Sequence[Any]] | None = None,
    points: int | None = None,
) -> list[Candidate]:
    """Return the candidates of a method, from the most private to the most useful.

    Parameters
    ----------
    name
        Name of the method.
    settings
        Options that do not vary.
    along
        The option that varies, and its values in order; None takes the method's strength.
    points
        Largest number of candidates; the first and the last value are always among them. None takes all.

    Raises
    ------
    SordineError
        Where the option that varies is also in `settings`, or its values are missing, repeated or wrong.
    """
    settings = dict(settings or {})
    field, values = along or METHODS.find(name).strength or (None, ())
    if field is None:
        return [Candidate(name, make(name, settings))]
    if field in settings:
        raise SordineError(f"method {name!r}: option {field!r} is set and also varies: leave one of them out")
    if len(set(values)) < len(values) or not values:
        raise SordineError(f"values of {field!r}: give at least one value, each of them once, not {_listed(values)}")
    if points is not None and points < len(values):
        places = [round(i * (len(values) - 1) / max(points - 1, 1)) for i in range(points)]
        values = [values[i] for i in places]
    made = [make(name, {**settings, field: value}) for value in values]
    parsed = [getattr(method, field) for method in made]
    if len(set(parsed)) < len(parsed):  # "1" and "1.0" are the same value
        raise SordineError(f"values of {field!r}: give each value once, not {_listed(parsed)}")
    return [Candidate(name, method, field, getattr(method, field)) for method in made]


def checked_limits(limit: Any, suppress: Sequence[str]) -> dict[str, float]:
    """Return limits by suppressed attribute, from one number for all of them or from a mapping.

    Raises
    ------
    SordineError
        For a limit that is not a number between 0 and 1, and where attributes are missing or not suppressed.
    """
    limits = dict(limit) if isinstance(limit, Mapping) else dict.fromkeys(suppress, limit)
    if not limits or set(limits) != set(suppress):
        raise SordineError(f"give one limit for each suppressed attribute: {', '.join(suppress) or 'there is none'}")
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
            raise SordineError(f"the limit of {name!r} is {value!r}; it must be a number between 0 and 1")
    return {name: float(value) for name, value in limits.items()}


@accepts_run_keywords
def fit_under(
    table: Table,
    policy: Policy,
    method: str,
    limit: float | Mapping[str, float],
    run: Run | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    along: tuple[str, Sequence[Any]] | None = None,
    budget: Budget | None = None,
    **materials: Any,
) -> Modifier:
    """Return the most useful candidate with certified leakage of at most a limit, fitted on all training records.

    Candidates are tested in order until the first that is not certified; see `sordine.workflow.certificates`. Utility
    is the mean NAG of the preserved attributes; without these, of the watched ones; and where the originals reveal none
    of them, minus the distortion (RMS in standard deviations). `card.fit["limit"]` describes the search.

    Parameters
    ----------
    table, policy, method
        Records, attributes by role, and name of the method.
    limit
        Largest leakage (NAG, 0 to 1), for all suppressed attributes or by name.
    run
        Device, seed, secret key, workers, folder for pretrained models, log and progress.
    settings
        Options of the method that do not vary.
    along
        The option that varies, and its values from the most private to the most useful; None takes the method's
        strength.
    budget
        Attacks on single records.
    materials
        `pool` and `raw_views` of `methods.fit.fit`.

    Raises
    ------
    SordineError
        Where a limit is below what these records can be expected to certify, even for a release without any
        information.
    NotMet
        Where no candidate is certified.
    """
    run = run or Run()
    policy = table.require(policy)
    limits = checked_limits(limit, policy.suppress)
    tried = candidates(method, settings, along)
    table = table.with_split(policy, run.key)
    with _with_folder(run) as run:
        trial = Halves.of(table, policy, budget or Budget(), run, materials)
        floor = trial.lowest()
        _check_limits(limits, floor, trial, table.source)
        tested, chosen = _search(trial, tried, limits)
        run.log(f"{chosen.candidate} is fitted again on all training records.")
        modifier = fit_candidate(chosen.candidate, table, policy, run, materials)
    modifier.card.fit["limit"] = _record(limits, floor, trial, tested, chosen)
    return modifier


def _search(
    trial: Halves, tried: Sequence[Candidate], limits: Mapping[str, float]
) -> tuple[list[CandidateResult], CandidateResult]:
    """Test candidates until the first that is not certified: all results, and the certified one of highest utility."""
    tested: list[CandidateResult] = []
    for candidate in tried:
        tested.append(trial.test(candidate, limits))
        trial.run.log(f"{candidate}: {result_of(tested[-1], trial.measure)}")
        if not tested[-1].met:
            break
    passing = [one for one in tested if one.met]
    if not passing:
        raise NotMet(_none_met(tested, len(tried), trial.measure))
    return tested, max(passing, key=lambda one: one.utility)  # of equal ones the most private


def _check_limits(limits: Mapping[str, float], floor: Mapping[str, float | None], trial: Halves, source: str) -> None:
    """Log the lowest certifiable limits. Raises SordineError where a limit is below them."""
    for name, least in floor.items():
        if least is None:
            raise SordineError(
                f"{source}: {trial.records:,} training records reveal too little of {name!r} to certify any limit on it"
            )
        trial.run.log(
            f"{trial.records:,} held-out records cannot be expected to certify a leakage of `{name}` under "
            f"{math.ceil(least * 1e3) / 10:g} %, even for a release without any information."
        )
        if limits[name] < least:
            raise SordineError(
                f"{source}: a limit of {limits[name]:g} for {name!r} cannot be expected to be certified with "
                f"{trial.records:,} held-out records, even for a release without any information; the lowest that can "
                f"is {math.ceil(least * 1e4) / 1e4:g}"
            )


def _none_met(tested: Sequence[CandidateResult], count: int, measure: str) -> str:
    best = min(tested, key=lambda one: one.excess)
    text = f"No option meets the limit; the best was {best.candidate}: {result_of(best, measure)}"
    if len(tested) == count:
        return text
    return f"{text}; {len(tested)} of {count} were tested, as the first failure ends the search (--along names others)"


def _record(
    limits: Mapping[str, float],
    floor: Mapping[str, float | None],
    trial: Halves,
    tested: Sequence[CandidateResult],
    chosen: CandidateResult,
) -> dict[str, Any]:
    """The entry of a modifier's card about the search."""
    return {
        "limits": dict(limits),
        "certified": {c.attribute: c.high for c in chosen.certificates},
        "found": {c.attribute: c.leakage for c in chosen.certificates},
        "utility": chosen.utility,
        "utility_of": trial.measure,
        "field": chosen.candidate.field,
        "value": chosen.candidate.value,
        "lowest": dict(floor),
        "records": trial.records,
        "confidence": CONFIDENCE,
        "ladder": [
            {
                "value": one.candidate.value,
                "certified": {c.attribute: c.high for c in one.certificates},
                "found": {c.attribute: c.leakage for c in one.certificates},
                "utility": one.utility,
                "met": one.met,
            }
            for one in tested
        ],
    }


def certified(modifier: Modifier) -> str:
    """Return what was certified of a modifier that `fit_under` made, in one sentence."""
    found = modifier.card.fit["limit"]
    parts = [
        f"leakage of '{name}' at most {percent(high)} (limit {percent(found['limits'][name])})"
        for name, high in found["certified"].items()
    ]
    option = "" if found["field"] is None else f"{found['field']} {_plain(found['value'])}, "
    useful = found["utility"]
    text = f"{useful:.3g}" if found["utility_of"].startswith("minus") else percent(useful)
    return (
        f"{modifier.card.method}, {option}certified on {found['records']:,} held-out records: {'; '.join(parts)}; "
        f"utility {text} ({found['utility_of']})"
    )


def result_of(tested: CandidateResult, measure: str) -> str:
    """Return the result of a test in words."""
    parts = []
    for c in tested.certificates:
        if c.high is None or c.leakage is None:
            parts.append(f"no bound on the leakage of `{c.attribute}`")
            continue
        where = "within" if c.met else "over"
        parts.append(
            f"leakage of `{c.attribute}` at most {percent(c.high)} (found {percent(c.leakage)}, by {c.attacker} in "
            f"scenario {c.setting}), {where} the limit of {percent(c.limit)}"
        )
    useful = f"{tested.utility:.3g}" if measure.startswith("minus") else percent(tested.utility)
    return f"{'; '.join(parts)}; utility {useful} ({measure})"


@contextlib.contextmanager
def _with_folder(run: Run) -> Iterator[Run]:
    """The run with a folder, so that candidates of one method share what they pretrain."""
    if run.folder is not None:
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="sordine-limit-") as folder:
        yield replace(run, folder=Path(folder))


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(_plain, values)) or "none"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
