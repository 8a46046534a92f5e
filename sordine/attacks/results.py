"""Results of attacks: plain data, parts of a `Report`.

Shares and accuracies lie in [0, 1]; intervals are 95 % intervals. `guess` is the baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sordine.attacks.scenarios import Setting
from sordine.metrics.verification import VerificationMeasures


@dataclass(frozen=True)
class PersonFinding:
    """The accuracy of an attack that pools k records of one unit (a person, for instance).

    Parameters
    ----------
    attribute
        The attribute to infer.
    unit
        The attribute that names the unit, or "group".
    k
        Records pooled; 0 for all test records of a unit.
    knows
        "draws": released records only. "channel": the modifier too: P(j | x) where its output is discrete, else
        further releases of the attacker's own records.
    setting
        Scenario A or B.
    before, after
        Accuracy on groups of k originals and of k releases; every unit counts alike.
    guess
        The largest share of units of one class.
    nag
        NAG against the same attack on originals at the same k; None where the originals' interval contains the
        baseline.
    low, high, after_interval
        Intervals by a bootstrap of units within their class, and of records within units.
    worst_class, worst_class_after, worst_unit, worst_unit_after
        The class and the unit with the highest accuracy.
    units, groups, records
        Numbers of units, groups and records.
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
    """The accuracy of an attack that has several releases of each unseen record (scenario A).

    Parameters
    ----------
    attribute
        The attribute to infer.
    queries
        Releases of each record.
    keys
        "fresh": each under its own key. "one": all under one key.
    distinct
        Releases that differ in at least one bit.
    how
        What the attack did with them, chosen on its own records: "averaged", "summed", "channel" (it knows the
        modifier), or "one".
    before
        Accuracy of the same attack on originals.
    one, after
        Accuracy with one release, and with all of them.
    guess
        Baseline.
    nag, low, high
        NAG of `after`, and its interval.
    after_interval
        Wilson interval of `after`.
    records
        Number of test records.
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
    """The result of matching each released record with its original among many.

    Parameters
    ----------
    attacker
        "standardised" and "whitened" take the nearest original in that space; "standardised apart" and "whitened
        apart" do so with each side on its own scale; "learnt" maps releases to originals, and
        is fitted to half of the pairs and tested on the other half; "channel" takes the original with the highest
        probability of this output.
    on
        Side of the split.
    top1, low, high
        Share of correct matches, and its Wilson interval.
    chance
        1 / candidates.
    mean_rank
        Mean rank of the correct original: 1 is best, (candidates + 1) / 2 is chance. Equal candidates share ranks.
    candidates
        Number of originals.
    unit, unit_top1, unit_guess, unit_records
        Share of matches of the right unit, the largest unit's share, and the number of records whose unit is known.
        None where there is no unit; `unit_records` is None in reports of earlier versions.
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
    """How well an attacker recognises two records of one unit, of units of which it has no record itself.

    Parameters
    ----------
    unit
        Name of the unit.
    space
        The attacker. "standardised": cosine of the records as they are. "discriminant": cosine in a linear discriminant
        that was learned from the attacker's own records of the same kind, so from released ones for `after`
        (semi-informed). "plda": log-likelihood ratio of a two-covariance model, learned in the same way. "ignorant":
        cosine in a discriminant learned from originals, for `after` as well.
    before, after
        Equal error rate on originals and on releases, 0 to 0.5; 0.5 is chance.
    before_interval, after_interval
        Intervals over resampled units.
    units
        Number of tested units.
    pairs
        Most pairs of each kind.
    mated, non_mated
        Pairs of one unit, and of two units.
    new_to_fit
        Whether the modifier was fitted on no record of the tested units. If False, only the attacker lacks them.
    before_measures, after_measures
        Equal error rate, linkability D_sys, Cllr and its minimum.
    control
        Means of the equal error rate, the linkability and the minimum of Cllr on releases whose units are permuted:
        what chance gives on so many records.
    risk, risk_interval
        Linkability of the releases beyond that of the control: (D - control) / (1 - control), at least 0. The interval
        allows for how much D varies over resampled units and how much the control varies over permutations.
    chance
        Share of permutations in which the best of all attackers has an equal error rate as low as `after`.
    """

    unit: str
    space: Literal["standardised", "discriminant", "plda", "ignorant"]
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    units: int
    pairs: int
    mated: int = 0
    non_mated: int = 0
    new_to_fit: bool = True
    before_measures: VerificationMeasures | None = None
    after_measures: VerificationMeasures | None = None
    control: tuple[float, float, float] | None = None
    risk: float | None = None
    risk_interval: tuple[float, float] | None = None
    chance: float | None = None

    @property
    def after_corrected(self) -> tuple[float, float]:
        """Interval of the equal error rate on releases, corrected for the number of attackers where that is known."""
        found = None if self.after_measures is None else self.after_measures.equal_error_corrected
        return self.after_interval if found is None else found


