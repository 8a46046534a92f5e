"""A leakage limit in place of weights: the most useful setting of a method that held-back records certify.

Each setting along a method's ladder is fitted on one half of the training side and tried on the other, and the other way
round, so that every training record is held back once and the whole side speaks of each setting; the table's own test side
is not touched. `certify` says what may be concluded of it, and why the walk along the ladder does not spoil it.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.base import Method
from sordine.methods.registry import METHODS, make
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget
    from sordine.workflow.halves import Step


class NotMet(Exception):
    """No setting of the ladder was certified; the message says what the best was."""


@dataclass(frozen=True)
class Rung:
    """One setting of a method. field, value: what the ladder varies; None and None where it has one setting alone."""

    name: str
    method: Method
    field: str | None = None
    value: Any = None

    def __str__(self) -> str:
        return self.name if self.field is None else f"{self.name}, {self.field} {_plain(self.value)}"


def rungs(
    name: str,
    settings: Mapping[str, Any] | None = None,
    along: tuple[str, Sequence[Any]] | None = None,
    points: int | None = None,
) -> list[Rung]:
    """The settings of a method, from the most private to the most useful.

    settings: fields that stay as they are. along: a field and its values in this order, in place of the method's ladder.
    points: at most so many, the ends among them. Raises SordineError where the ladder varies what `settings` fixes, and as
    `methods.make` does.
    """
    settings = dict(settings or {})
    field, values = along or METHODS.find(name).strength or (None, ())
    if field is None:
        return [Rung(name, make(name, settings))]
    if field in settings:
        raise SordineError(f"{field} is fixed by --option and is what varies for {name}: leave one of them out")
    if len(set(values)) < len(values) or not values:
        raise SordineError(f"along {field}: values must be there and differ, not {', '.join(map(_plain, values))}")
    if points is not None and points < len(values):
        places = [round(i * (len(values) - 1) / max(points - 1, 1)) for i in range(points)]
        values = [values[i] for i in places]
    made = [make(name, {**settings, field: value}) for value in values]
    read = [getattr(method, field) for method in made]
    if len(set(read)) < len(read):  # "1" and "1.0" are one
        raise SordineError(f"along {field}: values must differ, not {', '.join(map(_plain, read))}")
    return [Rung(name, method, field, getattr(method, field)) for method in made]


def checked_limits(limit: Any, suppress: Sequence[str]) -> dict[str, float]:
    """A limit for all that is suppressed, or one by name, as a mapping. Raises SordineError for what is no number between 0 and 1,
    and where names are missing or too many."""
    limits = dict(limit) if isinstance(limit, Mapping) else dict.fromkeys(suppress, limit)
    if not limits or set(limits) != set(suppress):
        raise SordineError(f"a limit is needed for what is suppressed ({', '.join(suppress) or 'nothing'}) alone")
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
            raise SordineError(f"the limit of {name!r} is {value!r}; it must be a number between 0 and 1")
    return {name: float(value) for name, value in limits.items()}


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
    workers: int = 2,
    materials: Mapping[str, Any] | None = None,
) -> Modifier:
    """Fit the setting of highest utility whose audited leakage is certified to be at most `limit` (NAG, of all suppressed
    attributes, or by name), and leave in `card.fit["limit"]` how that was found.

    Settings are tried in the order of the ladder until the first that is not certified; see `certify`. Utility is the mean
    NAG of what is preserved; where nothing is, of what is watched; where nothing can be read, minus the distortion (RMS in
    standard deviations). The modifier returned is fitted anew, on the whole training side.
    Raises SordineError where a limit lies below what these records can be expected to certify even of a release that tells
    nothing (`certify.lowest`), naming the lowest, and NotMet where no setting is certified.
    materials: `pool` and `raw_views` of `fit`.
    """
    from sordine.attacks.budget import Budget
    from sordine.workflow.certificates import CONFIDENCE
    from sordine.workflow.halves import Halves, fit_rung

    run = run or Run()
    policy = table.require(policy)
    limits = checked_limits(limit, policy.suppress)
    ladder = rungs(method, settings, along)
    table = table.with_split(policy, run.key)
    with _folder(run) as run:
        trial = replace(Halves.of(table, policy, budget or Budget(), run, workers), materials=materials or {})
        floor = trial.lowest()
        for name, least in floor.items():
            if least is None:
                raise SordineError(
                    f"{table.source}: so little is read of {name!r} from {trial.records:,} training records that no limit on it can "
                    "be certified"
                )
            run.log(
                f"{trial.records:,} held-back records cannot be expected to certify a leakage of `{name}` under {math.ceil(least * 1e3) / 10:g} %, "
                "even of a release that tells nothing."
            )
            if limits[name] < least:
                raise SordineError(
                    f"{table.source}: a limit of {limits[name]:g} for {name!r} cannot be expected to be certified with "
                    f"{trial.records:,} held-back records, even of a release that tells nothing; the lowest that can is "
                    f"{math.ceil(least * 1e4) / 1e4:g}"
                )
        steps: list[Step] = []
        for rung in ladder:
            steps.append(trial.step(rung, limits))
            run.log(f"{rung}: {said(steps[-1], trial.measure)}")
            if not steps[-1].met:
                break
        certified = [step for step in steps if step.met]
        if not certified:
            best = min(steps, key=lambda step: step.excess)
            left = len(ladder) - len(steps)
            how = f"; {len(steps)} of {len(ladder)} were tried, as the walk ends at the first that fails (--along names others)"
            raise NotMet(
                f"No setting meets the limit; the best was {best.rung}: {said(best, trial.measure)}{how if left else ''}"
            )
        chosen = max(certified, key=lambda step: step.utility)  # of equal ones the most private
        run.log(f"{chosen.rung} is fitted anew on the whole training side.")
        modifier = fit_rung(chosen.rung, table, policy, run, materials)
    modifier.card.fit["limit"] = {
        "limits": limits,
        "certified": {c.attribute: c.high for c in chosen.certificates},
        "found": {c.attribute: c.leakage for c in chosen.certificates},
        "utility": chosen.utility,
        "utility_of": trial.measure,
        "field": chosen.rung.field,
        "value": chosen.rung.value,
        "lowest": floor,
        "records": trial.records,
        "confidence": CONFIDENCE,
        "ladder": [
            {
                "value": step.rung.value,
                "certified": {c.attribute: c.high for c in step.certificates},
                "found": {c.attribute: c.leakage for c in step.certificates},
                "utility": step.utility,
                "met": step.met,
            }
            for step in steps
        ],
    }
    return modifier


def kept(modifier: Modifier) -> str:
    """What was certified of a modifier that `fit_under` made, in words; it stands in its card."""
    found = modifier.card.fit["limit"]
    parts = [
        f"leakage of '{name}' at most {_percent(high)} (limit {_percent(found['limits'][name])})"
        for name, high in found["certified"].items()
    ]
    setting = "" if found["field"] is None else f"{found['field']} {_plain(found['value'])}, "
    useful = found["utility"]
    told = f"{useful:.3g}" if found["utility_of"].startswith("minus") else _percent(useful)
    return (
        f"{modifier.card.method}, {setting}certified on {found['records']:,} held-back records: {'; '.join(parts)}; "
        f"utility {told} ({found['utility_of']})"
    )


def said(step: Step, measure: str) -> str:
    """What was found of a step, in words."""
    parts = []
    for c in step.certificates:
        if c.high is None or c.leakage is None:
            parts.append(f"no bound on the leakage of `{c.attribute}`")
            continue
        where = "within" if c.met else "over"
        parts.append(
            f"leakage of `{c.attribute}` at most {_percent(c.high)} (found {_percent(c.leakage)}, by {c.attacker} in setting "
            f"{c.setting}), {where} the limit of {_percent(c.limit)}"
        )
    useful = f"{step.utility:.3g}" if measure.startswith("minus") else _percent(step.utility)
    return f"{'; '.join(parts)}; utility {useful} ({measure})"


@contextlib.contextmanager
def _folder(run: Run) -> Iterator[Run]:
    # Settings of one method share what they pretrain.
    if run.folder is not None:
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="sordine-limit-") as folder:
        yield replace(run, folder=Path(folder))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _percent(share: float) -> str:
    return f"{max(share, 0.0) * 100:.1f} %"
