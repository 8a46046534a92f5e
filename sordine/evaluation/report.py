"""The report of an audit: plain data, written as JSON and shown as a page.

Shares and accuracies lie in [0, 1]. Entropies are in bits unless a field says nats. Intervals are 95 % intervals. JSON
keys are those of version 0.1: `setting` is the scenario, `guess` the baseline, `linkage` linkability, `cloud` the
projection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sordine.attacks.results import (
    ExactFinding,
    Finding,
    LinkageFinding,
    PersonFinding,
    PretrainedFinding,
    QueryFinding,
    ReconstructionFinding,
    Role,
    VerificationFinding,
)
from sordine.attacks.scenarios import Setting
from sordine.data.media.kinds import Kind
from sordine.metrics.information import Entanglement

Level = Literal["holds", "leaks", "unclear", "broken"]
SCHEMA = 1
LINKS = {"holds": "However", "unclear": "Also"}  # how a title goes on with a clause on several records
OTHER_RISKS = ". Other risks were found: "  # how a title goes on with the names of risks
NOT_TESTED = ". Not tested: "  # how a title goes on with what the audit left out
LIMIT = 0.05  # leakage up to which an attribute counts as suppressed, where the caller gives no limit


@dataclass(frozen=True)
class OtherScenario:
    """A scenario that is not the worst one by its NAG, but surer of a leakage, or less sure that there is none.

    Parameters
    ----------
    setting
        The scenario.
    low
        Lower end of its interval of NAG; None where there is none.
    not_excluded
        The leakage (NAG) that it cannot exclude.
    at_chance
        As `Headline.at_chance`. False in reports of earlier versions.
    low_corrected
        As `Headline.low_corrected`.
    """

    setting: Setting
    low: float | None
    not_excluded: float
    at_chance: bool = False
    low_corrected: float | None = None

    @property
    def least(self) -> float | None:
        """As `Headline.least`."""
        return self.low if self.low_corrected is None else self.low_corrected


@dataclass(frozen=True)
class Headline:
    """The worst case of one attribute: the best attack on the release against the best attack on the originals.

    Parameters
    ----------
    attribute, role, classes
        The attribute, its role and its number of classes.
    setting
        The scenario with the largest leakage.
    attacker_before, attacker_after
        The best attack on originals and on released records.
    before, after, guess
        Their accuracies, and the baseline.
    nag, low, high
        NAG, not clipped, and its interval. None where the accuracy on originals is too close to the baseline.
    resolvable
        The smallest upper bound on NAG that so many records can certify, even without any leakage.
    at_chance
        Whether the interval of `after` reaches down to the baseline, after Bonferroni correction for the best of all
        attacks. In scenarios B and C a record counts half: see `low_corrected`.
    before_interval, after_interval
        Wilson intervals of the accuracies.
    balanced_nag
        NAG of balanced accuracy.
    uneven
        Whether the most frequent class has more than 1.5 times an equal share.
    records
        Number of tested records.
    sentence
        This headline in words.
    units
        Persons or groups that the tested records belong to, where the attacker has no record of them; a record apart
        from all of them counts as one. None: every record is a unit.
    independent
        Where there are such units: independent records that the predictions on released records and on originals are
        worth (`metrics.design_effect`).
    also
        Of a suppressed attribute: other scenarios that are surer of a leakage, or less sure that there is none.
    low_corrected
        The lower end, after Bonferroni correction for the best of all attacks and scenarios. In scenarios B and C,
        which are cross-validations, a record counts half, since records that learn from each other are right or wrong
        together. None without an interval, and in reports of earlier versions.
    """

    attribute: str
    role: Role
    classes: int
    setting: Setting
    attacker_before: str
    attacker_after: str
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    resolvable: float | None
    at_chance: bool
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    balanced_nag: float | None = None
    uneven: bool = False
    records: int = 0
    sentence: str = ""
    units: int | None = None
    independent: tuple[float, float] | None = None
    also: tuple[OtherScenario, ...] = ()
    low_corrected: float | None = None

    @property
    def least(self) -> float | None:
        """The lower end that decides whether the attribute leaks: `low_corrected`; `low` in earlier reports."""
        return self.low if self.low_corrected is None else self.low_corrected

    @property
    def tested(self) -> str:
        """The tested records in words, with the persons or groups that they belong to."""
        if self.units is None or self.independent is None:
            return f"{self.records:,} tested records"
        worth = min(max(round(self.independent[0]), 1), self.records)
        few = f"{self.units:,} persons or groups"
        return (
            f"{self.records:,} tested records of {few} (worth {worth:,} independent record{'' if worth == 1 else 's'})"
        )

    @property
    def not_excluded(self) -> float:
        """The leakage (NAG) that the audit cannot exclude: the larger of `high` and `resolvable`.

        `high` alone is not enough: an attack that always predicts the same class has a short interval on any number of
        records. Without an interval of NAG it is the upper end of `after` above the baseline, over 1 - baseline. The
        accuracy on originals then counts as 1.
        """
        if self.nag is None or self.low is None or self.high is None:
            above = self.after_interval[1] - self.guess
            own = max(above, 0.0) / (1 - self.guess) if self.guess < 1 else 0.0
        else:
            own = max(self.high, self.resolvable or 0.0)
        return max([own, *(other.not_excluded for other in self.also)])

    @property
    def beyond_interval(self) -> bool:
        """Whether `not_excluded` lies above the interval of NAG, because so many records cannot certify less."""
        return self.nag is not None and self.high is not None and self.not_excluded > self.high

    @property
    def may_be_luck(self) -> bool:
        """Whether it is at the baseline only because of the correction for the best of many attacks."""
        return self.at_chance and self.low is not None and self.low > 0

    @property
    def overtaken(self) -> bool:
        """Whether accuracy is surely higher than on originals, so that NAG is no share."""
        return self.low is not None and self.low > 1


@dataclass(frozen=True)
class Flaw:
    """A problem of the released table itself.

    Parameters
    ----------
    code
        Short name of the problem.
    severity
        `leak` fails the audit, `broken` makes figures unreliable, `note` informs.
    message
        A sentence without ids of records, because the manifest of a release repeats it.
    attribute, column
        What it is about.
    example
        Id of one record, for the owner only.
    """

    code: str
    severity: Literal["leak", "broken", "note"]
    message: str
    attribute: str | None = None
    column: str | None = None
    example: str | None = None


@dataclass(frozen=True)
class Cloud:
    """Records in two dimensions, on the same axes.

    Parameters
    ----------
    before, after
        Points (x, y) of the same records in the same order. `before` is empty under --no-originals.
    codes
        Attribute to the code of each record: an index into `classes`, or -1 where it is not labelled.
    classes
        Attribute to names of its classes.
    how
        Which records and which axes, in words.
    """

    before: tuple[tuple[float, float], ...]
    after: tuple[tuple[float, float], ...]
    codes: dict[str, tuple[int, ...]]
    classes: dict[str, tuple[str, ...]]
    how: str


@dataclass(frozen=True)
class Sample:
    """One record to look at or to listen to.

    Parameters
    ----------
    caption_before
        Classes of the record, one line for suppressed and one for preserved attributes. Empty under --no-originals.
    caption_after
        Classes of the recording that replaces it, and the released labels, one line each.
    mime_before, mime_after
        Types of the files.
    before, after
        The files, made small, as base64. None where there is nothing to show.
    """

    caption_before: str
    caption_after: str
    mime_before: str = ""
    mime_after: str = ""
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Gallery:
    """Some records to look at or to listen to.

    Parameters
    ----------
    kind
        `audio`, `image` or `video`.
    samples
        The records.
    note
        What they are and how they were chosen.
    """

    kind: Kind
    samples: tuple[Sample, ...]
    note: str


@dataclass(frozen=True)
class Sheet:
    """A grid of pictures: each row is a record, each column a stage on the way to the release.

    Parameters
    ----------
    title
        Title of the grid.
    columns
        What each column shows ("original", "filtered", "mask", "released").
    rows
        Base64 PNGs, one for each column. Empty text where there is no picture.
    captions
        Classes of each row's record. Empty under --no-originals.
    note
        What the pictures are and how they were chosen.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    captions: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Point:
    """One report in a comparison.

    Parameters
    ----------
    name
        Name of the report.
    leakage, leakage_low, leakage_high
        NAG of the compared attribute, not clipped, and its 95 % interval. None where it is unknown.
    utility, utility_low, utility_high
        Mean NAG of the attributes in `utilities`, not clipped, and the means of the ends of their 95 % intervals. None
        where one of them is unknown.
    utilities
        NAG of each attribute of the mean, by name.
    settings
        The options that vary within the method, with their values.
    role
        Role of the attribute whose leakage is compared.
    before, after, guess
        Its accuracies on original and on released records, and its baseline (0 to 1).
    attacker, setting
        The attack on released records and the scenario of that leakage.
    records
        Number of tested records.
    level
        Level of the report's verdict.
    distortion
        Distances between originals and released records, by name.
    geometry
        Utility that needs no attribute, by name: the figure and its 95 % interval. Empty where it was not measured.
    front
        Whether no other report leaks at most as much and is at least as useful, one of them strictly.
    sheet
        The first row of the report's first sheet.
    """

    name: str
    leakage: float | None
    leakage_low: float | None
    leakage_high: float | None
    utility: float | None
    utility_low: float | None
    utility_high: float | None
    utilities: dict[str, float]
    settings: dict[str, Any]
    role: Role
    before: float
    after: float
    guess: float
    attacker: str
    setting: Setting
    records: int
    level: str
    distortion: dict[str, float] = field(default_factory=dict)
    geometry: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    front: bool = False
    sheet: Sheet | None = None


