"""Linking: released records to originals, and two releases of the same records to each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sordine.attacks.matching import attempts, to_originals, two_releases
from sordine.attacks.output_distribution import drawn_outputs
from sordine.attacks.risk import Attempt, RiskFinding, findings
from sordine.attacks.runner import single_threaded
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.risk_sample import LINKED, RiskSample
from sordine.evaluation.verdict import Contribution
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
    runs_beside = True
    menu = "Linkability"
    finding = LinkingFinding | None
    risk = "linkability"
    attacker = "The originals, or two releases of the same records"
    how_to_test = "Use the budget `standard` or `paranoid`, and give the modifier."
    needs = (
        f"It needs {FEWEST} records of the fit or {FEWEST} others, and the modifier or the numbers of the originals."
    )

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
        """Return sentences where matches are surely better than their control.

        Where the policy suppresses the person, a clear match with originals excludes that the verdict holds: an
        attacker with the originals of named persons learns whose a released record is.
        """
        if found is None:
            return None
        sentences, risks = [], []
        for name, keys, rows, about in (
            ("linkability to originals", (), found.originals, _about_originals),
            ("linkability of two releases", ("under different keys",), found.releases, _about_releases),
        ):
            clear = [f for f in rows if f.clear]
            if clear:
                sentences += about(found)
                needs = ("with the modifier",) if all(f.knows == "modifier" for f in clear) else ()
                conditions = ", ".join((*keys, *needs))
                risks.append(f"{name} ({conditions})" if conditions else name)
        if not risks:
            return None
        persons = data.risks.persons
        identified = any(f.clear for f in found.originals) and persons is not None
        return Contribution(
            closing=tuple(sentences),
            risks=tuple(risks),
            unclear=identified and persons is not None and persons[0] in data.policy.suppress,
        )

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


def _sides(sample: RiskSample, among: np.ndarray | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each side, and its sampled rows; of those in `among`, where it is given."""
    wanted = np.ones(len(sample.x), bool)
    if among is not None:
        wanted = np.isin(np.arange(len(sample.x)), among)
    for on, side in (("fitted", sample.fitted), ("unseen", ~sample.fitted)):
        rows = sample.rows(side & wanted, LINKED)
        if len(rows) >= FEWEST:
            yield on, rows


def _to_originals(sample: RiskSample) -> Iterator[Attempt]:
    outputs = sample.outputs
    own = None if outputs is not None else sample.own
    if own is not None and own[1].shape[2:] != sample.released.shape[1:]:
        own = None
    for on, rows in _sides(sample, None if own is None else own[0]):
        known = None if outputs is None else (outputs[0][rows], outputs[1][rows])
        again = None if own is None else sample.flat(own[1][:, np.searchsorted(own[0], rows)])
        scores = to_originals(sample.x[rows], sample.after[rows], sample.spaces, known, again)
        yield from attempts(scores, on)  # type: ignore[arg-type]


def _between(sample: RiskSample) -> Iterator[Attempt]:
    if sample.own is None or sample.known is None:
        return
    whose, releases = sample.own
    pair = releases[[0, -1 if len(releases) == 1 else 1]]
    for on, rows in _sides(sample, whose):
        made = pair[:, np.searchsorted(whose, rows)]
        outputs = _outputs(sample, rows, made)
        others = np.setdiff1d(np.arange(len(sample.x)), rows)
        population = None
        if sample.distributions is not None and len(others) >= FEWEST:
            population = sample.distributions[others]
        flat = sample.flat(made)
        yield from attempts(two_releases(flat[0], flat[1], population, outputs), on)  # type: ignore[arg-type]


def _outputs(sample: RiskSample, rows: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return which outputs two releases (2, n, *shape) are, (n,) each; None where they are not known."""
    if sample.known is None or sample.distributions is None:
        return None
    some = sample.before.take(rows)
    drawn = [drawn_outputs(sample.known, some, release, None) for release in made]
    # Where several outputs are equal, their codes are not columns of P(output | x).
    first, second = (None if same is not None else codes for codes, same in drawn)
    return None if first is None or second is None else (first, second)


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
