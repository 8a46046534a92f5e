"""What a section of the report is: a finding, the sentences about it, and a template that shows it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sordine.attacks.budget import Budget
from sordine.attacks.results import Role
from sordine.attacks.runner import Readings
from sordine.attacks.scenarios import AttackData
from sordine.data.table import Table
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import LIMIT, Flaw, Headline, Report
from sordine.evaluation.sections.risk_sample import RiskSample
from sordine.evaluation.sections.sample import ReleaseSample, sample_rows
from sordine.evaluation.verdict import Contribution
from sordine.keys import Key
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run


@dataclass
class AuditData:
    """What every section of an audit may use.

    Parameters
    ----------
    original, released
        Both tables, whole, with their feature columns in the same order.
    before
        The originals that are attacked (n records, float32). `before.split` is True for records of the fit.
    after
        The released records (n, *shape), float32, in the same order.
    policy
        Resolved policy.
    budget, options, run
        As given to `audit`.
    modifier, key
        The modifier and the key of the release, where they are known.
    flaws
        What the checks of the whole release found, before any attack.
    headlines
        The results of the attacks on single records.
    units
        Attribute and scenario to the units (n or more,) of the attacked records, where a record is not a unit.
    readings
        Their predictions.
    found
        Findings of the sections that ran earlier, by section name.
    notes
        Sections append what they left out and why.
    memory
        Cache of what depends on the originals alone.
    """

    original: Table
    released: Table
    before: Table
    after: np.ndarray
    policy: Policy
    budget: Budget
    options: AuditOptions
    run: Run
    modifier: Modifier | None = None
    key: Key | None = None
    flaws: tuple[Flaw, ...] = ()
    headlines: tuple[Headline, ...] = ()
    units: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)
    readings: Readings = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    memory: MutableMapping[Any, Any] = field(default_factory=dict)

    @property
    def fitted(self) -> np.ndarray:
        """(n,) bool: which of the attacked records the modifier was fitted on."""
        assert self.before.split is not None
        return self.before.split

    @property
    def roles(self) -> dict[str, Role]:
        """The role of every attribute."""
        return {name: role for role, names in self.policy.roles() for name in names}  # type: ignore[misc]

    @property
    def limit(self) -> float:
        """The leakage up to which the verdict holds: the caller's limit, or 5 %."""
        return LIMIT if self.options.max_leakage is None else self.options.max_leakage

    @cached_property
    def attacked(self) -> tuple[AttackData, AttackData]:
        """What attacks on single records use: originals and released records under the same labels."""
        before = self.before
        originals = AttackData(
            x=before.x,
            ids=before.ids,
            labels={name: before.y[name] for name in self.roles},
            classes={name: len(before.classes[name]) for name in self.roles},
            fitted=self.fitted,
            group=before.group,
        )
        return originals, replace(originals, x=self.after)

    @property
    def digest(self) -> Any:
        """Digest of the originals, for keys of `memory`."""
        return self.attacked[0].digest

    @cached_property
    def sample(self) -> ReleaseSample:
        """The records for attacks that need more than one record, one release or the originals."""
        rows = sample_rows(self.before)
        return ReleaseSample(
            self.before.take(rows),
            self.after[rows],
            self.policy,
            self.budget,
            self.modifier,
            self.key,
            self.options.person,
            self.run.device,
        )

    @cached_property
    def risks(self) -> RiskSample:
        """The records for attacks with a control attack."""
        return RiskSample.of(self.before, self.after, self.modifier, self.key, self.options.person)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def with_own_notes(self) -> AuditData:
        """Return the same data with an empty list of notes, for a section that runs beside others."""
        # What is made on first use is made now, so that all of them share it.
        _ = self.attacked, self.sample, self.risks
        own = copy(self)
        own.notes = []
        return own


STANDARD = "Use the budget `standard`."


@dataclass(frozen=True)
class AssumedAttacker:
    """One row of the page's table of attackers.

    Parameters
    ----------
    has
        What the attacker has, in words, without a full stop.
    tested
        Whether this audit tested it.
    how
        What an audit needs to test it, as a sentence; shown where it was not tested.
    anchor
        Name of the section with the result; empty: the section that gives the row.
    """

    has: str
    tested: bool
    how: str = ""
    anchor: str = ""


def is_quick(report: Report) -> bool:
    """Whether the audit was a trial: the budget `standard` makes attacks that it left out."""
    return report.made.get("budget") == "quick"


