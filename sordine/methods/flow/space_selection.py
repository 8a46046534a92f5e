"""Which space a flow is made in: the first in which attackers, retrained on what it made of records held back, read no
more than a limit."""

from __future__ import annotations

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

Side = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # learnt from, its labels; tried on, its labels

PARTS, MANY = 4, 2000  # a quarter is held back; each in turn where records are fewer than this
# A sixteenth where they are fewer than this: steps that are learnt from a quarter less leave much more than those that will be released.
SMALL_PARTS, FEW = 16, 1000
STRICT, READERS = (
    13,
    10,
)  # of an attribute, with the support vector machine and without: of what is held back, and of the records of the fit
MACHINE = np.s_[3::4]  # its places among attackers
FOLDS = 3  # within what is held back
FITS = 2  # of which their own records are read, at most: most are in each
MOST = 3000  # records that an attacker learns from


@dataclass(frozen=True)
class Candidate:
    """A space, and how many numbers of it."""

    space: Literal["standardised", "matched"]
    size: int

    def __str__(self) -> str:
        return f"{self.size} numbers, {self.space}"


class Shown(Protocol):
    """What is made of a candidate. shown: records and uniform draws (b, size) -> what is released of them, in (b, any) numbers."""

    size: int

    def shown(self, x: Tensor, noise: Tensor) -> Tensor: ...


