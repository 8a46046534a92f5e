"""The forecast of a fit: what an attacker with the modifier will infer from records that it was not fitted on.

The audit measures the same with attacks. The forecast is computed at once, and says how many records would be needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.keys import Key, numpy_rng
from sordine.metrics.forecast import Divergence, divergence, records_needed
from sordine.metrics.percent import percent
from sordine.models.cross_fitted import CrossFitted, part_of
from sordine.models.modifier import Modifier
from sordine.policy import Policy

COUNTS = (1, 10, 50)  # records of one person
KNOWN = 0.5  # share of the fitted records of which the attacker knows the class
LIMIT = 0.1  # leakage from the most records of one person, for which the needed records are computed
MOST = 5000  # records
AXES, WAVES = 24, 104  # functions of records that are not one of finitely many outputs, at most
EACH = 8  # records for each of these functions, at least: their covariance comes from the same records
BLOCK = 1024  # records in memory at a time


def forecast(
    modifier: Modifier, table: Table, policy: Policy, seed: int, counts: Sequence[int] = COUNTS
) -> list[dict[str, Any]]:
    """Return the forecast for each suppressed attribute.

    It uses records that the map which releases them was not fitted on: unseen ones, and those of the fit too where the
    maps are cross-fitted.

    Parameters
    ----------
    modifier
        The modifier.
    table
        The table of the fit, with its split.
    policy
        Suppressed attributes.
    seed
        Of the draws of modifiers whose outputs are not finitely many.
    counts
        Numbers of records of one person.

    Returns
    -------
    list of dict
        `attribute`, `classes`, `fitted` (records of the smallest class), `cross_fitted` (whether records of the fit are
        released by maps that were not fitted on them), `records` (unseen independent ones of the class), `divergence`,
        `error`, `functions`, and by number of records of one person: `leakage` for an attacker that knows half of the
        classes, `upper` at the upper end of the interval, and `highest` also for an attacker that knows the outputs of
        each class. `needed`: fitted records of each class for a leakage of `LIMIT` from the most records; None where
        the maps are not cross-fitted.
        Attributes with too few records are left out.
    """
    assert table.split is not None
    crossed = isinstance(modifier, CrossFitted)
    usable = np.flatnonzero(~table.split | crossed)
    rows = sample(Key.of_seed(0), "forecast", table.ids, MOST, usable)
    if not len(rows):
        return []
    some = table.take(np.sort(rows))
    groups, features = _features(modifier, some, seed)
    found = []
    for name in policy.suppress:
        fitted = np.bincount(table.y[name][table.split & (table.y[name] >= 0)], minlength=2)
        spread = divergence(features, [some.y[name][g] for g in groups], _units(some, name, groups))
        if spread is not None:
            found.append(_entry(name, spread, int(fitted[fitted > 0].min(initial=len(table))), crossed, counts))
    return found


def sentences(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a forecast in sentences, one or two for each attribute."""
    result = []
    for f in found:
        most = max(map(int, f["leakage"]))
        shares = f"{percent(f['leakage']['1'])} from one record, and of {percent(f['leakage'][str(most)])} from {most}"
        whose = "all records" if f["cross_fitted"] else "records outside the fit"
        result.append(
            f"Forecast for `{f['attribute']}` of {whose}: an attacker that has the modifier and knows "
            f"the classes of half of the fitted records infers a leakage of {shares} records of one person."
        )
        if not f["cross_fitted"]:
            result.append(
                f"Records of the fit can give away much more of `{f['attribute']}` to such an attacker. The audit "
                "measures that."
            )
        if f["needed"] is not None and f["needed"] > f["fitted"]:
            result.append(
                f"For a leakage of {percent(LIMIT, 0)} from {most} records of one person, fit on about "
                f"{f['needed']:,} records of each class of `{f['attribute']}` (here: {f['fitted']:,}), or choose a "
                f"more private option with --records-per-person {most}."
            )
    return result


def _entry(name: str, spread: Divergence, fitted: int, crossed: bool, counts: Sequence[int]) -> dict[str, Any]:
    known, most = KNOWN * fitted, max(counts)
    upper = replace(spread, value=spread.high)
    needed = records_needed(max(spread.value, 0.0) * fitted, spread.classes, most, LIMIT, KNOWN) if crossed else None
    return {
        "attribute": name,
        "classes": spread.classes,
        "fitted": fitted,
        "cross_fitted": crossed,
        "records": spread.records,
        "divergence": round(spread.value, 5),
        "error": round(spread.error, 5),
        "functions": round(spread.functions, 2),
        "leakage": {str(k): round(spread.leakage(k, known), 4) for k in counts},
        "upper": {str(k): round(upper.leakage(k, known), 4) for k in counts},
        "highest": {str(k): round(upper.leakage(k), 4) for k in counts},
        "needed": needed,
    }


def _units(table: Table, name: str, groups: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    # Groups are units only where an attribute is not the same in all records of a group's class.
    if table.group is None or len(np.unique(table.group)) <= len(table.classes[name]):
        return None
    return [table.group[g] for g in groups]


def _features(modifier: Modifier, table: Table, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return rows of records that share outputs, and for each such set functions of the outputs, of unit covariance."""
    blocks = [table.batch(slice(start, start + BLOCK)) for start in range(0, len(table), BLOCK)]
    with torch.no_grad():
        if modifier.discrete:
            p = np.concatenate([modifier.output_distribution(x).double().numpy() for x in blocks])
            groups = [np.arange(len(table))]
            if isinstance(modifier, CrossFitted):
                part = np.concatenate([part_of(x, len(modifier.maps)).numpy() for x in blocks])
                groups = [np.flatnonzero(part == k) for k in range(len(modifier.maps))]
                groups = [g for g in groups if len(g)]
            return groups, [_of_outputs(p[g]) for g in groups]
        draws = torch.Generator().manual_seed(int(numpy_rng(seed, "forecast").integers(1 << 62)))
        made = [
            modifier(x, torch.rand(len(x), modifier.noise, generator=draws).clamp(2.0**-24, 1 - 2.0**-24)).x
            for x in blocks
        ]
    released = torch.cat([x.flatten(1).double() for x in made]).numpy()
    return [np.arange(len(table))], [_of_numbers(released, numpy_rng(seed, "forecast functions"))]


def _of_outputs(p: np.ndarray) -> np.ndarray:
    """Return the expected functions of each record: P(j | x) (n, M) -> (n, M or fewer)."""
    mean = p.mean(0)
    used = mean > 0
    return np.asarray((p[:, used] - mean[used]) / np.sqrt(mean[used]))


def _of_numbers(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return functions of records (n, width): the longest principal axes, and waves over them."""
    x = x - x.mean(0)
    scale = x.std(0)
    x = x[:, scale > 0] / scale[scale > 0]
    if not x.shape[1]:
        return np.zeros((len(x), 1))
    most = max(2, len(x) // EACH)
    axes = np.linalg.svd(x, full_matrices=False)[2][: min(AXES, most // 2)]
    z, waves = _whitened(x @ axes.T), min(WAVES, most - len(axes))
    frequencies = rng.standard_normal((z.shape[1], waves)) / np.sqrt(z.shape[1])
    return _whitened(np.concatenate([z, np.cos(z @ frequencies + rng.uniform(0, 2 * np.pi, waves))], 1))


def _whitened(f: np.ndarray) -> np.ndarray:
    f = f - f.mean(0)
    left, values, _ = np.linalg.svd(f, full_matrices=False)
    return np.asarray(left[:, values > 1e-6 * max(values.max(), 1e-12)] * np.sqrt(len(f)))
