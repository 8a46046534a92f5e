"""What the attackers found who ask more than what one released record tells: plain data, parts of a `Report`.

Shares and accuracies lie in [0, 1]; intervals are 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sordine.attacks.scenarios import Setting


@dataclass(frozen=True)
class PersonFinding:
    """What an attacker reads who knows that k records are of one unit (a speaker, a subject, a trial), and pools them.

    unit: the attribute that says who a record is of, or "group". k: records pooled, 0 for all that were tried of a unit.
    knows: "draws", released records only; "channel", the modifier too: P(j | x) where its output is discrete, else as many
    releases of its own records as it likes. setting: A or B, as in `findings.SETTINGS`. before, after, guess: shares of groups of k read
    right, every unit counting alike; guess: the largest share of units of one class. nag: of this attacker against the same on
    originals at the same k, unclipped, None where the originals' interval holds the guess. low, high, after_interval: by a
    bootstrap of units within their class and of records within units. worst_class, worst_unit: those most often
    read right, with their shares. units, groups, records: how many of each took part.
    """

    attribute: str
    unit: str
    k: int
    knows: Literal["draws", "channel"]
    setting: Literal["A", "B"]
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    after_interval: tuple[float, float] = (0.0, 1.0)
    worst_class: str = ""
    worst_class_after: float = 0.0
    worst_unit: str = ""
    worst_unit_after: float = 0.0
    units: int = 0
    groups: int = 0
    records: int = 0


@dataclass(frozen=True)
class QueryFinding:
    """What an attacker reads of an unseen record (setting A) of which it has several releases.

    queries: how many releases of each record; keys: "fresh", each under its own, or "one". distinct: how many of them differ
    in any bit. one, after: accuracy with one release and with all of them, with its Wilson interval; before: of the same
    attacker on originals. how: what it did with them, chosen on its own records ("averaged", "summed", or "channel": what it knows of the modifier). nag, low, high: of
    `after`, as in `findings.Finding`.
    """

    attribute: str
    queries: int
    keys: Literal["fresh", "one"]
    distinct: int
    how: str
    before: float
    one: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    after_interval: tuple[float, float] = (0.0, 1.0)
    records: int = 0


@dataclass(frozen=True)
class LinkageFinding:
    """Matching each released record with its original among many.

    attacker: "standardised" and "whitened" take the nearest original in that space, "learnt" maps released to original
    records as half of the pairs teach it and is tried on the other half, "channel" takes the original that most likely gave this output. on:
    which side of the split. candidates: originals matched with. top1: share matched right with its Wilson interval (low,
    high), against chance = 1 / candidates; mean_rank: of the right one, 1 best, (candidates + 1) / 2 by chance; equal
    candidates share their ranks. unit, unit_top1, unit_guess: share whose match is of the right unit, against the
    commonest unit's share; None where there is no unit. unit_records: of how many records whose unit is known that share is a mean;
    None in reports of earlier versions.
    """

    attacker: str
    on: Literal["fitted", "unseen"]
    top1: float
    low: float
    high: float
    chance: float
    mean_rank: float
    candidates: int
    unit: str | None = None
    unit_top1: float | None = None
    unit_guess: float | None = None
    unit_records: int | None = None


@dataclass(frozen=True)
class VerificationFinding:
    """Are two unseen records of one unit, of units that the modifier never saw? Equal error rate, 0 to .5: .5 tells nothing.

    space: where the cosine of two records is taken: "standardised", or "discriminant", learnt from the units of the fitted
    records. before, after: of originals and of released records, each with its 95 % interval (units resampled).
    units, pairs: how many units took part, and pairs of each kind at most.
    """

    unit: str
    space: Literal["standardised", "discriminant"]
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    units: int
    pairs: int


Role = Literal["suppress", "preserve", "watch"]


@dataclass(frozen=True)
class Finding:
    """One attacker, one attribute, one setting: what it reads before and after.

    before, after: accuracy of the attacker retrained on original and on released records, each with its Wilson interval.
    guess: share of the majority class among the records tried, with its interval (its own sampling error).
    nag: (after - guess) / (before - guess) of THIS attacker, unclipped; None where before - guess is under two standard errors.
    records: how many records were tried (over folds and seeds: distinct records times seeds).
    correlation: between which records are read rightly after and before, after and by the constant guess, before and by that guess
    (`metrics.correlations`): the interval needs it, and so does whoever puts figures of several audits together.
    """

    attribute: str
    role: Role
    attacker: str
    setting: Setting
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    before_interval: tuple[float, float] = (0.0, 1.0)
    after_interval: tuple[float, float] = (0.0, 1.0)
    guess_interval: tuple[float, float] = (0.0, 1.0)
    balanced_before: float | None = None
    balanced_after: float | None = None
    balanced_nag: float | None = None
    records: int = 0
    seeds: int = 1
    correlation: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class PretrainedFinding:
    """A classifier learnt on original records and NEVER retrained, read on original and on released records. Not privacy."""

    attribute: str
    role: Role
    before: float
    after: float
    guess: float
    entropy_nats: float
    records: int


@dataclass(frozen=True)
class ExactFinding:
    """The best possible attacker on a discrete channel, computed and not trained: sum_j max_s P(s, j).

    attributes: the suppressed attributes read jointly (one or several). kept: columns beside the record that the
    attacker also sees. accuracy, guess: best attack and best guess (given the kept columns alone). permuted: mean of
    the same figure with labels permuted, and its 95th percentile: what chance alone would show on so many records.
    """

    attributes: tuple[str, ...]
    kept: tuple[str, ...]
    on: Literal["fitted", "unseen"]
    accuracy: float
    guess: float
    permuted: float
    permuted_high: float
    records: int


@dataclass(frozen=True)
class ReconstructionFinding:
    """One attacker that rebuilds the records themselves (x is the secret) from what is released, tried on unseen records.

    psnr (dB; None: rebuilt to the last bit), ssim (-1 to 1): of rebuilt against original pictures, means over records.
    baseline_psnr, baseline_ssim: of the mean picture against the same originals: what knowing nothing gives.
    face_similarity, feature_similarity: cosines (-1 to 1) of a verification network's features of x and x^, and of what the
    feature-level attack makes of z and the features of x; None where there is no such network or attack.
    attacker: "decoder", "decoder + GAN", "white-box". records: how many were tried.
    """

    attacker: str
    psnr: float | None
    ssim: float
    baseline_psnr: float
    baseline_ssim: float
    face_similarity: float | None = None
    feature_similarity: float | None = None
    records: int = 0
    note: str = ""
