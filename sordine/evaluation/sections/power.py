"""Power: how small a leak these attacks would have found, measured by leaks that are planted in the release."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from scipy.stats import binom

from sordine.attacks.base import LARGEST, Attack, Prepared, Split, Target
from sordine.attacks.plants import KINDS, OutOfReach, Planter
from sordine.attacks.principal_axes import WIDEST
from sordine.attacks.registry import ATTACKS
from sordine.attacks.runner import single_threaded
from sordine.attacks.scenarios import AttackData, splits
from sordine.evaluation.report import Headline, Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.verdict import Contribution
from sordine.keys import numpy_rng
from sordine.metrics.accuracy import majority
from sordine.metrics.nag import wilson
from sordine.metrics.percent import percent
from sordine.models.modifier import one_thread_each
from sordine.run import Run

SIZES = (0.2, 0.1, 0.05, 0.02)  # leakages (NAG) that are planted, the largest first
FOUND = 0.95  # share of plants of a size that has to be found
CLEARLY = 0.9975  # confidence with which an attack finds less than what leaks: 1 in 20 of 20 plants errs
VERDICT = 0.95  # of the intervals by which a verdict is that the release holds
NOT_MEASURED = (
    "No leak of {} was planted in this audit, so it is unknown how small a leak its attacks find. Such an audit cannot "
    "show that a release holds. Use the budget `standard` with its own attacks."
)
OTHERS = "Leaks of other kinds were not planted, so the verdict says nothing about them."
# Kinds of which leaks as large as the limit have to be found: else the verdict cannot be that the release holds.
CORE = ("mean of one number", "mean of all numbers", "covariance")
REACHABLE = 0.9  # chance that a perfect attack finds a plant, below which no attack is made: there are too few records
BASES = 2  # orders of the records in which leaks are planted
AXES_ONLY = (
    "Leaks of `{}` were planted in the principal axes of the records, because records are wide, and the attacks on "
    "them use these axes. No leak was planted in last bits."
)
AXES_AND_NUMBERS = (
    "Leaks of `{}` in all numbers were planted in the principal axes of the records, because records are wide and the "
    f"attacks on all numbers use these axes. Of few numbers, the attack searches the {WIDEST:,} that vary most."
)
OF_SINGLE_BITS = ("last bits of one number",)  # kinds that principal axes cannot carry


@dataclass(frozen=True)
class PowerFinding:
    """How small a planted leak of one kind the attacks find.

    Parameters
    ----------
    attribute
        The suppressed attribute that was planted.
    kind
        What carries the leak (`sordine.attacks.plants.KINDS`).
    smallest
        Smallest leakage (NAG) of which 19 in 20 plants were found, and of every larger one that was planted; None where
        there is none.
    sizes, shares
        The leakages that were planted, and of each the share of plants that was found. Empty where these records cannot
        carry such a leak, or are so few that no attack could find it.
    planted
        Plants of each size, unless so many were missed earlier that the others could not matter.
    attackers
        The attacks that took part.
    setting
        Their scenario.
    records
        Tested records.
    """

    attribute: str
    kind: str
    smallest: float | None
    sizes: tuple[float, ...]
    shares: tuple[float, ...]
    planted: int
    attackers: tuple[str, ...]
    setting: str
    records: int

    def covered(self, limit: float) -> bool:
        """Whether a leak of this kind that is as large as the limit would have been found."""
        return self.smallest is not None and self.smallest <= limit


class Power(Section):
    """Leaks of known size, planted in copies of the release, and whether the fast attacks find them."""

    title = "Planted leaks: what these attacks would have found"
    runs_beside = True
    menu = "Planted leaks"
    risk = "inference"
    how_to_test = "Use the budget `standard` or `paranoid`."
    finding = tuple[PowerFinding, ...]
    judges_when_left_out = True

    def run(self, data: AuditData) -> tuple[PowerFinding, ...]:
        """Return a finding for each suppressed attribute and each kind of leak."""
        fast = tuple(name for name in data.budget.families if ATTACKS.find(name).finds_plants)
        if not data.budget.plants or not fast:
            return ()
        found: list[PowerFinding] = []
        for headline in data.headlines:
            if headline.role != "suppress":
                continue
            if headline.nag is None:  # a leakage is a share of what the originals reveal
                data.note(f"No leak of `{headline.attribute}` was planted: attacks hardly infer it from the originals.")
                continue
            found += _of_attribute(data, headline, fast)
        return tuple(found)

    def sentences(self, found: tuple[PowerFinding, ...]) -> list[str]:
        """Return what the plants mean, in sentences."""
        return [*_found_sentences(found), *_missed_sentences(found)]

    def contribution(self, found: tuple[PowerFinding, ...], data: AuditData) -> Contribution | None:
        """Return the largest power against the kinds that are found, and which kinds are not.

        Where no leak of an attribute was planted, its verdict cannot be that it holds.
        """
        tested = {f.attribute for f in found}
        suppressed = [h for h in data.headlines if h.role == "suppress" and h.nag is not None]
        untested = [f"`{h.attribute}`" for h in suppressed if h.attribute not in tested]
        left = (NOT_MEASURED.format(" and ".join(untested)),) if untested else ()
        if not found:
            return Contribution(unclear=True, closing=left) if left else None
        covered = [f for f in found if f.covered(data.limit)]
        missed = [f for f in found if f.kind in CORE and not f.covered(data.limit)]
        sizes = [f.smallest for f in (*covered, *missed) if f.smallest is not None]
        closing = (*_found_sentences(found), *_not_covered(found, data.limit), *left, OTHERS)
        return Contribution(
            closing=closing,
            leakage=(max(sizes),) if sizes else (),
            unclear=bool(left or missed),
        )

    def view(self, found: tuple[PowerFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the table of each attribute."""
        if not found:
            return None
        return {"by_attribute": _by_attribute(found), "sizes": SIZES}


