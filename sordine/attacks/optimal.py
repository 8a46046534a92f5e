"""The optimal attack on a discrete modifier: computed from its output distributions, not trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sordine.attacks.results import ExactFinding
from sordine.data.table import Table
from sordine.keys import numpy_rng
from sordine.metrics.information import joint, optimal_accuracy, optimal_baseline, permuted_accuracy
from sordine.models.modifier import Modifier


def optimal_attack(
    modifier: Modifier,
    table: Table,
    on: Literal["fitted", "unseen"],
    suppress: Sequence[str],
    released_columns: Sequence[str],
    permutations: int,
) -> list[ExactFinding]:
    """Return the accuracy of the best possible attack on each suppressed attribute, and on all of them jointly.

    Parameters
    ----------
    modifier
        A discrete modifier.
    table
        Original records with labels.
    on
        The side of the split from which they come.
    suppress
        The suppressed attributes.
    released_columns
        Attributes that are released beside the record; each attack is also computed given these.
    permutations
        Permutations of the labels, for the accuracy that chance alone would give.

    Returns
    -------
    list of ExactFinding
        One for each attack whose labels have at least two classes.
    """
    if not len(table) or not suppress:
        return []
    p = modifier.output_distributions(table.x)
    found = []
    for names, beside in _attacks(suppress, released_columns):
        labels = joint([table.y[name] for name in names])
        codes = joint([table.y[name] for name in beside]) if beside else None
        usable = labels >= 0 if codes is None else (labels >= 0) & (codes >= 0)
        if len(np.unique(labels[usable])) < 2:
            continue
        distributions, target = p[usable], labels[usable]
        column = None if codes is None else codes[usable]
        classes = int(target.max()) + 1
        rng = numpy_rng(0, "permuted attack")
        chance = permuted_accuracy(distributions, target, classes, column, permutations, rng)
        found.append(
            ExactFinding(
                attributes=names,
                kept=beside,
                on=on,
                accuracy=optimal_accuracy(distributions, target, classes, column),
                guess=optimal_baseline(target, column),
                permuted=float(chance.mean()),
                permuted_high=float(np.quantile(chance, 0.95)),
                records=len(target),
            )
        )
    return found


def _attacks(suppress: Sequence[str], released_columns: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    # Suppressed attributes to infer jointly, and the released columns that the attacker also has.
    attacks: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((name,), ()) for name in suppress]
    if len(suppress) > 1:
        attacks.append((tuple(suppress), ()))
    if released_columns:
        attacks += [(names, tuple(released_columns)) for names, _ in list(attacks)]
    return attacks
