"""Released records that are copies of original ones, known by their bits: whose they are, and what that alone tells."""

from __future__ import annotations

from collections import Counter

import numpy as np

from sordine.data.record_digests import digests, owners
from sordine.data.table import Table, blocks_of
from sordine.evaluation.report import Flaw
from sordine.metrics.accuracy import majority
from sordine.metrics.nag import wilson
from sordine.policy import Policy

FEWEST = 20  # records that a share is taken of
UNTOUCHED = 0.05  # share of records that leave as they came from which on that is a leak


def copied(original: Table, before: Table, after: np.ndarray, fitted: np.ndarray, policy: Policy) -> list[Flaw]:
    """What is told by nothing but whose copy a released record is, which an attacker need not learn.

    original: the whole table. before, after: the records tried, and what was released for them (n, *shape), row by row. fitted: (n,)
    which of them the modifier was fitted on. A flaw `leak` where more than 5 % leave as they came; and for each suppressed
    attribute and side where guessing that a record is of the class of the copy's owner is right more often than guessing the
    commonest class, beyond a 95 % interval (for all of these questions together).
    """
    if original.shape != after.shape[1:]:
        return []
    mine = owners(digests(blocks_of(after)), digests(blocks_of(original.x)), original.ids)
    known = mine >= 0
    if known.sum() < FEWEST:
        return []
    flaws = []
    own = (np.asarray(after, np.float32) == np.asarray(before.x, np.float32)).reshape(len(after), -1).all(1)
    if own.mean() > UNTOUCHED:
        message = (
            f"{100 * own.mean():.1f} % of the records leave as they came ({own.sum():,} of {len(own):,} tried): substitutes are "
            "few, or much like the records they stand for. More records, or other people's (--pool), help."
        )
        flaws.append(Flaw("own-copy", "leak", message))
        if own.mean() > 0.5:  # whose class they are of is then no question
            return flaws
    asked = [(s, side) for s in policy.suppress for side in (True, False)]
    for s, side in asked:
        labels, theirs = before.y[s], np.where(known, original.y[s][mine], -1)
        rows = (fitted == side) & (labels >= 0) & (theirs >= 0)
        n = int(rows.sum())
        if n < FEWEST:
            continue
        right = float((labels[rows] == theirs[rows]).mean())
        guess = majority(labels[rows])
        low, _ = wilson(right * n, n, 1 - 0.05 / len(asked))
        if low > guess:
            where = "the modifier was fitted on" if side else "the modifier never saw"
            message = (
                f"Released records are copies of real ones, and of the records that {where} {100 * right:.1f} % got a copy of "
                f"their own `{s}` class; always guessing the commonest class is right {100 * guess:.1f} % of the time. No attacker "
                "has to learn that."
            )
            flaws.append(Flaw("own-class", "leak", message, attribute=s))
    return flaws


def copies_elsewhere(original: Table, released: Table, *, by_order: bool = False) -> list[Flaw]:
    """A flaw `leak` where released records are copies of originals, each about once: the table itself in another order.

    Only originals whose vector stands once count. Copies drawn with replacement, as by substitution, repeat: that is no flaw.
    by_order: records were matched by row number, so more than 5 % suffice, and doubt counts against the release.
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
        f"{n:,} of {len(released):,} released records are bit for bit copies of originals, each about once, though matched with "
        "other records: the originals themselves are released, in another order, and tell what they told before."
    )
    return [Flaw("copies", "leak", message)]
