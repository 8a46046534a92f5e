"""Choose the strength of a method by the leakage that is forecast for several records of one person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.forecast import LIMIT, forecast
from sordine.metrics.percent import percent
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.halves import fit_candidate
from sordine.workflow.leakage_limit import Candidate, NotMet, candidates


def fit_for_persons(
    table: Table,
    policy: Policy,
    method: str,
    records: int,
    run: Run | None = None,
    *,
    limit: float = LIMIT,
    settings: Mapping[str, Any] | None = None,
    along: tuple[str, Sequence[Any]] | None = None,
    **materials: Any,
) -> Modifier:
    """Return the most useful candidate whose forecast leakage from several records of one person is under a limit.

    The forecast (`sordine.methods.forecast`) is for an attacker that has the modifier and knows the classes of half of
    the fitted records, at the upper end of its interval. It falls with the strength, so the candidates are searched by
    halving. It holds for the records of the fit too where a method fits several maps (option `parts`).
    `card.fit["records_per_person"]` describes the search.

    Parameters
    ----------
    table, policy, method
        Records, attributes by role, and name of the method.
    records, limit
        How many records of one person are released, at least 1, and the largest leakage (NAG), above 0 and below 1.
    run, settings, along, materials
        As in `leakage_limit.fit_under`.

    Raises
    ------
    SordineError
        Where a number is out of range, or the table has too few labelled records for a forecast.
    NotMet
        Where every candidate is forecast to leak more.
    """
    if records < 1:
        raise SordineError(f"records per person: {records} is out of range; use a whole number of at least 1")
    if not 0 < limit < 1:
        raise SordineError(f"records per person: the limit is {limit!r}; it must be a number between 0 and 1")
    run, policy = run or Run(), table.require(policy)
    table = table.with_split(policy, run.key)
    best, tried = _search(
        candidates(method, settings, along),
        lambda candidate: fit_candidate(candidate, table, policy, run, materials),
        lambda modifier: _highest(modifier, table, policy, records, run),
        limit,
    )
    if best is None:
        raise NotMet(_none_met(tried, records, limit))
    candidate, modifier = best
    modifier.card.fit["records_per_person"] = {
        "records": records,
        "limit": limit,
        "field": candidate.field,
        "value": candidate.value,
        "forecast": round(tried[candidate], 4),
        "ladder": [{"value": c.value, "forecast": round(f, 4)} for c, f in tried.items()],
    }
    return modifier


def _search(
    ladder: Sequence[Candidate],
    fitted: Callable[[Candidate], Modifier],
    forecast_of: Callable[[Modifier], float],
    limit: float,
) -> tuple[tuple[Candidate, Modifier] | None, dict[Candidate, float]]:
    """Return the last candidate under the limit with its modifier, and the forecasts of all that were fitted."""
    tried: dict[Candidate, float] = {}
    best = None
    low, high = 0, len(ladder) - 1
    while low <= high:
        middle = (low + high + 1) // 2
        modifier = fitted(ladder[middle])
        tried[ladder[middle]] = forecast_of(modifier)
        if tried[ladder[middle]] <= limit:
            best, low = (ladder[middle], modifier), middle + 1
        else:
            high = middle - 1
    return best, tried


def _none_met(tried: Mapping[Candidate, float], records: int, limit: float) -> str:
    least = min(tried, key=lambda c: tried[c])
    return (
        f"No option keeps the forecast under {percent(limit)} for {records} records of one person; the best was "
        f"{least}: {percent(tried[least])}. Release fewer records of each person, or fit on more records."
    )


def _highest(modifier: Modifier, table: Table, policy: Policy, records: int, run: Run) -> float:
    """Return the largest forecast leakage of the suppressed attributes, at the upper end of the interval."""
    found = forecast(modifier, table, policy, run.seed, counts=(records,))
    if len(found) < len(policy.suppress):
        missing = sorted(set(policy.suppress) - {f["attribute"] for f in found})
        raise SordineError(
            f"{table.source}: no leakage can be forecast for {', '.join(missing)}: two classes with two unseen records "
            "each are needed; label more records"
        )
    worst = max(float(f["upper"][str(records)]) for f in found)
    run.log(f"forecast: a leakage of at most {percent(worst)} from {records} records of one person")
    return worst