def in_short(found: tuple[PowerFinding, ...], attribute: str) -> str | None:
    """Return which planted leaks of an attribute were found, in one sentence; None where none was planted."""
    some = [f for f in found if f.attribute == attribute and f.sizes]
    sizes = [f.smallest for f in some if f.smallest is not None]
    if not some:
        return None
    if not sizes:
        largest = sorted({max(f.sizes) for f in some})
        upto = " to ".join(dict.fromkeys(percent(size) for size in (largest[0], largest[-1])))
        return f"The attacks missed planted leaks of {upto} of all {len(some)} kinds."
    words = f"The attacks found planted leaks of {len(sizes)} of {len(some)} kinds, from a leakage of"
    least, most = percent(min(sizes)), percent(max(sizes))
    return f"{words} {least}." if least == most else f"{words} {least} to {most}, depending on the kind."


def core_is_covered(report: Report) -> bool:
    """Return whether the attacks found planted leaks of every kind without which no verdict holds, of some size.

    They have to be found of every suppressed attribute of which a leakage is computed.
    """
    found = {(f.attribute, f.kind): f.smallest for f in report.sections.get("power") or ()}
    names = [h.attribute for h in report.headlines if h.role == "suppress" and h.nag is not None]
    return bool(names) and all(found.get((name, kind)) is not None for name in names for kind in CORE)


def _by_attribute(found: tuple[PowerFinding, ...]) -> dict[str, list[PowerFinding]]:
    names = dict.fromkeys(f.attribute for f in found)
    return {name: [f for f in found if f.attribute == name] for name in names}


def _found_sentences(found: tuple[PowerFinding, ...]) -> Iterator[str]:
    for attribute, some in _by_attribute(found).items():
        sizes = {f.kind: f.smallest for f in some if f.smallest is not None}
        planted = max(f.planted for f in some)
        kinds = ", ".join(f"{kind} ({percent(size)})" for kind, size in sizes.items())
        if kinds:
            yield (
                f"Leaks of `{attribute}` were planted in copies of the release, {planted} of each kind and size. The "
                f"attacks found at least {planted - _most_missed(planted)} of {planted} from these sizes on: {kinds}."
            )


