"""Attackers that are not trained on released records: the best possible one of a discrete channel, computed; and
classifiers learnt on originals, whose failure is never called privacy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sordine.attacks.results import ExactFinding
from sordine.data.table import Table
from sordine.keys import numpy_rng
from sordine.metrics.information import joint, optimal_accuracy, optimal_baseline, permuted_accuracy
from sordine.models.modifier import Modifier


def exact(
    modifier: Modifier,
    table: Table,
    on: Literal["fitted", "unseen"],
    suppress: Sequence[str],
    kept: Sequence[str],
    permutations: int,
) -> list[ExactFinding]:
    """Each suppressed attribute, all of them jointly, and the same given the kept columns, on these original records."""
    if not len(table) or not suppress:
        return []
    p = modifier.output_distributions(table.x)
    asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((name,), ()) for name in suppress]
    if len(suppress) > 1:
        asked.append((tuple(suppress), ()))
    if kept:
        asked += [(names, tuple(kept)) for names, _ in list(asked)]
    found = []
    for names, beside in asked:
        labels = joint([table.y[name] for name in names])
        codes = joint([table.y[name] for name in beside]) if beside else None
        usable = labels >= 0 if codes is None else (labels >= 0) & (codes >= 0)
        if len(np.unique(labels[usable])) < 2:
            continue
        some, secret = p[usable], labels[usable]
        column = None if codes is None else codes[usable]
        classes = int(secret.max()) + 1
        rng = numpy_rng(0, "permuted attack")
        chance = permuted_accuracy(some, secret, classes, column, permutations, rng)
        found.append(
            ExactFinding(
                attributes=names,
                kept=beside,
                on=on,
                accuracy=optimal_accuracy(some, secret, classes, column),
                guess=optimal_baseline(secret, column),
                permuted=float(chance.mean()),
                permuted_high=float(np.quantile(chance, 0.95)),
                records=len(secret),
            )
        )
    return found
