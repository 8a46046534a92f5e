"""What an audit found: plain data, written as JSON and shown as a page. Nothing is computed here.

Shares and accuracies lie in [0, 1]; entropies are in bits unless a field says nats; intervals are 95 %.
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
from sordine.metrics.information import Entanglement

MediaKind = Literal["audio", "image", "video"]
SCHEMA = 1
LIMIT = 0.05  # leakage up to which an attribute counts as suppressed, where the caller names no limit


@dataclass(frozen=True)
class Headline:
    """The worst case of one attribute: best attacker after over best attacker before, in the setting where that is largest.

    nag, low, high: unclipped NAG and its interval. resolvable: the smallest upper bound on NAG that so many records
    could certify, even if nothing leaked at all; None where before is not readable above the guess.
    at_chance: the interval of `after`, widened for having picked the best of all families and settings (Bonferroni), holds
    the guess or lies below it. may_be_luck: at chance only by that widening, while its own interval lies above 0.
    overtaken: surely more is read than from the originals, by attackers that read those so badly that NAG says no share.
    sentence: this line in words.
    uneven: classes are uneven (majority share over 1.5 times an even share), so balanced NAG deserves a look.
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

    @property
    def not_excluded(self) -> float:
        """The leakage (NAG) that the audit cannot exclude: the larger of `high` and `resolvable`.

        `high` alone is not enough: an attacker that always predicts the same class has a short interval on any number of
        records. Where no interval of NAG is known, it is the upper end of `after` above the guess, over 1 - guess: the originals then
        count as if they told everything.
        """
        if self.nag is None or self.low is None or self.high is None:
            above = self.after_interval[1] - self.guess
            return max(above, 0.0) / (1 - self.guess) if self.guess < 1 else 0.0
        return max(self.high, self.resolvable or 0.0)

    @property
    def may_be_luck(self) -> bool:
        return self.at_chance and self.low is not None and self.low > 0

    @property
    def overtaken(self) -> bool:
        return self.low is not None and self.low > 1


@dataclass(frozen=True)
class Flaw:
    """Something wrong with the release itself. severity `leak` fails the audit, `broken` makes figures unreliable, `note` informs.

    message: a sentence without ids of records; a release's manifest takes it over. example: the id of one record that the flaw
    is about, for the owner only; None where there is none.
    """

    code: str
    severity: Literal["leak", "broken", "note"]
    message: str
    attribute: str | None = None
    column: str | None = None
    example: str | None = None


@dataclass(frozen=True)
class Cloud:
    """Records in two dimensions, before and after, on the same axes; codes index into `classes` per attribute, -1 unlabelled.

    before, after: lists of (x, y) for the same records in the same order; before is empty under --no-originals.
    """

    before: tuple[tuple[float, float], ...]
    after: tuple[tuple[float, float], ...]
    codes: dict[str, tuple[int, ...]]
    classes: dict[str, tuple[str, ...]]
    how: str


@dataclass(frozen=True)
class Sample:
    """One record to look at or listen to, before and after.

    caption_before: the classes of the record's suppressed and of its preserved attributes, a line each; empty under
    --no-originals. caption_after: whose recording took its place, and what stands beside it, a line each. before, after:
    the files, made small, as base64; None where there is nothing to show. mime_before, mime_after: what they are.
    """

    caption_before: str
    caption_after: str
    mime_before: str = ""
    mime_after: str = ""
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Gallery:
    """Some records as people see or hear them. note: what they are and how they were picked, in sentences."""

    kind: MediaKind
    samples: tuple[Sample, ...]
    note: str


@dataclass(frozen=True)
class Sheet:
    """A grid of pictures: a row a record, a column a stage of what becomes of it.

    columns: what each column shows ("original", "filtered", "mask", "released"). rows: base64 PNGs, as many a row as there
    are columns; empty where there is no picture. captions: the classes of each row's record; none under --no-originals.
    note: what they are and how they were picked, in sentences.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    captions: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Point:
    """One report in a comparison.

    leakage, utility: unclipped NAG, with their 95 % intervals; None where they cannot be told. utilities: each attribute
    that the utility is the mean of. settings: the fields that vary within the method, with their values. before, after,
    guess: of the attribute whose leakage it is, accuracies in [0, 1]. attacker, setting: which reading that is.
    front: no other report leaks as little or less and is as useful or more, one of them strictly.
    sheet: the report's first sheet, cut to one row.
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
    front: bool = False
    sheet: Sheet | None = None


@dataclass(frozen=True)
class Curve:
    """The reports of one method, in the order of what varies. varies: names of its numeric fields that do."""

    method: str
    varies: tuple[str, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Failed:
    """A setting of a sweep of which there is no point. name: the method and what varies; why: in words."""

    name: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """Reports side by side: leakage of `attribute` against utility, the mean over `utility`. notes: what to know of them.
    failed: settings that a sweep could not make. differ: how the audits did not try alike, in sentences: then no point is
    marked as undominated."""

    attribute: str
    utility: tuple[str, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()
    differ: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The page's first words. level: holds (for every suppressed attribute, what cannot be excluded lies under the limit), leaks,
    unclear, broken; of single records. `sordine.evaluation.verdict.judge` has the rule. adds_up: several records known to be of one person clearly tell more, and the title says how much."""

    level: Literal["holds", "leaks", "unclear", "broken"]
    title: str
    sentences: tuple[str, ...]
    adds_up: bool = False


@dataclass(frozen=True)
class Report:
    """Everything an audit found."""

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

    @property
    def limit(self) -> float:
        """The leakage up to which the verdict holds: the caller's limit, or 5 %."""
        return LIMIT if self.max_leakage is None else self.max_leakage

    @property
    def decided(self) -> frozenset[str]:
        """Attributes that a suppressed one decides: what is read of them is leakage under another name."""
        pairs = () if self.entanglement is None else self.entanglement.pairs
        return frozenset(p.of for p in pairs if p.decides and p.given in self.policy.get("suppress", ()))