@dataclass(frozen=True)
class Curve:
    """The reports of one method.

    Parameters
    ----------
    method
        Name of the method, with its options that are no numbers and differ.
    varies
        Names of the options that are numbers and differ.
    points
        The reports, in the order of these options.
    """

    method: str
    varies: tuple[str, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Failed:
    """A point that a sweep could not make.

    Parameters
    ----------
    name
        The method and its varying options.
    why
        The reason, in words.
    """

    name: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """Reports side by side: leakage of one attribute against utility.

    Parameters
    ----------
    attribute
        The attribute whose leakage is compared.
    utility
        The attributes of which the utility is the mean.
    curves
        The reports, by method.
    notes
        What limits the comparison.
    failed
        Points that a sweep could not make.
    differ
        How the audits differ, in sentences. Then no point is marked as undominated.
    """

    attribute: str
    utility: tuple[str, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()
    differ: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The verdict on a release.

    Parameters
    ----------
    level
        holds, leaks, unclear or broken, for single records: see `sordine.evaluation.verdict.judge_contributions`.
    title
        One line with the largest leakage that was found or cannot be excluded.
    sentences
        The reasons.
    adds_up
        Whether several records of one person clearly give away more. Then the title states it.
    not_excluded
        The largest leakage (NAG) of a suppressed attribute that the audit cannot exclude. None where it is unknown.
    grade
        The verdict in one word: see `sordine.evaluation.grade`. Empty in reports of earlier versions.
    """

    level: Level
    title: str
    sentences: tuple[str, ...]
    adds_up: bool = False
    not_excluded: float | None = None
    grade: str = ""

    @property
    def has_other_risks(self) -> bool:
        """Whether the title names other risks that were clearly found."""
        return OTHER_RISKS in self.title

    @property
    def left_something_out(self) -> bool:
        """Whether the title names attacks of the budget `standard` that the audit left out."""
        return NOT_TESTED in self.title

    @property
    def title_lines(self) -> tuple[str, ...]:
        """The title; a clause on several records, other risks and what was not tested are lines of their own."""
        link = f" {LINKS.get(self.level)}, "
        rest, untested, left_out = self.title.partition(NOT_TESTED)
        whole, named, risks = rest.partition(OTHER_RISKS)
        first, found, clause = whole.partition(f".{link}")
        lines = [first, f"{link[1:]}{clause}"] if self.adds_up and found else [whole]
        lines += [f"{OTHER_RISKS[2:]}{risks}"] if named else []
        lines += [f"{NOT_TESTED[2:]}{left_out}"] if untested else []
        return (whole,) if lines == [whole] else tuple(f"{line.rstrip('.')}." for line in lines)


@dataclass(frozen=True)
class Report:
    """Everything that an audit found.

    A section of the report fills the field that it declares as its key. The other sections
    fill `sections`.

    Parameters
    ----------
    verdict
        The verdict on the release.
    policy
        Names of the attributes by role: `suppress`, `preserve` and `watch`.
    headlines
        The worst case of each attribute.
    findings
        Each attack on single records, in each scenario.
    pretrained
        Classifiers of originals that are never retrained. They are no measure of privacy.
    exact
        The optimal attack, for methods whose output distribution is known.
    proved
        What the method guarantees, in sentences.
    person
        Attacks on several records of one person.
    queries
        Attacks on several releases of the same records.
    linkage
        Linkability: how often released records are matched with their originals.
    verification
        Whether two released records are recognised as of one person.
    flaws
        Problems of the released table.
    entanglement
        Entropies of the attributes given each other (bits). None without labels.
    cloud
        Records projected to two dimensions.
    gallery
        Media files before and after.
    sheets
        Grids of pictures.
    reconstruction
        How well decoders reconstruct pictures.
    distortion
        Distances between originals and released records, by name.
    table
        Facts about the original records, such as their number and source.
    modifier
        Facts about the modifier, such as its method and fields. None where it is unknown.
    made
        Facts about the audit: attacks, scenarios, seeds, numbers of records, versions and notes.
    max_leakage
        The caller's limit on leakage (NAG, 0 to 1). None without a limit.
    passed
        Whether the limit is met. None without a limit or where it is not decided.
    schema
        Version of the JSON schema.
    sections
        Findings of the sections that have no field of their own here, by the section's name.
    """

    verdict: Verdict
    policy: dict[str, tuple[str, ...]]
    headlines: tuple[Headline, ...]
    findings: tuple[Finding, ...]
    pretrained: tuple[PretrainedFinding, ...] = ()
    exact: tuple[ExactFinding, ...] = ()
    proved: tuple[str, ...] = ()
    person: tuple[PersonFinding, ...] = ()
    queries: tuple[QueryFinding, ...] = ()
    linkage: tuple[LinkageFinding, ...] = ()
    verification: tuple[VerificationFinding, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    entanglement: Entanglement | None = None
    cloud: Cloud | None = None
    gallery: Gallery | None = None
    sheets: tuple[Sheet, ...] = ()
    reconstruction: tuple[ReconstructionFinding, ...] = ()
    distortion: dict[str, float] = field(default_factory=dict)
    table: dict[str, Any] = field(default_factory=dict)
    modifier: dict[str, Any] | None = None
    made: dict[str, Any] = field(default_factory=dict)
    max_leakage: float | None = None
    passed: bool | None = None
    schema: int = SCHEMA
    sections: dict[str, Any] = field(default_factory=dict)

    @property
    def limit(self) -> float:
        """The leakage up to which the verdict holds: the caller's limit, or 5 %."""
        return LIMIT if self.max_leakage is None else self.max_leakage

    @property
    def decided(self) -> frozenset[str]:
        """Attributes that a suppressed attribute determines: their utility is leakage under another name."""
        pairs = () if self.entanglement is None else self.entanglement.pairs
        return frozenset(p.of for p in pairs if p.decides and p.given in self.policy.get("suppress", ()))