def _missed_sentences(found: tuple[PowerFinding, ...]) -> Iterator[str]:
    for attribute, some in _by_attribute(found).items():
        missed = [f for f in some if f.smallest is None and f.sizes]
        left_out = [f.kind for f in some if not f.sizes]
        if missed:
            kinds = _with_sizes(missed, SIZES[-1])
            yield f"The attacks missed the largest planted leaks of `{attribute}` of these kinds: {kinds}."
        if left_out:
            yield (
                f"Leaks of `{attribute}` of these kinds were not planted, because so few records could not show them, "
                f"or such records cannot carry them: {', '.join(left_out)}."
            )


def _tried(f: PowerFinding, limit: float) -> str:
    """Return which of the planted sizes were found and missed, and whether all of them are above the limit."""
    found = [size for size, share in zip(f.sizes, f.shares, strict=True) if share >= FOUND]
    missed = [size for size in f.sizes if size not in found]
    words = [
        f"{word} at {' and '.join(percent(size) for size in sorted(sizes))}"
        for word, sizes in (("found", found), ("missed", missed))
        if sizes
    ]
    return ", ".join(words) + (", smaller leaks not tried" if min(f.sizes) > limit else "")


def _with_sizes(found: Sequence[PowerFinding], limit: float) -> str:
    """Return the kinds with what was tried; those of the same result are named together."""
    alike: dict[str, list[str]] = {}
    for f in found:
        alike.setdefault(_tried(f, limit), []).append(f.kind)
    return "; ".join(f"{', '.join(kinds)} ({tried})" for tried, kinds in alike.items())


def _not_covered(found: tuple[PowerFinding, ...], limit: float) -> Iterator[str]:
    for attribute, some in _by_attribute(found).items():
        missed = [f for f in some if not f.covered(limit) and f.sizes]
        why = f"because leaks as large as the limit ({percent(limit)}) were missed or not tried"
        yield from _of_kinds(attribute, why, missed, lambda kinds: _with_sizes(kinds, limit))
        left_out = [f for f in some if not f.covered(limit) and not f.sizes]
        why = "because no leaks could be planted"
        yield from _of_kinds(attribute, why, left_out, lambda kinds: ", ".join(f.kind for f in kinds))


def _of_kinds(
    attribute: str, why: str, missed: Sequence[PowerFinding], listed: Callable[[Sequence[PowerFinding]], str]
) -> Iterator[str]:
    core = [f for f in missed if f.kind in CORE]
    others = [f for f in missed if f.kind not in CORE]
    if core:
        yield f"The verdict cannot be that `{attribute}` is hidden, {why} of these kinds: {listed(core)}."
    if others:
        yield f"The verdict does not cover these kinds of leak of `{attribute}`, {why}: {listed(others)}."


def _most_missed(planted: int) -> int:
    return int(planted * (1 - FOUND) + 1e-9)


@dataclass(frozen=True)
class Base:
    """The release in a random order within each side: it has no leak, only chance. Many plants share it."""

    planter: Planter
    attacks: dict[str, Prepared]
    seed: int

    @classmethod
    def of(cls, trial: Trial, seed: int) -> Base:
        order = np.arange(len(trial.x))
        for side in (trial.fitted, ~trial.fitted):
            order[side] = numpy_rng(seed, "power").permutation(order[side])
        x, target, run = trial.x[order], trial.target, Run()
        attacks = {
            name: attack.prepare(x, trial.split, target, run, on_axes=trial.on_axes)
            for name, attack in trial.attacks.items()
        }
        return cls(Planter(x, target.labels, target.classes), attacks, seed)

    def carries(self, kind: str, leakage: float) -> bool:
        """Whether records of so many classes can carry a leak of this kind and size."""
        try:
            self.planter.plant(kind, leakage, self.seed)
        except OutOfReach:
            return False
        return True


