"""What an attacker infers that starts from a model of the originals and has few labelled released records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sordine.attacks.base import Target
from sordine.attacks.principal_axes import principal_axes
from sordine.attacks.runner import single_threaded
from sordine.attacks.scenarios import splits
from sordine.attacks.warm_start import SHARES, warm_start
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.verdict import Contribution
from sordine.metrics.accuracy import accuracy, majority
from sordine.metrics.design_effect import effective_records
from sordine.metrics.nag import correlations, gain, nag, nag_interval, nag_is_defined, wilson
from sordine.metrics.percent import percent
from sordine.run import Run

ATTACKER = "an attacker that has a model of the originals"


@dataclass(frozen=True)
class WarmStartFinding:
    """The accuracy of a model of the originals that learns on from a share of the labelled released records.

    Parameters
    ----------
    attribute
        The suppressed attribute.
    share
        Share of the attacker's own labels that it has for released records; 0: it learns from none.
    before
        Accuracy of the model on originals.
    after
        Accuracy on released records.
    guess
        Baseline.
    nag, low, high
        NAG and its interval; None where the accuracy on originals is too close to the baseline.
    low_corrected
        The lower end, corrected for the best of all shares.
    at_chance
        Whether the corrected interval of `after` reaches down to the baseline.
    after_interval
        Interval of `after`.
    records
        Number of test records (scenario A).
    """

    attribute: str
    share: float
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    low_corrected: float | None
    at_chance: bool
    after_interval: tuple[float, float]
    records: int


class WarmStart(Section):
    """Attacks that start from a model of the originals."""

    title = "An attacker that starts from a model of the originals"
    runs_beside = True
    menu = "Model of the originals"
    finding = tuple[WarmStartFinding, ...]
    risk = "inference"
    attacker = "A model that was trained on originals, and few labelled released records"
    how_to_test = "Use the budget `standard`, and records whose originals have the same number of features."
    needs = "It needs scenario A, and records whose originals have the same number of features."

    def run(self, data: AuditData) -> tuple[WarmStartFinding, ...]:
        """Return a finding for each suppressed attribute and share of labels."""
        original, release = data.attacked
        if not data.budget.risks or original.x.shape[1:] != release.x.shape[1:]:
            return ()
        if not (data.policy.suppress and "A" in data.budget.settings):
            return ()
        # Both sides need the same coordinates.
        axes = principal_axes(original.scaled) if original.is_wide else None
        x, z = (axes(side.scaled) if axes else side.flat() for side in (original, release))
        found: list[WarmStartFinding] = []
        with single_threaded():
            for name in data.policy.suppress:
                if name in original.labels:
                    found += _of_attribute(data, name, x, z)
        return tuple(found)

    def sentences(self, found: tuple[WarmStartFinding, ...]) -> list[str]:
        """Return the worst case of each attribute in words."""
        return [_sentence(worst) for worst in _worst(found)]

    def risk_lines(self, found: tuple[WarmStartFinding, ...], report: Report) -> list[str]:
        """Return the worst case of each attribute in words."""
        return self.sentences(found)

    def contribution(self, found: tuple[WarmStartFinding, ...], data: AuditData) -> Contribution | None:
        """Return the leakage that was found or cannot be excluded."""
        if not found:
            return None
        sure = [f for f in found if (f.low_corrected or 0.0) > data.limit and not f.at_chance]
        # Without a leakage, because originals hardly reveal the attribute, any accuracy above the baseline counts.
        sure += [f for f in found if f.nag is None and not f.at_chance]
        above = [f for f in found if (f.nag or 0.0) > data.limit and not f.at_chance]
        return Contribution(
            sentences=tuple(_sentence(f) for f in _worst(tuple(above))),
            gives=tuple(
                (gain(f.after, f.guess) if f.nag is None else f.nag, f"`{f.attribute}` to {ATTACKER}") for f in sure
            ),
            over=bool(above),
            leakage=tuple(max(f.high for f in some if f.high is not None) for some in _known(found)),
        )

    def view(self, found: tuple[WarmStartFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return a row for each attribute."""
        if not found:
            return None
        names = dict.fromkeys(f.attribute for f in found)
        rows = [{"attribute": n, "cells": {f.share: f for f in found if f.attribute == n}} for n in names]
        return {"rows": rows, "shares": (0.0, *SHARES)}


