"""Continuous attributes: how much of their variance attacks explain, on originals and on released records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sordine.attacks.regression import predictions
from sordine.attacks.results import Role
from sordine.attacks.runner import single_threaded
from sordine.attacks.scenarios import SETTINGS, AttackData, Setting, splits
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.sample import ReleaseSample, person_of
from sordine.evaluation.verdict import Contribution
from sordine.metrics.percent import percent
from sordine.metrics.regression import (
    bootstrap_weights,
    chance_r_squared,
    interval,
    r_squared,
    rank_correlation,
    units_of,
)

FEWEST_GROUPS = 8  # tested groups (persons) below which no interval is reliable


@dataclass(frozen=True)
class ContinuousFinding:
    """What attacks infer of a continuous attribute in one scenario.

    Parameters
    ----------
    attribute, role, setting
        The attribute, its role in the policy, and the scenario.
    attacker_before, attacker_after
        The attack that was best on the attacker's own validation records: ridge, kernel or trees. It is chosen in each
        fold; of several, the most frequent one.
    before, after
        R^2 on the tested records; 0 is what their mean gives.
    before_interval, after_interval
        Intervals over resampled records, or groups where there are any.
    share, low, high
        Leakage or utility: `after` / `before`, and its interval. None where `before` is not above chance.
    resolvable
        The smallest share that can be shown on so many records: the R^2 that permuted labels exceed in 5 % of cases
        (over the number of scenarios), over `before`.
    chance
        That R^2.
    at_chance
        Whether the predictions on releases are within chance: by the same permutations, or because the corrected
        interval of `after` reaches down to 0.
    low_corrected, after_low_corrected
        Lower ends of `share` and `after`, corrected for the number of scenarios. The attack needs no correction: it is
        chosen on validation records. None in reports of earlier versions.
    rank_before, rank_after, rank_before_interval, rank_after_interval
        Spearman's rank correlation of predictions and truth; the mean over the numbers of an embedding.
    others
        R^2 of each attack on originals and releases, for scenarios without folds; the verdict does not use it.
    dimensions, records, groups
        Numbers of the attribute's values, of tested records, and of tested groups (0: no groups).
    sentence
        The finding in words.
    """

    attribute: str
    role: Role
    setting: Setting
    attacker_before: str
    attacker_after: str
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    share: float | None
    low: float | None
    high: float | None
    resolvable: float | None
    chance: float
    at_chance: bool
    rank_before: float
    rank_after: float
    rank_before_interval: tuple[float, float]
    rank_after_interval: tuple[float, float]
    others: tuple[tuple[str, float | None, float | None], ...] = ()
    dimensions: int = 1
    records: int = 0
    groups: int = 0
    sentence: str = ""
    low_corrected: float | None = None
    after_low_corrected: float | None = None

    @property
    def not_excluded(self) -> float:
        """The leakage that the audit cannot exclude: the larger of `high` and `resolvable`.

        Without a share it is the largest R^2 that agrees with the measurement, as if the originals gave 1.
        """
        if self.share is None or self.high is None:
            return max(self.after_interval[1], self.chance)
        return max(self.high, self.resolvable or 0.0)


@dataclass(frozen=True)
class _Side:
    # Predictions of one side in one scenario: the attack chosen most often, truth, predictions, R^2 of every attack.
    attacker: str
    truth: np.ndarray
    predicted: np.ndarray
    others: dict[str, float]


class Continuous(Section):
    """Attacks that predict the numbers of continuous attributes."""

    title = "Continuous attributes"
    runs_beside = True
    finding = tuple[ContinuousFinding, ...]
    risk = "inference"

    def run(self, data: AuditData) -> tuple[ContinuousFinding, ...]:
        """Return a finding for each continuous attribute and each scenario."""
        names = [name for name in data.roles if name in data.before.targets]
        if not names or data.budget.name == "quick":
            return ()
        with single_threaded():
            return tuple(f for name in names for f in _findings(data, name))

    def tested(self, found: Any, report: Report) -> bool:
        """Return true: without a continuous attribute there is nothing to test."""
        return True

    def plain_lines(self, found: tuple[ContinuousFinding, ...], report: Report) -> list[str]:
        """Return what remains of each suppressed attribute."""
        return [_plain(f) for f in worst_of(found) if f.role == "suppress"]

    def risk_lines(self, found: tuple[ContinuousFinding, ...], report: Report) -> list[str]:
        """Return how much of each suppressed attribute's variance the best attack explains."""
        return [f.sentence for f in worst_of(found) if f.role == "suppress"]

    def sentences(self, found: tuple[ContinuousFinding, ...]) -> list[str]:
        """Return the worst scenario of each attribute in words."""
        return [f.sentence for f in worst_of(found)]

    def contribution(self, found: tuple[ContinuousFinding, ...], data: AuditData) -> Contribution | None:
        """Return whether suppressed attributes leak, hold or stay unclear: the rule for classes, with R^2."""
        names = dict.fromkeys(f.attribute for f in found if f.role == "suppress")
        suppressed = [_clearest([f for f in found if f.attribute == name], data.limit) for name in names]
        if not suppressed:
            return None
        states = [state_of(f, data.limit) for f in suppressed]
        gives = tuple(
            (f.after if f.share is None else f.share, f"`{f.attribute}`")
            for f, (state, _) in zip(suppressed, states, strict=True)
            if state == "leaks"
        )
        return Contribution(
            sentences=tuple(sentence for _, sentence in states),
            unclear=any(state == "unclear" for state, _ in states),
            over=any((f.share or 0.0) > data.limit for f in suppressed),
            leakage=tuple(f.not_excluded for f in found if f.role == "suppress"),
            gives=gives,
        )

    def view(self, found: tuple[ContinuousFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings by attribute."""
        names = dict.fromkeys(f.attribute for f in found or ())
        tables = {name: [f for f in found if f.attribute == name] for name in names}
        return {"tables": tables, "scenarios": SETTINGS} if tables else None


def _plain(f: ContinuousFinding) -> str:
    if f.share is None:
        return f"Attacks predict almost nothing of `{f.attribute}` from the originals, so no share is computed."
    return (
        f"Of what an attacker could predict of the differences in `{f.attribute}` from the originals, "
        f"{percent(min(f.share, 1.0))} can be predicted from the released records. With {f.records:,} tested records, "
        f"up to {percent(min(f.not_excluded, 1.0))} cannot be excluded."
    )


def worst_of(found: Sequence[ContinuousFinding]) -> list[ContinuousFinding]:
    """Return one finding for each attribute: the worst scenario of a suppressed one, else the first scenario."""
    result = []
    for name in dict.fromkeys(f.attribute for f in found):
        mine = [f for f in found if f.attribute == name]
        if mine[0].role == "suppress":
            result.append(max(mine, key=lambda f: (f.share is not None, f.share or 0.0, f.after)))
        else:
            result.append(min(mine, key=lambda f: f.setting))
    return result


def _clearest(mine: Sequence[ContinuousFinding], limit: float) -> ContinuousFinding:
    """The scenario of one attribute that decides: one that leaks before one that is unclear, then the largest share."""
    order = ("holds", "unclear", "leaks")
    return max(mine, key=lambda f: (order.index(state_of(f, limit)[0]), f.share or 0.0, f.after))


def state_of(f: ContinuousFinding, limit: float) -> tuple[str, str]:
    """Return the state of a suppressed attribute (leaks, holds or unclear), and a sentence."""
    left = f"A leakage of the variance of `{f.attribute}` of up to {percent(f.not_excluded)} cannot be excluded."
    few = 0 < f.groups < FEWEST_GROUPS
    low, after = (
        end if corrected is None else corrected
        for end, corrected in ((f.low, f.low_corrected), (f.after_interval[0], f.after_low_corrected))
    )
    above = (after or 0.0) > 0 if low is None else low > limit
    if above and not f.at_chance and not few:
        return "leaks", f.sentence
    if few:
        return "unclear", f"{f.sentence} Only {f.groups} persons or groups were tested, too few to conclude more."
    if f.not_excluded <= limit:
        return "holds", f"{f.sentence} {left}"
    return "unclear", f"{f.sentence} {left} That is above the limit of {percent(limit)}."


def _findings(data: AuditData, name: str) -> Iterator[ContinuousFinding]:
    sample = data.sample
    target = sample.before.targets[name].reshape(len(sample.before), -1)
    labels = {name: sample.before.y[name]}
    sides = [sample.attack_data(x, labels) for x in (np.asarray(sample.before.x, np.float32), sample.after)]
    numbers = [side.numbers() for side in sides]
    group = _groups(sample)
    for setting in data.budget.settings:
        found = splits(sides[0], name, setting, data.budget.seeds[0], data.budget.folds)  # type: ignore[arg-type]
        if isinstance(found, str):
            data.note(f"Scenario {setting} is left out for the numbers of `{name}`: {found}")
            continue
        tested = np.concatenate([s.test[sides[0].labels[name][s.test] >= 0] for s in found])
        before, after = (_predicted(x, side, target, name, found) for x, side in zip(numbers, sides, strict=True))
        level = 0.05 / len(data.budget.settings)
        owners = None if group is None else group[tested]
        yield _finding(name, data.roles[name], setting, before, after, owners, level)  # type: ignore[arg-type]


def _groups(sample: ReleaseSample) -> np.ndarray | None:
    """The unit of each record, whose records are not independent: (n,) codes; None where no person is known."""
    if sample.before.group is not None:
        return sample.before.group
    person = person_of(sample.before, sample.person)
    return None if person is None else person[1]


def _predicted(x: np.ndarray, side: AttackData, target: np.ndarray, name: str, found: list[Any]) -> _Side:
    """Predictions of all test records of a scenario. In each fold, the attack is chosen on the fold's own validation.

    A choice that is carried from one fold to another would rest on test records of the latter.
    """
    truth, predicted, chosen = [], [], []
    others: dict[str, float] = {}
    for split in found:
        alone = len(found) == 1
        results = predictions(x, target, split, best_only=not alone)
        known = side.labels[name][split.test] >= 0
        if alone:
            for p in results:
                others[p.attack.kind] = float(r_squared(target[split.test][known], p.predicted[known])[0])
        chosen.append(results[0].attack.kind)
        truth.append(target[split.test][known])
        predicted.append(results[0].predicted[known])
    return _Side(max(chosen, key=chosen.count), np.concatenate(truth), np.concatenate(predicted), others)


def _finding(
    name: str,
    role: Role,
    setting: Setting,
    before: _Side,
    after: _Side,
    group: np.ndarray | None,
    level: float,
) -> ContinuousFinding:
    truth = before.truth
    weights = bootstrap_weights(len(truth), group)
    was, now = (float(r_squared(truth, side.predicted)[0]) for side in (before, after))
    drawn = [r_squared(truth, side.predicted, weights) for side in (before, after)]
    smallest, p_before = chance_r_squared(truth, before.predicted, group, level)
    at_random, p_after = chance_r_squared(truth, after.predicted, group, level)
    chance = max(smallest, at_random)
    was_interval, now_interval = interval(drawn[0], was), interval(drawn[1], now)
    share = low = high = least = None
    at_least = interval(drawn[1], now, 1 - level)[0]
    if p_before <= level and was_interval[0] > 0:
        share = now / was
        shares = drawn[1] / np.maximum(drawn[0], 1e-12)
        low, high = interval(shares, share)
        least = interval(shares, share, 1 - level)[0]
    ranks = [float(rank_correlation(truth, side.predicted)[0]) for side in (before, after)]
    rank_intervals = [
        interval(rank_correlation(truth, side.predicted, weights), rank)
        for side, rank in zip((before, after), ranks, strict=True)
    ]
    kinds = dict.fromkeys((*before.others, *after.others))
    made = ContinuousFinding(
        attribute=name,
        role=role,
        setting=setting,
        attacker_before=before.attacker,
        attacker_after=after.attacker,
        before=was,
        after=now,
        before_interval=was_interval,
        after_interval=now_interval,
        share=share,
        low=low,
        high=high,
        resolvable=None if share is None else chance / was,
        chance=chance,
        # Predictions of a cross-validation depend on each other, so that permutations alone find too much.
        at_chance=p_after > level or at_least <= 0,
        rank_before=ranks[0],
        rank_after=ranks[1],
        rank_before_interval=rank_intervals[0],
        rank_after_interval=rank_intervals[1],
        others=tuple((kind, before.others.get(kind), after.others.get(kind)) for kind in kinds),
        dimensions=truth.shape[1],
        records=len(truth),
        groups=0 if group is None else len(np.unique(units_of(group))),
        low_corrected=least,
        after_low_corrected=at_least,
    )
    return _with_sentence(made)


def _with_sentence(f: ContinuousFinding) -> ContinuousFinding:
    base = (
        f"From released records, the best attack ({f.attacker_after}) explains {percent(max(f.after, 0.0))} of the "
        f"variance of `{f.attribute}`; from originals, {percent(max(f.before, 0.0))}. The rank correlation of "
        f"predicted and true values is {f.rank_after:.2f}; from originals, {f.rank_before:.2f}."
    )
    what = "leakage" if f.role == "suppress" else "utility"
    if f.share is None or f.low is None or f.high is None:
        return replace(
            f,
            sentence=f"{base} From originals, attacks predict almost nothing: no {what} is computed.",
        )
    figure = (
        f"That is a {what} of {percent(max(f.share, 0.0))} (95 % interval: {percent(max(f.low, 0.0))} to "
        f"{percent(max(f.high, 0.0))})."
    )
    return replace(f, sentence=f"{base} {figure}")
