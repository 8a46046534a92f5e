"""Memorisation: released records that are exact copies of originals, and what that alone gives away."""

from __future__ import annotations

from collections import Counter

import numpy as np

from sordine.data.record_digests import digests, owners
from sordine.data.table import Table, blocks_of
from sordine.evaluation.report import Flaw
from sordine.metrics.accuracy import majority
from sordine.metrics.nag import wilson
from sordine.metrics.percent import percent
from sordine.policy import Policy

FEWEST = 20  # records below which no share is computed
UNTOUCHED = 0.05  # share of unchanged records above which the release leaks


def copied(original: Table, before: Table, after: np.ndarray, fitted: np.ndarray, policy: Policy) -> list[Flaw]:
    """Return what copies give away without any training.

    A release leaks where more than 5 % of the records are unchanged. It leaks too where predicting the class of the
    original that a released record is a copy of is better than the baseline, beyond a 95 % interval for all suppressed
    attributes and both sides together.

    Parameters
    ----------
    original
        The whole table of originals.
    before, after
        The attacked originals, and what was released for them (n, *shape), row by row.
    fitted
        Which of them the modifier was fitted on, (n,).
    policy
        Roles of the attributes.
    """
    if original.shape != after.shape[1:]:
        return []
    source = owners(digests(blocks_of(after)), digests(blocks_of(original.x)), original.ids)
    known = source >= 0
    if known.sum() < FEWEST:
        return []
    flaws = []
    unchanged = (np.asarray(after, np.float32) == np.asarray(before.x, np.float32)).reshape(len(after), -1).all(1)
    if unchanged.mean() > UNTOUCHED:
        message = (
            f"{percent(unchanged.mean())} of the records are released unchanged ({unchanged.sum():,} of "
            f"{len(unchanged):,}). Where records are replaced by substitutes, there are too few of them, or they are "
            "too similar to the records. Fit with more records, or use other people's (--pool)."
        )
        flaws.append(Flaw("own-copy", "leak", message))
        if unchanged.mean() > 0.5:  # the class of the copied original is then the record's own
            return flaws
    return flaws + _classes_of_copies(original, before, source, fitted, policy)


def _classes_of_copies(
    original: Table, before: Table, source: np.ndarray, fitted: np.ndarray, policy: Policy
) -> list[Flaw]:
    flaws = []
    questions = [(s, side) for s in policy.suppress for side in (True, False)]
    for s, side in questions:
        labels, copied_labels = before.y[s], np.where(source >= 0, original.y[s][source], -1)
        rows = (fitted == side) & (labels >= 0) & (copied_labels >= 0)
        n = int(rows.sum())
        if n < FEWEST:
            continue
        accuracy = float((labels[rows] == copied_labels[rows]).mean())
        baseline = majority(labels[rows])
        low, _ = wilson(accuracy * n, n, 1 - 0.05 / len(questions))
        if low > baseline:
            where = "records of the fit" if side else "unseen records"
            message = (
                f"Released records are copies of originals. {percent(accuracy)} of the {where} became a copy from "
                f"their own class of `{s}` (baseline: {percent(baseline)}). An attacker needs no training to use that."
            )
            flaws.append(Flaw("own-class", "leak", message, attribute=s))
    return flaws


def copies_elsewhere(original: Table, released: Table, *, by_order: bool = False) -> list[Flaw]:
    """Return a flaw `leak` where released records are copies of originals, each about once: the table in another order.

    Copies drawn with replacement, as by substitution, repeat. That is no flaw.

    Parameters
    ----------
    original, released
        The two tables. Only originals whose vector occurs once count.
    by_order
        Whether records were matched by row number. Then more than 5 % of copies are enough, and doubt counts against
        the release.
    """
    if original.shape != released.shape:
        return []
    before, after = Counter(digests(blocks_of(original.x))), Counter(digests(blocks_of(released.x)))
    single = [digest for digest, count in before.items() if count == 1]
    each = np.array([after[digest] for digest in single if digest in after], np.int64)
    n = int(each.sum())
    if n < FEWEST or n <= (UNTOUCHED if by_order else 0.5) * len(released):
        return []
    share = n / len(single)
    drawn = len(single) * (np.exp(-share) - 1 + share)  # repeats among as many even draws, on average
    if drawn < FEWEST and not by_order:
        return []
    if drawn >= FEWEST and n - len(each) >= drawn / 2:
        return []
    message = (
        f"{n:,} of {len(released):,} released records are exact copies of originals, each about once, but were matched "
        "with other records. The originals themselves are released in another order."
    )
    return [Flaw("copies", "leak", message)]
