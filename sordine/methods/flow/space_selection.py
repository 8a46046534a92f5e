"""Choose the space of a flow: the first in which retrained attackers infer at most a limit from held-out records.

Shapes: n records; attackers are rows, records columns, of tables of correct predictions.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.metrics.nag import nag, nag_is_defined
from sordine.run import Run

Side = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # training records and labels, test records and labels

PARTS, MANY = 4, 2000  # a quarter is held out; each quarter in turn where there are fewer records than this
# Under this number of records a sixteenth is held out: steps learned from a quarter less would leave much more.
SMALL_PARTS, FEW = 16, 1000
# Predictions for an attribute, of held-out records and of records of the fit: with the support vector machine, without
# it.
STRICT, PLAIN = 13, 10
MACHINE = np.s_[3::4]  # rows of the support vector machine
FOLDS = 3  # of the cross-validation within held-out records
FITS = 2  # of which the records of the fit are attacked, at most: most records are in each
MOST = 3000  # records that an attacker learns from


@dataclass(frozen=True)
class Candidate:
    """A space, and the size of its code."""

    space: Literal["standardised", "matched"]
    size: int

    def __str__(self) -> str:
        return f"{self.size} numbers, {self.space}"


@dataclass(frozen=True)
class Selection:
    """The records on which spaces are compared.

    Parameters
    ----------
    x
        (n, width) records.
    labels
        (n,) class codes of each suppressed attribute.
    secret
        (n,) joint classes.
    group
        (n,) groups that are held out as a whole; None where there are none.
    source
        Name of the table, for error messages.
    """

    x: Tensor
    labels: Sequence[Tensor]
    secret: Tensor
    group: np.ndarray | None = None
    source: str = "the table"


class Learned(Protocol):
    """A flow learned in a candidate space.

    `compressed` returns what is released of records, given uniform draws (b, size), in any number of numbers.
    """

    size: int

    def compressed(self, x: Tensor, noise: Tensor) -> Tensor: ...


def attackers(records: int) -> list[BaseEstimator]:
    """Return quick attackers of four kinds for so many training records; the last counts only where `strict`."""
    return [
        LogisticRegression(max_iter=200),
        KNeighborsClassifier(max(1, min(9, records // 3))),
        ExtraTreesClassifier(100, random_state=0),
        SVC(C=3.0),
    ]


def correct(train: np.ndarray, y: np.ndarray, test: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return which test records each attacker predicts correctly: (attackers x 2, n) bool.

    The first half of the rows learn from the training records, the second half by cross-validation within the test
    records (the first half again where these have too few records of two classes).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with few records, and of slow convergence
        some = np.random.default_rng(0).permutation(len(y))[:MOST]
        if len(np.unique(y[some])) < len(np.unique(y)):  # a rare class was not sampled
            some = np.concatenate([np.unique(y, return_index=True)[1], some])[:MOST]
        across = [m.fit(train[some], y[some]).predict(test) == truth for m in attackers(len(some))]
        if (np.bincount(truth) >= FOLDS).sum() < 2:
            return np.stack(across * 2)
        # Shuffled, since tables may be sorted by class.
        within = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        few = len(test) - len(test) // FOLDS - 1
        inside = [cross_val_predict(m, test, truth, cv=within) == truth for m in attackers(few)]
    return np.stack(across + inside)


def correct_of_fit(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which records of the fit each attacker predicts correctly by cross-validation: (attackers + 1, n) bool.

    The last row predicts the class that is least likely relative to its frequency, which reveals classes where steps
    fit the records too well. Classes with fewer records than folds are left out; the second result holds the classes
    (n,) of the remaining records.
    """
    z, y = z[np.bincount(y)[y] >= FOLDS], y[np.bincount(y)[y] >= FOLDS]
    some = np.random.default_rng(0).permutation(len(y))[:MOST]
    some = some[np.bincount(y[some])[y[some]] >= FOLDS]
    z, y = z[some], np.unique(y[some], return_inverse=True)[1]
    if len(np.unique(y)) < 2:
        return np.zeros((5, 0), bool), y[:0]
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = attackers(len(y) - len(y) // FOLDS - 1)
        likely = cross_val_predict(models[0], z, y, cv=parts, method="predict_proba")
        others = [cross_val_predict(m, z, y, cv=parts) == y for m in models[1:]]
    return np.stack([likely.argmax(1) == y, *others, (likely / np.bincount(y)).argmin(1) == y]), y


def counted(table: np.ndarray, strict: bool) -> np.ndarray:
    """Return the rows of the attackers that count, of `correct` or `correct_of_fit`: (attackers, n) -> (fewer, n)."""
    return table if strict else np.delete(table, MACHINE, 0)


def splits_of(secret: Tensor, seed: int, group: np.ndarray | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of training rows and held-out rows.

    One pair where records are many; each part in turn where they are few, and smaller parts where they are very few and
    every class has a record for each part. Whole groups (n,) are held out where every class keeps other groups. A class
    with too few records is in the training rows only.
    """
    once = slice(None) if len(secret) < MANY else slice(1)
    y = secret.numpy()
    number = SMALL_PARTS if len(y) < FEW and np.bincount(y).min() >= SMALL_PARTS else PARTS
    # Few groups: larger parts, before any group is cut.
    for whole in dict.fromkeys((number, PARTS)):
        if group is not None and len(np.unique(group)) >= whole <= np.bincount(y).max():
            dealt = StratifiedGroupKFold(whole, shuffle=True, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of classes with fewer groups than parts, checked below
                splits = [(a, b) for a, b in dealt.split(y, y, group) if len(b)]
            if all(len(np.unique(y[a])) == len(np.unique(y)) for a, _ in splits):
                return splits[once]
    count = torch.bincount(secret)[secret].numpy()
    many, few = np.flatnonzero(count >= number), np.flatnonzero(count < number)
    if not len(many):
        return []
    parts = StratifiedKFold(number, shuffle=True, random_state=seed).split(many, y[many])
    return [(np.concatenate([many[a], few]), many[b]) for a, b in parts][once]


@dataclass(frozen=True)
class Inferred:
    """What attackers infer of one attribute, in NAG.

    Parameters
    ----------
    nag
        Of the best attacker.
    chance
        By how much the best of the attackers is expected above the baseline by chance.
    error
        A standard error.
    fitted
        Whether the figure is of records of the fit, not of held-out ones.
    machine
        Of the support vector machine, on held-out records.
    """

    nag: float
    chance: float
    error: float
    fitted: bool = False
    machine: float = 0.0

    def __str__(self) -> str:
        return f"{self.nag:.2f} NAG from records {'of the fit' if self.fitted else 'held out'}"

    @property
    def beyond(self) -> float:
        """What chance does not explain."""
        return self.nag - self.chance


def inferred(sides: Sequence[Side], before: float, attributes: int = 1, strict: bool = False) -> Inferred:
    """Return what attackers infer from held-out records or from those of the fit, whichever exceeds chance more.

    Parameters
    ----------
    sides
        Released records of all splits.
    before
        Accuracy on the original records.
    attributes
        Number of attributes that are attacked, the worst of which counts.
    strict
        Whether the support vector machine counts, in addition to the others and with a chance level of its own.
    """
    table = np.concatenate([correct(*side) for side in sides], 1)
    baseline, records = baseline_of(sides), table.shape[1]
    fits = [correct_of_fit(side[0], side[1]) for side in sides[:FITS]]
    fitted, own = (np.concatenate([f[k] for f in fits], -1) for k in (0, 1))
    found = []
    for with_machine, predictions in ((False, PLAIN), (True, STRICT))[: 1 + strict]:
        luck = expected_best(predictions * attributes)
        found.append(_as_nag(best(table, with_machine), baseline, before, records, luck))
        if len(own):
            # The fits share most records: they count as the records of one fit.
            most, count = float(np.bincount(own).max() / len(own)), max(1, len(own) // len(fits))
            found.append(replace(_as_nag(best(fitted, with_machine), most, before, count, luck), fitted=True))
    machine = nag(float(table[MACHINE].mean(1).max()), before, baseline)
    return replace(max(found, key=lambda r: r.beyond), machine=machine)


def best(table: np.ndarray, strict: bool) -> float:
    """Return the accuracy of the best attacker that counts; see `counted`."""
    return float(counted(table, strict).mean(1).max())


def expected_best(predictions: int) -> float:
    """Return the standard errors by which the best of so many chance predictions is expected above the baseline.

    References
    ----------
    - Normal order statistics (1958), method: the approximation of the expected maximum.
    """
    return float(ndtri((predictions - 0.375) / (predictions + 0.25)))


def _as_nag(after: float, baseline: float, before: float, records: int, luck: float) -> Inferred:
    error = math.sqrt(after * (1 - after) / records) / (before - baseline)
    return Inferred(nag(after, before, baseline), luck * error, error)


def baseline_of(sides: Sequence[Side]) -> float:
    """Return the share of the most frequent class among the held-out records."""
    truth = np.concatenate([side[3] for side in sides])
    return float(np.bincount(truth).max() / len(truth))


def accuracy_before(sides: Sequence[Side]) -> float | None:
    """Return the accuracy of attackers on original records, or None where it does not exceed the baseline."""
    if any(len(np.unique(side[1])) < 2 for side in sides):
        return None
    before = best(np.concatenate([correct(*side) for side in sides], 1), strict=False)
    return before if nag_is_defined(before, baseline_of(sides), sum(len(side[3]) for side in sides)) else None


def choose(
    candidates: Sequence[Candidate],
    learn: Callable[[Candidate, np.ndarray], Learned],
    records: Selection,
    limit: float,
    run: Run,
    *,
    strict: bool = False,
) -> tuple[Candidate, dict[str, Any]]:
    """Return the first candidate whose leakage is within the limit, up to chance, and figures of all tried.

    Where none is, it is the last of those whose leakage cannot be distinguished from the smallest.

    Parameters
    ----------
    candidates
        In the order of trial.
    learn
        Function of a candidate and training rows that returns a learned flow.
    records
        Records, classes and groups.
    limit
        NAG of every suppressed attribute.
    run
        Seed and log.
    strict
        Whether a support vector machine counts beside the families of the standard audit.

    Raises
    ------
    SordineError
        Where no record can be held out, or no candidate can be learned from a part of the records.
    """
    plainest = next((c for c in candidates if c.space == "standardised"), candidates[0])
    advice = f"choose one (--option space={plainest.space} --option size={plainest.size})"
    splits = splits_of(records.secret, run.seed, records.group)
    if not splits:
        reason = f"no suppressed class has {PARTS} records, so that flow cannot hold out records to choose a space"
        raise SordineError(f"{records.source}: {reason}; {advice}")
    attacked = _attacked(records, splits)
    if not attacked:
        # Quick attackers infer nothing from the original records: no space is better than another.
        return candidates[0], {"held": None, "tried": {}}
    what = f"up to {len(candidates)} spaces, each on {len(splits)} parts of the records"
    run.log(f"flow: tries {what}, and takes the first within the limit; --option space=... --option size=... sets one")
    tried: dict[Candidate, Inferred] = {}
    generator = torch.Generator().manual_seed(int(numpy_rng(run.seed, "flow noise").integers(1 << 62)))

    def within(candidate: Candidate) -> bool:
        released = _released(candidate, learn, records.x, splits, generator, run)
        if released:
            tried[candidate] = _worst(splits, released, attacked, strict)
            run.log(f"flow: {candidate}: attackers infer {tried[candidate]}")
        return candidate in tried and tried[candidate].beyond <= limit

    chosen = first_within(candidates, within)
    in_order = {c: tried[c] for c in candidates if c in tried}
    if chosen is not None:
        return chosen, _figures(chosen, in_order, held=True)
    return _least(in_order, f"{records.source}: flow cannot learn a space from a part of the records; {advice}")


def first_within(candidates: Sequence[Candidate], within: Callable[[Candidate], bool]) -> Candidate | None:
    """Return the first candidate within the limit, or None.

    Of standardised spaces in a row, the larger ones leak more. So after the first of a row, the others are halved.
    """
    for _, row in itertools.groupby(candidates, key=lambda c: c.space):
        first, *rest = row
        if within(first):
            return first
        low, high = 0, len(rest)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if within(rest[middle]) else (middle + 1, high)
        if low < len(rest):
            return rest[low]
    return None


def _least(tried: dict[Candidate, Inferred], message: str) -> tuple[Candidate, dict[str, Any]]:
    if not tried:
        raise SordineError(message)
    # Small differences are chance: of the candidates within an error of the least, the last, which tends to leak least.
    least = min(tried.values(), key=lambda r: r.beyond)
    chosen = [c for c, r in tried.items() if r.beyond <= least.beyond + least.error][-1]
    return chosen, _figures(chosen, tried, held=False)


Splits = Sequence[tuple[np.ndarray, np.ndarray]]


def _worst(splits: Splits, released: Splits, attacked: Sequence[tuple[Tensor, float]], strict: bool) -> Inferred:
    """Return what attackers infer of the attribute of which they infer most, beyond chance."""
    found = [inferred(_sides(splits, released, y), before, len(attacked), strict) for y, before in attacked]
    return replace(max(found, key=lambda r: r.beyond), machine=max(r.machine for r in found))


def _sides(splits: Splits, parts: Splits, y: Tensor) -> list[Side]:
    return [(za, y[a].numpy(), zb, y[b].numpy()) for (a, b), (za, zb) in zip(splits, parts, strict=True)]


def _attacked(records: Selection, splits: Splits) -> list[tuple[Tensor, float]]:
    # The attributes that can be inferred from the original records, with the accuracy there.
    plain = StandardScaler().fit_transform(records.x.numpy())
    originals = [(plain[a], plain[b]) for a, b in splits]
    found = ((y, accuracy_before(_sides(splits, originals, y))) for y in records.labels)
    return [(y, before) for y, before in found if before is not None]


def _released(
    candidate: Candidate,
    learn: Callable[[Candidate, np.ndarray], Learned],
    x: Tensor,
    splits: Splits,
    generator: torch.Generator,
    run: Run,
) -> list[tuple[np.ndarray, np.ndarray]]:
    # Training and held-out records of each split as the candidate releases them; none where a part cannot be learned
    # from.
    made: list[tuple[np.ndarray, np.ndarray]] = []
    for a, b in splits:
        try:
            flow = learn(candidate, a)
        except SordineError as refused:
            run.log(f"flow: {candidate}: left out, since it cannot be learned from a part of the records: {refused}")
            return []
        with torch.no_grad():
            noise = torch.rand(len(x), flow.size, generator=generator).clamp(2.0**-24, 1 - 2.0**-24)
            released = flow.compressed(x, noise).numpy()
        released /= max(float(released.std()), 1e-12)
        made.append((released[a], released[b]))
    return made


def _figures(chosen: Candidate, tried: dict[Candidate, Inferred], *, held: bool) -> dict[str, Any]:
    found = tried[chosen]
    return {
        "held": held,
        "held_back": round(found.nag, 3),
        "of_the_fit": found.fitted,
        "chance": round(found.chance, 3),
        "machine": round(found.machine, 3),
        "tried": {str(c): round(r.nag, 3) for c, r in tried.items()},
    }
