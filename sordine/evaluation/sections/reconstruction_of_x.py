"""Reconstruction of records that are vectors: how much of an original is predicted, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sordine.attacks.reconstruction.regression import Goal, ReaderFinding, Side, attempts, infer, reconstruct
from sordine.attacks.risk import RiskFinding, findings
from sordine.attacks.runner import single_threaded
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.risk_sample import RiskSample
from sordine.evaluation.verdict import Contribution
from sordine.metrics.percent import percent

OWN, TEST = 1200, 1000  # pairs that the attacker learns from, and originals that it reconstructs, at most
FEWEST = 40  # of both


@dataclass(frozen=True)
class RegressionFinding:
    """How much of the originals an attacker reconstructs from released records.

    Parameters
    ----------
    rows
        The explained variance of each attack.
    readers
        What a classifier of originals infers from the best reconstruction, for each suppressed attribute.
    learned
        Number of pairs from which the attacker learned.
    on
        Side of the split of the reconstructed records.
    """

    rows: tuple[RiskFinding, ...]
    readers: tuple[ReaderFinding, ...]
    learned: int
    on: str


class ReconstructionOfRecords(Section):
    """Attacks that predict the original record itself."""

    title = "Reconstruction of records"
    runs_beside = True
    menu = "Reconstruction of records"
    finding = RegressionFinding | None
    risk = "inference"
    attacker = "Originals with their released records, to reconstruct other originals"
    how_to_test = "Use the budget `standard` or `paranoid`."
    needs = f"It needs {FEWEST} records to learn from, and {FEWEST} to test."

    def run(self, data: AuditData) -> RegressionFinding | None:
        """Return the finding; None where there are too few records, or the budget leaves it out."""
        if not data.budget.risks:
            return None
        sample = data.risks
        own, test, on = _rows(sample)
        if min(len(own), len(test)) < FEWEST:
            data.note(
                f"Reconstruction of records is not attacked: it needs {FEWEST} records to learn from and to test."
            )
            return None
        with single_threaded():
            goal = Goal.of(sample.x, own, test)
            found = reconstruct(goal, sample.after[own], sample.after[test])
            best = max(found, key=lambda one: one.merit)
            confidence = 1 - 0.05 / max(len(data.policy.suppress), 1)
            named, y = [name for name in data.policy.suppress if name in sample.before.y], sample.before.y
            readers = [
                infer(goal, best.predicted, name, (y[name][own], y[name][test]), confidence, owners)
                for name, owners in ((name, _owners(sample, name, own, test)) for name in named)
            ]
        rows = findings(attempts(goal, found, on))
        return RegressionFinding(rows, tuple(r for r in readers if r is not None), len(own), on)

    def sentences(self, found: RegressionFinding | None) -> list[str]:
        """Return how much is reconstructed, and what that discloses."""
        if found is None:
            return []
        best = max(found.rows, key=lambda f: f.success)
        sentences = [
            f"An attacker that has {found.learned:,} originals with their released records predicts "
            f"{percent(best.success)} of the variance of other originals from their released records."
        ]
        return sentences + [_about(reader) for reader in found.readers]

    def contribution(self, found: RegressionFinding | None, data: AuditData) -> Contribution | None:
        """Return the attributes of which reconstructed records clearly disclose more than the limit."""
        if found is None:
            return None
        clear = [r for r in found.readers if r.nag is not None and r.low is not None and r.low > data.limit]
        if not clear:
            return None
        return Contribution(
            sentences=tuple(_about(reader) for reader in clear),
            gives=tuple((r.nag, f"`{r.attribute}` from reconstructed records") for r in clear if r.nag is not None),
        )

    def risk_lines(self, found: RegressionFinding, report: Report) -> list[str]:
        """Return what the best reconstruction explains and discloses, with intervals."""
        best = max(found.rows, key=lambda f: f.success)
        lines = [
            f"From released records, an attacker with {found.learned:,} pairs predicts {percent(best.success)} of the "
            f"variance of the originals; control, with shuffled pairs: {100 * best.control:.1f} % ({best.about})."
        ]
        for r in found.readers[:1]:
            low, high = (percent(end) for end in r.after_interval)
            lines.append(_about(r).removesuffix(").") + f"; interval {low} to {high}).")
        return lines

    def view(self, found: RegressionFinding | None, report: Report) -> dict[str, Any] | None:
        """Return the rows."""
        return {"f": found} if found else None


def _owners(sample: RiskSample, name: str, own: np.ndarray, test: np.ndarray) -> np.ndarray | None:
    """Return the person of each test record (t,); None where no person is known.

    A record whose person the attacker has labelled records of, or whose person is unknown, is a unit of its own, as in
    the attacks on single records (`units_apart`).
    """
    if sample.persons is None:
        return None
    codes = np.asarray(sample.persons[1])
    learned = codes[own[sample.before.y[name][own] >= 0]]
    apart = (codes[test] >= 0) & ~np.isin(codes[test], learned)
    return np.where(apart, codes[test], -1 - np.arange(len(test)))


def _rows(sample: RiskSample) -> tuple[np.ndarray, np.ndarray, Side]:
    """Return positions of the attacker's own records and of the test records, and the side of the latter."""
    own, test = sample.rows(sample.fitted, OWN), sample.rows(~sample.fitted, TEST)
    if min(len(own), len(test)) >= FEWEST:
        return own, test, "unseen"
    side = sample.fitted if sample.fitted.sum() >= (~sample.fitted).sum() else ~sample.fitted
    both = sample.rows(side, OWN + TEST)
    some = sample.rows(np.isin(np.arange(len(side)), both), len(both) // 2)
    return some, np.setdiff1d(both, some), "fitted" if side is sample.fitted else "unseen"


def _about(reader: ReaderFinding) -> str:
    figures = f"{percent(reader.after)} of the reconstructed records (baseline: {percent(reader.guess)}"
    figures += f"; originals: {percent(reader.before)})"
    return f"A classifier trained on originals predicts `{reader.attribute}` correctly for {figures}."