def attackers(records: int) -> list[BaseEstimator]:
    """Quick ones of four kinds, to learn from so many records; the last, which no standard audit has, is heard only where asked for."""
    return [
        LogisticRegression(max_iter=200),
        KNeighborsClassifier(max(1, min(9, records // 3))),
        ExtraTreesClassifier(100, random_state=0),
        SVC(C=3.0),
    ]


def hits(train: np.ndarray, y: np.ndarray, test: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which records each attacker reads rightly, learning on the one side and trying on the other, and by
    cross-validation within the other, where it has classes to divide: (attackers x 2, n)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that have few records, and of descents cut short
        some = np.random.default_rng(0).permutation(len(y))[:MOST]
        if len(np.unique(y[some])) < len(np.unique(y)):  # a class of very few among many
            some = np.concatenate([np.unique(y, return_index=True)[1], some])[:MOST]
        across = [m.fit(train[some], y[some]).predict(test) == truth for m in attackers(len(some))]
        if (np.bincount(truth) >= FOLDS).sum() < 2:
            return np.stack(across * 2)
        # Tables come in order of their classes: parts are drawn.
        within = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        few = len(test) - len(test) // FOLDS - 1
        inside = [cross_val_predict(m, test, truth, cv=within) == truth for m in attackers(few)]
    return np.stack(across + inside)


def hits_fitted(z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which records of the fit itself each attacker reads rightly, by cross-validation among them; then whose class looks least likely for how
    frequent it is, as steps that fit records too well leave them: (attackers + 1, n), and the classes of those records, (n,). Classes of fewer records than parts are left out."""
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


def heard(seen: np.ndarray, strict: bool) -> np.ndarray:
    """The rows of those attackers that have a say, of `hits` or of `hits_fitted`: (attackers, n) -> (some of them, n)."""
    return seen if strict else np.delete(seen, MACHINE, 0)


def held_back(secret: Tensor, seed: int, group: np.ndarray | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows that are learnt from and rows that are held back, once, or each in turn where records are few; in smaller parts where they
    are very few and every class has a record for each. Whole groups (n,) are held back
    where every class is left some others. What a class has too few records to hold back from stays on the first side."""
    once = slice(None) if len(secret) < MANY else slice(1)
    y = secret.numpy()
    number = SMALL_PARTS if len(y) < FEW and np.bincount(y).min() >= SMALL_PARTS else PARTS
    # Few groups: larger parts, before any group is cut.
    for whole in dict.fromkeys((number, PARTS)):
        if group is not None and len(np.unique(group)) >= whole <= np.bincount(y).max():
            dealt = StratifiedGroupKFold(whole, shuffle=True, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of classes with fewer groups than parts, which is seen to here
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
class Read:
    """What attackers read of one attribute from records held back, or of the fit. chance: how far above the guess the best of them is expected by
    luck; error: a standard error; machine: what the support vector machine read of those held back; all NAG."""

    nag: float
    chance: float
    error: float
    fitted: bool = False  # whether it was read from records of the fit
    machine: float = 0.0

    @property
    def beyond(self) -> float:
        """What luck does not account for."""
        return self.nag - self.chance


def reading(sides: Sequence[Side], before: float, attributes: int = 1, strict: bool = False) -> Read:
    """From what is released of all parts together, of the records held back or of those of the fit, whichever is more beyond luck. before: what is
    read of the records themselves. attributes: how many are read, the worst of which is looked at. strict: whether the support vector machine is
    heard too: beside the others, of whose luck it takes nothing away."""
    seen = np.concatenate([hits(*side) for side in sides], 1)
    guess, records = guess_of(sides), seen.shape[1]
    fits = [hits_fitted(side[0], side[1]) for side in sides[:FITS]]
    fitted, own = (np.concatenate([f[k] for f in fits], -1) for k in (0, 1))
    found = []
    for all_of_them, readers in ((False, READERS), (True, STRICT))[: 1 + strict]:
        luck = expected_best(readers * attributes)
        found.append(read(best(seen, all_of_them), guess, before, records, luck))
        if len(own):
            # The same records over and over: no more of them than there are in one part.
            most, one = float(np.bincount(own).max() / len(own)), max(1, len(own) // len(fits))
            found.append(replace(read(best(fitted, all_of_them), most, before, one, luck), fitted=True))
    machine = nag(float(seen[MACHINE].mean(1).max()), before, guess)
    return replace(max(found, key=lambda r: r.beyond), machine=machine)


def best(seen: np.ndarray, strict: bool) -> float:
    """The accuracy of the best attacker that has a say: see `heard`."""
    return float(heard(seen, strict).mean(1).max())


def expected_best(readers: int) -> float:
    """Standard errors by which the best of so many attackers that read nothing is expected above the guess (Blom, 1958)."""
    return float(ndtri((readers - 0.375) / (readers + 0.25)))


def read(after: float, guess: float, before: float, records: int, luck: float) -> Read:
    """Accuracies as NAG, with what luck brings of so many records."""
    error = math.sqrt(after * (1 - after) / records) / (before - guess)
    return Read(nag(after, before, guess), luck * error, error)


def guess_of(sides: Sequence[Side]) -> float:
    """The share of the largest class among what is held back."""
    truth = np.concatenate([side[3] for side in sides])
    return float(np.bincount(truth).max() / len(truth))


def legible(sides: Sequence[Side]) -> float | None:
    """What attackers read of the records themselves, but for the machine; None where it is not above the guess, so that nothing can be lost."""
    if any(len(np.unique(side[1])) < 2 for side in sides):
        return None
    before = best(np.concatenate([hits(*side) for side in sides], 1), strict=False)
    return before if nag_is_defined(before, guess_of(sides), sum(len(side[3]) for side in sides)) else None


def choose(
    candidates: Sequence[Candidate],
    learn: Callable[[Candidate, np.ndarray], Shown],
    x: Tensor,
    labels: Sequence[Tensor],
    secret: Tensor,
    limit: float,
    run: Run,
    group: np.ndarray | None = None,
    strict: bool = False,
    source: str = "the table",
) -> tuple[Candidate, dict[str, Any]]:
    """The first candidate of which attackers read no more than `limit` of every attribute, but for the luck of the best of them, else the
    last of those of which they read least; and what was read of each candidate that was tried.

    learn: (candidate, rows) -> a fitted flow. x: (n, width). labels: each suppressed attribute, (n,). secret: jointly, (n,).
    group: (n,) of records that are held back together. strict: whether a support vector machine has a say beside the families of the
    standard audit. source: the table's name. Raises SordineError where nothing can be held back.
    """
    plainest = next((c for c in candidates if c.space == "standardised"), candidates[0])
    name_one = f"choose one (--set space={plainest.space} --set size={plainest.size})"
    splits = held_back(secret, run.seed, group)
    if not splits:
        raise SordineError(
            f"{source}: no class of what is suppressed has {PARTS} records, so that flow can hold none back to choose a space by; "
            f"{name_one}"
        )

    def sides(made: Sequence[tuple[np.ndarray, np.ndarray]], y: Tensor) -> list[Side]:
        return [(za, y[a].numpy(), zb, y[b].numpy()) for (a, b), (za, zb) in zip(splits, made, strict=True)]

    plain = StandardScaler().fit_transform(x.numpy())
    originals = [(plain[a], plain[b]) for a, b in splits]
    told = [(y, before) for y in labels if (before := legible(sides(originals, y))) is not None]
    if not told:
        # Attackers as quick as these read nothing of the records themselves: any space is as good.
        return candidates[0], {"held": None, "tried": {}}
    few = (
        f"{len(splits)} times without another part of the records"
        if len(splits) > 1
        else "once without a part of the records"
    )
    run.log(
        f"flow: up to {len(candidates)} spaces are tried, each {few}, the first that holds is taken; --set space=... --set size=... sets it"
    )
    tried: dict[Candidate, Read] = {}
    generator = torch.Generator().manual_seed(int(numpy_rng(run.seed, "flow noise").integers(1 << 62)))
    for candidate in candidates:
        made: list[tuple[np.ndarray, np.ndarray]] = []
        for a, b in splits:
            try:
                flow = learn(candidate, a)
            except SordineError as refused:  # what all records together have, some may lack
                run.log(f"flow: {candidate}: left out, as part of the records will not do: {refused}")
                made = []
                break
            with torch.no_grad():
                noise = torch.rand(len(x), flow.size, generator=generator).clamp(2.0**-24, 1 - 2.0**-24)
                released = flow.shown(x, noise).numpy()
            released /= max(float(released.std()), 1e-12)
            made.append((released[a], released[b]))
        if not made:
            continue
        reads = [reading(sides(made, y), before, len(told), strict) for y, before in told]
        worst = replace(max(reads, key=lambda r: r.beyond), machine=max(r.machine for r in reads))
        tried[candidate] = worst
        run.log(
            f"flow: {candidate}: {worst.nag:.2f} NAG read from records {'of the fit' if worst.fitted else 'held back'}"
        )
        if worst.beyond <= limit:
            chosen, held = candidate, True
            break
    else:
        if not tried:
            raise SordineError(
                f"{source}: flow can learn no space from a part of the records alone, by which one would be chosen: their classes vary "
                f"too little; {name_one}"
            )
        # Few records say little of which is least: of those as near as luck, the last, which as a rule keeps least.
        least = min(tried.values(), key=lambda r: r.beyond)
        chosen, held = [c for c, r in tried.items() if r.beyond <= least.beyond + least.error][-1], False
    return chosen, {
        "held": held,
        "held_back": round(tried[chosen].nag, 3),
        "of_the_fit": tried[chosen].fitted,
        "chance": round(tried[chosen].chance, 3),
        "machine": round(tried[chosen].machine, 3),
        "tried": {str(c): round(r.nag, 3) for c, r in tried.items()},
    }