def give_modifier(report: Report) -> str:
    """Return how to test an attacker that has the modifier, where the same attacker without it was tested."""
    if report.modifier is None and all(f.code != "other-modifier" for f in report.flaws):
        return "Give the modifier with `--modifier`."
    return "It needs the modifier that made these records, with its key, and a method that draws at random."


class Section:
    """One section of the report.

    A section from outside the package subclasses this and calls `SECTIONS.register(name, cls)`. Its finding (a
    dataclass, or a tuple of dataclasses) is written to the report's JSON under `sections.<name>`, and its template is
    shown on the page.

    Attributes
    ----------
    name
        Name in the registry and anchor on the page; `sections()` sets it.
    title
        Heading on the page.
    menu
        Short title in the page's menu. Empty: `title`.
    key
        Field of `Report` that holds the finding. None: `Report.sections[name]`.
    finding
        Type of the finding (`tuple[MyFinding, ...]`). None: plain JSON data.
    judges_when_left_out
        Whether `contribution` is asked, with an empty finding, also where the caller leaves the section out.
    needs_records
        Whether the section is left out where no record of the two tables matches.
    runs_beside
        Whether `run` may run in a thread beside other sections: it needs no finding of theirs, and draws no picture.
    template
        Text of a Jinja template. None: the file `page/templates/<name>.html`.
    aside
        Whether the page marks the section as no measure of privacy.
    risk
        The risk that the section measures, a key of `sordine.evaluation.page.risks.RISKS` ("singling out",
        "linkability", "inference", "membership"). The top of the page collects `risk_lines` under it. Empty: none.
    attacker
        What the section's attacker has, in words. Empty: no row in the page's table of attackers.
    how_to_test
        What an audit needs for this section, as a sentence; shown as the reason where there is no finding.
    needs
        What the records need for this section, as a sentence: the reason where the budget includes it. Empty:
        `how_to_test`.
    """

    name: str = ""
    title: ClassVar[str]
    menu: ClassVar[str] = ""
    key: ClassVar[str | None] = None
    finding: ClassVar[Any] = None
    judges_when_left_out: ClassVar[bool] = False
    needs_records: ClassVar[bool] = True
    runs_beside: ClassVar[bool] = False
    template: ClassVar[str | None] = None
    aside: ClassVar[bool] = False
    risk: ClassVar[str] = ""
    attacker: ClassVar[str] = ""
    how_to_test: ClassVar[str] = ""
    needs: ClassVar[str] = ""

    def run(self, data: AuditData) -> Any:
        """Return the finding; None or an empty tuple where there is none."""
        return None

    def sentences(self, found: Any) -> list[str]:
        """Return what the finding means, in sentences for the page."""
        return []

    def risk_lines(self, found: Any, report: Report) -> list[str]:
        """Return one or two plain sentences with the figure and its interval, for the top of the page.

        They are shown only where there is a finding. By default they are `sentences`.
        """
        return self.sentences(found)

    def applies(self, report: Report) -> bool:
        """Return whether the section can say anything about such records; else it does not count as untested."""
        return True

    def plain_lines(self, found: Any, report: Report) -> list[str]:
        """Return what remains of a suppressed attribute that has no headline, in a sentence without technical terms."""
        return []

    def tested(self, found: Any, report: Report) -> bool:
        """Return whether the audit tested what the section is about; by default, whether it found anything."""
        return bool(found)

    def remedy(self, report: Report) -> str:
        """Return what an audit needs to test the section, as a sentence, by what this audit left out.

        By default, this is the budget `standard` after a `quick` audit, where `how_to_test` names that budget. After
        another audit it is `needs`, unless the caller left these attacks out.
        """
        if is_quick(report):
            return STANDARD if "`standard`" in self.how_to_test else self.how_to_test
        off = "risks besides inference" in report.made.get("left_out", ())
        return self.how_to_test if off or not report.made else self.needs or self.how_to_test

    def attackers(self, found: Any, report: Report) -> list[AssumedAttacker]:
        """Return the section's rows of the table of attackers; also where there is no finding."""
        if not self.attacker:
            return []
        return [AssumedAttacker(self.attacker, self.tested(found, report), self.remedy(report))]

    def contribution(self, found: Any, data: AuditData) -> Contribution | None:
        """Return what the finding adds to the verdict; None where it adds nothing."""
        return None

    def of(self, report: Report) -> Any:
        """Return the finding that a report holds for this section."""
        return getattr(report, self.key) if self.key is not None else report.sections.get(self.name)

    def heading(self, found: Any) -> str:
        """Return the heading on the page."""
        return self.title

    def view(self, found: Any, report: Report) -> dict[str, Any] | None:
        """Return the variables of the template; None where the page has nothing to show."""
        return {} if found else None