@dataclass(frozen=True)
class Trial:
    """One attribute of a release, how attackers are tested, and from which accuracy a leak counts as found."""

    x: np.ndarray  # (n, d)
    on_axes: bool
    fitted: np.ndarray
    target: Target
    revealed: float  # by the originals: a size is a share of it, and a plant's a share of all that can be inferred
    split: Split
    attacks: dict[str, Attack]
    comparisons: int  # among which the audit chooses its worst figure
    limit: float  # of the leakage, above which a verdict is not that the release holds

    def finds(self, base: Base, kind: str, size: float, seed: int) -> bool:
        """Whether an attack finds a leak that is planted in a copy of the release: see `is_found`."""
        made = base.planter.plant(kind, size * self.revealed, base.seed + seed)
        for name in self.finders(kind):
            attack = base.attacks[name]
            if made.labels is not None:
                found = self.is_found(attack.relabelled(made.labels), made.labels, size)
            else:
                found = self.is_found(attack.replaced(made.numbers, made.values), self.target.labels, size)
            if found:
                return True
        return False

    def is_found(self, predicted: np.ndarray, labels: np.ndarray, size: float = 0.0) -> bool:
        """Whether predictions of the test records find a leak of some size.

        They have to be above the baseline, beyond the luck of so many attacks. And their leakage must not be clearly
        below a leak that is at most the limit. Of a larger leak, it must not exclude the limit: an attack that finds a
        small part of it would make the verdict that the release holds up to less than what leaks.

        Every record counts, also where records belong to persons: `Base` shuffles the records of each side, so those
        of one person have nothing in common but the plant.
        """
        truth = labels[self.split.test]
        known = truth >= 0
        right, baseline = int((predicted[known] == truth[known]).sum()), majority(truth[known])
        if self._lower_end(right) <= baseline:
            return False
        confidence = CLEARLY if size <= self.limit else VERDICT
        upper = (wilson(right, self.records, confidence)[1] - baseline) / max(1 - baseline, 1e-12)
        return upper >= min(size, self.limit) * self.revealed

    def can_be_found(self, size: float) -> bool:
        """Whether a perfect attack would be above the baseline beyond luck, on nearly every plant of this size."""
        wanted = self.baseline + size * self.revealed * (1 - self.baseline)
        return bool(binom.sf(self.needed - 1, self.records, wanted) >= REACHABLE)

    @cached_property
    def records(self) -> int:
        """Number of labelled test records."""
        return len(self.target.labelled(self.split.test))

    @cached_property
    def baseline(self) -> float:
        """Share of the most frequent class among them."""
        return majority(self.target.labels[self.target.labelled(self.split.test)])

    @cached_property
    def needed(self) -> int:
        """The fewest correct predictions whose interval lies above the baseline."""
        return bisect_right(range(self.records + 1), self.baseline, key=self._lower_end)

    def _lower_end(self, right: int) -> float:
        return wilson(right, self.records, 1 - 0.05 / self.comparisons)[0]

    def finders(self, kind: str) -> tuple[str, ...]:
        """The attacks that look for plants of a kind; where none is made for it, all."""
        if KINDS[kind].moves:
            return tuple(self.attacks)
        wanted = "in all numbers" if KINDS[kind].numbers is None else "in few numbers"
        made_for = tuple(name for name, attack in self.attacks.items() if attack.finds_plants == wanted)
        return made_for or tuple(self.attacks)


def _of_attribute(data: AuditData, headline: Headline, names: tuple[str, ...]) -> Iterator[PowerFinding]:
    scenario, trials = _trials(data, headline, names)
    with single_threaded() as threads, one_thread_each(data.run.workers or threads) as pool:
        first = 1000 * data.budget.seeds[0]
        bases = [list(pool.map(partial(Base.of, trial), range(first, first + BASES))) for trial in trials]
        # The last trial has the numbers themselves, the first one those that attacks on all numbers take.
        at = {kind: 0 if about.numbers is None else -1 for kind, about in KINDS.items()}

        def shares(kind: str) -> dict[float, float]:
            trial = trials[at[kind]]
            if trial.on_axes and kind in OF_SINGLE_BITS:
                return {}
            return _shares(trial, bases[at[kind]], kind, data.budget.plants)

        slowest_first = sorted(KINDS, key=lambda kind: KINDS[kind].numbers is not None)
        found: dict[str, dict[float, float]] = {}
        for done, (kind, of_kind) in enumerate(zip(slowest_first, pool.map(shares, slowest_first), strict=True), 1):
            found[kind] = of_kind
            data.run.step(f"planted leaks of {headline.attribute}", done, len(KINDS))
    for kind in KINDS:
        yield PowerFinding(
            attribute=headline.attribute,
            kind=kind,
            smallest=_smallest(found[kind]),
            sizes=tuple(found[kind]),
            shares=tuple(found[kind].values()),
            planted=data.budget.plants,
            attackers=trials[at[kind]].finders(kind),
            setting=scenario,
            records=trials[at[kind]].records,
        )


