"""Linking: released records to originals, and two releases of the same records to each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sordine.attacks.matching import attempts, to_originals, two_releases
from sordine.attacks.output_distribution import drawn_outputs, released_under
from sordine.attacks.risk import Attempt, RiskFinding, findings
from sordine.attacks.runner import single_threaded
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.risk_sample import LINKED, RiskSample
from sordine.evaluation.verdict import Contribution
from sordine.keys import Key
from sordine.metrics.percent import percent

FEWEST = 20  # records on a side, below which nothing is matched


@dataclass(frozen=True)
class LinkingFinding:
    """How often released records are matched with their originals, and with another release of the same records.

    Parameters
    ----------
    originals
        Released records to originals, an attack and a side of the split each.
    releases
        Two releases under different keys. Empty where the modifier is not known.
    repeats
        Whether every key gives the same release, so that two releases always match.
    """

    originals: tuple[RiskFinding, ...]
    releases: tuple[RiskFinding, ...]
    repeats: bool

    @property
    def rows(self) -> tuple[RiskFinding, ...]:
        """All findings."""
        return (*self.originals, *self.releases)


class Linking(Section):
    """Attacks that match records, each with a control."""

    title = "Linkability: to the originals, and between two releases"
    menu = "Linkability"
    finding = LinkingFinding | None
    risk = "linkability"
    attacker = "The originals, or two releases of the same records"
    how_to_test = "Use the budget `standard` or `paranoid`, and give the modifier."

    def run(self, data: AuditData) -> LinkingFinding | None:
        """Return the finding; None where there are too few records, or the budget leaves it out."""
        if not data.budget.risks:
            return None
        sample = data.risks
        with single_threaded():
            originals = findings(list(_to_originals(sample)))
            releases = findings(list(_between(sample)))
        if not originals and not releases:
            data.note("Linkability is not attacked: there are too few records, or their numbers cannot be compared.")
            return None
        return LinkingFinding(originals, releases, sample.known is not None and not sample.known.noise)

    def sentences(self, found: LinkingFinding | None) -> list[str]:
        """Return what linking means for the owner of the data."""
        return [] if found is None else [*_about_originals(found), *_about_releases(found)]

    def contribution(self, found: LinkingFinding | None, data: AuditData) -> Contribution | None:
        """Return sentences where matches are surely better than their control."""
        if found is None:
            return None
        sentences, risks = [], []
        for name, rows, about in (
            ("linkability to originals", found.originals, _about_originals),
            ("linkability of two releases", found.releases, _about_releases),
        ):
            if any(f.clear for f in rows):
                sentences += about(found)
                risks.append(name)
        return Contribution(closing=tuple(sentences), risks=tuple(risks)) if risks else None

    def risk_lines(self, found: LinkingFinding, report: Report) -> list[str]:
        """Return the figures of the best attacks, with the intervals of their risks."""
        lines = []
        if found.originals:
            worst = _worst(found.originals)
            has = "originals and the modifier" if worst.knows == "modifier" else "originals"
            lines.append(
                f"An attacker with {worst.trials:,} {has} finds the right original for {percent(worst.success)} of "
                f"released records ({worst.about})."
            )
        if found.releases:
            worst = _worst(found.releases)
            lines.append(
                f"If the same records are released twice under different keys, an attacker pairs "
                f"{percent(worst.success)} of {worst.trials:,} records ({worst.about})."
            )
        return lines

    def view(self, found: LinkingFinding | None, report: Report) -> dict[str, Any] | None:
        """Return the rows."""
        return {"f": found} if found else None


def _sides(sample: RiskSample) -> Iterator[tuple[str, np.ndarray]]:
    for on, side in (("fitted", sample.fitted), ("unseen", ~sample.fitted)):
        rows = sample.rows(side, LINKED)
        if len(rows) >= FEWEST:
            yield on, rows


def _to_originals(sample: RiskSample) -> Iterator[Attempt]:
    outputs = sample.outputs
    for on, rows in _sides(sample):
        known = None if outputs is None else (outputs[0][rows], outputs[1][rows])
        own = None if outputs is not None or sample.own is None else _of(sample, rows)
        scores = to_originals(sample.x[rows], sample.after[rows], sample.space, known, own)
        yield from attempts(scores, on)  # type: ignore[arg-type]


def _of(sample: RiskSample, rows: np.ndarray) -> np.ndarray | None:
    """Return the attacker's own releases of some records (keys, n, e); None where they have other numbers."""
    assert sample.own is not None
    whose, releases = sample.own
    if releases.shape[2] != sample.after.shape[1]:
        return None
    return releases[:, np.searchsorted(whose, rows)]


def _between(sample: RiskSample) -> Iterator[Attempt]:
    modifier = sample.known
    if modifier is None:
        return
    keys = [Key.of_seed(91_000), Key.of_seed(91_001)]
    for on, rows in _sides(sample):
        some = sample.before.take(rows)
        made = released_under(modifier, some, keys)
        population = outputs = None
        if sample.distributions is not None:
            drawn = [drawn_outputs(modifier, some, one, key) for one, key in zip(made, keys, strict=True)]
            others = sample.distributions[np.setdiff1d(np.arange(len(sample.x)), rows)]
            # Where several outputs are equal, their codes are not columns of P(output | x).
            if all(d is not None and same is None for d, same in drawn) and len(others) >= FEWEST:
                population, outputs = others, (drawn[0][0], drawn[1][0])
        flat = sample.numbers(made.reshape(-1, *made.shape[2:])).reshape(2, len(rows), -1)
        yield from attempts(two_releases(flat[0], flat[1], population, outputs), on)  # type: ignore[arg-type]


def _worst(rows: tuple[RiskFinding, ...]) -> RiskFinding:
    clear = [f for f in rows if f.clear]
    return max(clear or rows, key=lambda f: f.success)


def _about_originals(found: LinkingFinding) -> list[str]:
    if not found.originals:
        return []
    worst = _worst(found.originals)
    has = "the originals and the modifier" if worst.knows == "modifier" else "the originals"
    figures = f"{percent(worst.success)} of released records (by chance: {percent(worst.control)})"
    if worst.clear:
        return [f"An attacker that has {has} finds the right one among {worst.trials:,} originals for {figures}."]
    return [
        "Released records were not matched with their originals clearly better than by chance. The best attacker finds "
        f"the right one among {worst.trials:,} for {figures}."
    ]


def _about_releases(found: LinkingFinding) -> list[str]:
    if not found.releases:
        return []
    if found.repeats:
        return [
            "This modifier draws nothing: two releases of the same records are equal, so anyone can link them. Do not "
            "release the same records twice under different pseudonyms."
        ]
    worst = _worst(found.releases)
    figures = f"{percent(worst.success)} of {worst.trials:,} records (by chance: {percent(worst.control)})"
    if worst.clear:
        return [
            "If the same records are released twice under different keys, an attacker finds the other release of "
            f"{figures}. Use one key for a data set."
        ]
    return [
        "Two releases of the same records under different keys were not linked clearly better than by chance: "
        f"{figures}."
    ]
