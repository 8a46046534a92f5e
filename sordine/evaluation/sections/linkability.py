"""Linkability: can an attacker with the originals find the one that a released record was made from?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sordine.attacks.linkability import link
from sordine.attacks.results import LinkageFinding
from sordine.attacks.runner import single_threaded
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.sample import ReleaseSample, sample_rows
from sordine.metrics.nag import wilson
from sordine.metrics.percent import percent

MOST = 2000  # records on each side of the split that are matched with each other
ATTACKERS = {
    "standardised": "nearest original, standardised features",
    "whitened": "nearest original, whitened features",
    "standardised apart": "nearest original, features standardised on each side",
    "whitened apart": "nearest original, features whitened on each side",
    "learnt": "map learned from half of the pairs",
    "channel": "original with the highest probability of this output",
}


class Linkability(Section):
    """Attacks that match released records with originals."""

    title = "Linkability by more attackers: matching released records with originals"
    runs_beside = True
    menu = "Linkability, more attackers"
    key = "linkage"
    finding = tuple[LinkageFinding, ...]
    risk = "linkability"
    how_to_test = "Use `--budget paranoid`."

    def run(self, data: AuditData) -> tuple[LinkageFinding, ...]:
        """Return a finding for each attack and each side of the split."""
        if not data.budget.linkage or not data.policy.suppress or len(data.before) < 2:
            return ()
        with single_threaded():
            return tuple(_findings(data, data.sample))

    def tested(self, found: tuple[LinkageFinding, ...], report: Report) -> bool:
        """Return whether released records were matched with originals, by this section or by `linking`."""
        return bool(found) or "linking" in report.sections

    def sentences(self, found: tuple[LinkageFinding, ...]) -> list[str]:
        """Return what matching means for the owner of the data."""
        sentence = linkage_sentence(found)
        return [sentence] if sentence else []

    def risk_lines(self, found: tuple[LinkageFinding, ...], report: Report) -> list[str]:
        """Return how often the best attack finds the original of a released record."""
        worst = max(found, key=lambda f: f.top1 - f.chance)
        return [
            f"An attacker with {worst.candidates:,} originals finds the right one for {percent(worst.top1)} of the "
            f"released records (interval {percent(worst.low)} to {percent(worst.high)}; chance: "
            f"{percent(worst.chance, 2)})."
        ]

    def view(self, found: tuple[LinkageFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings, each with the attack in words."""
        return {"linkage": [(f, ATTACKERS.get(f.attacker, f.attacker)) for f in found]} if found else None


def _findings(data: AuditData, whole: ReleaseSample) -> Iterator[LinkageFinding]:
    some, unit = sample_rows(whole.before, MOST), whole.unit
    before, after = whole.before.take(some), whole.after[some]
    sample = ReleaseSample(before, after, whole.policy, whole.budget, whole.modifier, whole.key, device=whole.device)
    outputs, why = sample.outputs()
    if why is not None:
        data.note(why)
    assert before.split is not None
    for on, side in (("fitted", before.split), ("unseen", ~before.split)):
        rows = np.flatnonzero(side)
        if len(rows) < 4:
            continue
        known = None if outputs is None else (outputs[0][rows], outputs[1][rows])
        owners = None if unit is None else (unit[0], unit[1][some[rows]])
        yield from link(before.x[rows], after[rows], on, known, owners)  # type: ignore[arg-type]


def linkage_sentence(found: Sequence[LinkageFinding]) -> str:
    """Return what matching means for the owner of the data: the right original, and the right unit."""
    if not found:
        return ""
    above_chance = [f for f in found if f.low > f.chance]
    if not above_chance:
        result = (
            "These attackers have the originals, but did not match them with the released records better than by chance"
        )
    else:
        worst = max(above_chance, key=lambda f: f.top1)
        side = "records of the fit" if worst.on == "fitted" else "unseen records"
        result = (
            f"An attacker that has {worst.candidates:,} originals finds the right one for {percent(worst.top1)} of "
            f"the released records ({side}; chance: {percent(worst.chance)})"
        )
    by_unit = [(f, f.unit_top1, f.unit_guess) for f in found if f.unit_top1 is not None and f.unit_guess is not None]
    matters = bool(above_chance)
    if by_unit:
        f, share, guess = max(by_unit, key=lambda o: o[1] - o[2])
        known = f.candidates if f.unit_records is None else f.unit_records
        luck = wilson(share * known, known, 1 - 0.05 / len(by_unit))[0] <= guess
        result += (
            f". The match belongs to the right `{f.unit}` for {percent(share)} (the most frequent `{f.unit}`: "
            f"{percent(guess)}{'; chance can explain the difference' if luck else ''})"
        )
        matters |= not luck
    return result + (". This matters if others may have the originals." if matters else ".")