def _of_attribute(data: AuditData, name: str, x: np.ndarray, z: np.ndarray) -> Iterator[WarmStartFinding]:
    original = data.attacked[0]
    plan = splits(original, name, "A", data.budget.seeds[0], data.budget.folds)
    if isinstance(plan, str):
        data.note(f"No model of the originals was used to infer `{name}`: {plan}")
        return
    split, target = plan[0], Target(original.labels[name], original.classes[name])
    run = Run(device=data.run.device, seed=data.budget.seeds[0])
    predicted = warm_start(x, z, target, split, run=run)
    known = target.labels[split.test] >= 0
    unit = data.units.get((name, "A"))
    tested = _Tested(
        truth=target.labels[split.test][known],
        before=predicted.originals[known],
        classes=target.classes,
        unit=None if unit is None else unit[split.test][known],
    )
    for share, after in {0.0: predicted.untuned, **predicted.tuned}.items():
        yield tested.finding(name, share, after[known], 1 + len(predicted.tuned))


@dataclass(frozen=True)
class _Tested:
    # Classes of the tested records, what the model infers of their originals, and the persons, if they count.
    truth: np.ndarray
    before: np.ndarray
    classes: int
    unit: np.ndarray | None

    def finding(self, name: str, share: float, after: np.ndarray, shares: int) -> WarmStartFinding:
        truth, corrected = self.truth, 1 - 0.05 / shares
        was, now, guess, n = accuracy(truth, self.before), accuracy(truth, after), majority(truth), len(truth)
        worth = None if self.unit is None else (self._worth(after), self._worth(self.before))
        defined = nag_is_defined(was, guess, n, None if worth is None else worth[1])
        paired = correlations(truth, after, self.before)

        def interval(confidence: float) -> tuple[float, float] | None:
            if not defined:
                return None
            return nag_interval(
                *(now, was, guess, n),
                confidence=confidence,
                correlation=paired,
                classes=self.classes,
                independent=worth,
            )

        whole, surer = interval(0.95), interval(corrected)
        counted = n if worth is None else worth[0]
        return WarmStartFinding(
            attribute=name,
            share=share,
            before=was,
            after=now,
            guess=guess,
            nag=nag(now, was, guess) if defined else None,
            low=whole[0] if whole else None,
            high=whole[1] if whole else None,
            low_corrected=surer[0] if surer else None,
            at_chance=wilson(now * counted, counted, corrected)[0] <= guess,
            after_interval=wilson(now * counted, counted),
            records=n,
        )

    def _worth(self, predicted: np.ndarray) -> float:
        assert self.unit is not None
        return effective_records(self.truth, predicted, self.unit)


def _known(found: tuple[WarmStartFinding, ...]) -> list[list[WarmStartFinding]]:
    """Return the findings of each attribute that has an interval."""
    names = dict.fromkeys(f.attribute for f in found if f.high is not None)
    return [[f for f in found if f.attribute == name and f.high is not None] for name in names]


def _worst(found: tuple[WarmStartFinding, ...]) -> list[WarmStartFinding]:
    names = dict.fromkeys(f.attribute for f in found)
    return [max((f for f in found if f.attribute == n), key=lambda f: f.after) for n in names]


def _sentence(f: WarmStartFinding) -> str:
    learnt = (
        f"and {percent(f.share)} of the labelled released records" if f.share else "and no labelled released record"
    )
    text = (
        f"An attacker that has a model of the originals {learnt} infers `{f.attribute}` for {percent(f.after)} of "
        f"{f.records:,} unseen records (baseline: {percent(f.guess)})."
    )
    if f.nag is None or f.low is None or f.high is None:
        return text
    shares = [percent(min(max(share, 0.0), 1.0)) for share in (f.nag, f.low, f.high)]
    return f"{text} That is a leakage of {shares[0]} ({shares[1]} to {shares[2]})."