Role = Literal["suppress", "preserve", "watch"]


@dataclass(frozen=True)
class Finding:
    """The accuracy of one attack on one attribute in one scenario, before and after.

    Parameters
    ----------
    attribute, role
        The attribute to infer, and its role in the policy.
    attacker
        Name of the attack.
    setting
        Scenario.
    before, after
        Accuracy of the attack, retrained on originals and on released records.
    guess
        Share of the most frequent class among the test records.
    nag
        (after - guess) / (before - guess) of this attack; None where before - guess is below two standard errors.
    low, high
        Interval of `nag`.
    before_interval, after_interval, guess_interval
        Wilson intervals.
    balanced_before, balanced_after, balanced_nag
        The same of balanced accuracy.
    records
        Number of test records, over folds and seeds: distinct records times seeds.
    seeds
        Number of seeds.
    correlation
        Correlations between correct predictions after and before, after and by the baseline, before and by the
        baseline (`metrics.nag.correlations`). The interval needs them, and so does a summary of several audits.
    independent
        Where tested records belong to persons or groups that the attacker has no record of: independent records that
        the predictions on released records and on originals are worth.
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
    independent: tuple[float, float] | None = None


@dataclass(frozen=True)
class PretrainedFinding:
    """The accuracy of a classifier of originals that is never retrained. Its failure is no privacy.

    Parameters
    ----------
    attribute, role
        The attribute to predict, and its role in the policy.
    before, after
        Accuracy on original and on released records.
    guess
        Baseline.
    entropy_nats
        Mean entropy of its predictions on released records.
    records
        Number of test records.
    """

    attribute: str
    role: Role
    before: float
    after: float
    guess: float
    entropy_nats: float
    records: int


@dataclass(frozen=True)
class ExactFinding:
    """The accuracy of the best possible attack on a discrete modifier: sum_j max_s P(s, j), computed and not trained.

    Parameters
    ----------
    attributes
        The suppressed attributes to infer jointly.
    kept
        Columns that are released beside the record; the attacker has them too.
    on
        Side of the split.
    accuracy, guess
        Accuracy of the best attack, and of the baseline from the columns in `kept` alone.
    permuted, permuted_high
        Mean and 95th percentile of the same accuracy with permuted labels: what chance gives on so many records.
    records
        Number of records.
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
    """The similarity of reconstructed records to the originals, on unseen records.

    Parameters
    ----------
    attacker
        "decoder", "decoder + GAN", "white-box" ...
    psnr, ssim
        Mean peak signal-to-noise ratio in dB (None: reconstructed to the last bit), and mean SSIM, -1 to 1.
    baseline_psnr, baseline_ssim
        Of the mean picture, which needs no release.
    face_similarity
        Cosine, -1 to 1, of a verification network's features of x and of the reconstruction; None without a network.
    feature_similarity
        Cosine of the features that the feature-level attack predicts and the features of x; None without it.
    records
        Number of test records.
    note
        A remark.
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