def _trials(data: AuditData, headline: Headline, names: tuple[str, ...]) -> tuple[str, list[Trial]]:
    """Return the scenario, and how attackers are tested.

    Of wide records, some attacks take principal axes, others every number: then there is a trial of each.
    """
    release = data.attacked[1]
    scenario, split = _split(data, release, headline)
    attacks = {name: ATTACKS.find(name).from_budget(data.budget) for name in names}
    raw = {name: attack for name, attack in attacks.items() if attack.input_form == "numbers"}
    trial = Trial(
        x=release.numbers(),
        on_axes=release.is_wide,
        fitted=release.fitted,
        target=Target(release.labels[headline.attribute], release.classes[headline.attribute]),
        revealed=(headline.before - headline.guess) / (1 - headline.guess),
        split=split,
        attacks=attacks,
        comparisons=len(data.budget.families) * len(data.budget.settings),
        limit=data.limit,
    )
    if not release.is_wide:
        return scenario, [trial]
    if not raw or len(raw) == len(attacks) or 4 * release.x.size > LARGEST:
        data.note(AXES_ONLY.format(headline.attribute))
        return scenario, [trial]
    data.note(AXES_AND_NUMBERS.format(headline.attribute))
    on_axes = {name: attack for name, attack in attacks.items() if name not in raw}
    return scenario, [replace(trial, attacks=on_axes), replace(trial, x=release.flat(), on_axes=False, attacks=raw)]


def _split(data: AuditData, release: AttackData, headline: Headline) -> tuple[str, Split]:
    for scenario in data.budget.settings:
        found = splits(release, headline.attribute, scenario, 0, data.budget.folds)  # type: ignore[arg-type]
        if not isinstance(found, str):
            return scenario, found[0]
    raise AssertionError("an attribute with a headline has a split")


def _shares(trial: Trial, bases: Sequence[Base], kind: str, plants: int) -> dict[float, float]:
    """Return the share of plants that is found, of the sizes that decide which is the smallest.

    The search starts at 5 %, or at the smallest size that so few records can show, where that is larger. After a miss
    it goes on to larger sizes, after a success to smaller ones. The largest size is planted too, because an attack can
    find a small leak and only a small part of a large one. Left out are sizes that these records cannot carry, and
    sizes that not even a perfect attack would find among so few records.
    """
    sizes = [s for s in SIZES if trial.can_be_found(s) and bases[0].carries(kind, s * trial.revealed)]
    shares: dict[float, float] = {}
    at = min(len(SIZES) // 2, len(sizes) - 1)
    while 0 <= at < len(sizes) and sizes[at] not in shares:
        shares[sizes[at]] = _share(trial, bases, kind, sizes[at], plants)
        at += 1 if shares[sizes[at]] >= FOUND else -1
    if _smallest(shares) is not None and sizes[0] not in shares:
        shares[sizes[0]] = _share(trial, bases, kind, sizes[0], plants)
    return dict(sorted(shares.items(), reverse=True))


def _smallest(shares: Mapping[float, float]) -> float | None:
    """Return the smallest size that was found, as every larger one was; None where there is none."""
    found = None
    for size, share in sorted(shares.items(), reverse=True):
        if share < FOUND:
            break
        found = size
    return found


def _share(trial: Trial, bases: Sequence[Base], kind: str, size: float, plants: int) -> float:
    # Plants are made a few at a time, until so many are missed that the others could not matter.
    most_missed = _most_missed(plants)
    found = missed = 0
    for start in range(0, plants, most_missed + 1):
        seeds = range(start, min(start + most_missed + 1, plants))
        hits = sum(trial.finds(bases[seed % BASES], kind, size, seed) for seed in seeds)
        found, missed = found + hits, missed + len(seeds) - hits
        if missed > most_missed:
            break
    return found / (found + missed)
