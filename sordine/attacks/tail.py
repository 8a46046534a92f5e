"""The tail: classes, persons, subgroups and records that are inferred although most are not.

Everything here uses predicted classes of the attacks on single records. What is chosen by one half of the records is
measured on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, betabinom, binom, hypergeom

from sordine.attacks.persons import independent_records
from sordine.keys import Key
from sordine.metrics.nag import wilson

FEWEST = 5  # records of a part, below which it is not tested
FEWEST_PERSONS = 8  # other persons by which the predictions for one person are judged, at least
WORST = 0.05  # share of the records that are inferred most surely
BOUND = 0.2  # share of what is missing to certainty, above which a record counts as inferred


@dataclass(frozen=True)
class Part:
    """How often records of one part are predicted as their own class, against what chance gives.

    Parameters
    ----------
    kind
        "class": records of one class. "person": records of one person, who has the class. "subgroup": records of one
        class of another attribute.
    of
        The attribute that the part is a class of, or the name of the unit.
    code
        The class or the unit.
    records
        Tested records of the part.
    accuracy
        Share of them that is predicted correctly.
    chance
        The share that chance gives: how often other records are predicted as that class; in a subgroup, how often
        predictions that are shuffled within it are correct.
    p
        Probability of so many by chance, one-sided.
    others
        Number of records behind `chance`; None where it is exact, or where `spread` says how it varies.
    spread
        The two parameters of the beta distribution of that share among persons. Even by chance, records of one person
        are predicted alike, so this person's share by chance may be anywhere in it.
    """

    kind: str
    of: str
    code: int
    records: float
    accuracy: float
    chance: float
    p: float
    others: float | None = None
    spread: tuple[float, float] | None = None

    @property
    def leakage(self) -> float:
        """Leakage: 0 is chance, 1 certainty. For a class or a person, accuracy beyond chance (informedness)."""
        return self._scaled(self.accuracy - self.chance)

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the leakage, from the intervals of both shares (Newcombe, 1998).

        For a person among others, the interval of chance is the range of its shares among the others.
        """
        low, high = wilson(self.accuracy * self.records, self.records, confidence)
        least, most = self.chance, self.chance
        if self.others is not None:
            least, most = wilson(self.chance * self.others, self.others, confidence)
        if self.spread is not None:
            least, most = beta.ppf([(1 - confidence) / 2, (1 + confidence) / 2], *self.spread)
        gain, a, c = self.accuracy - self.chance, self.accuracy, self.chance
        down, up = np.hypot(a - low, most - c), np.hypot(high - a, c - least)
        return self._scaled(float(gain - down)), self._scaled(float(gain + up))

    def _scaled(self, gain: float) -> float:
        if self.kind in ("class", "person"):
            return gain
        return gain / (1 - self.chance) if self.chance < 1 else 0.0


def holm(p: Sequence[float]) -> np.ndarray:
    """Return p-values corrected for their number (Holm, 1979): (n,)."""
    order = np.argsort(p)
    scaled = np.asarray(p, float)[order] * np.arange(len(order), 0, -1)
    found = np.empty(len(order))
    found[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return found


def by_class(truth: np.ndarray, predicted: np.ndarray, of: str, owner: np.ndarray | None) -> Iterator[Part]:
    """Yield a part for each class of the attribute: one against the rest.

    Under chance, the records that are predicted as a class are drawn from all records alike: the number of correct ones
    is hypergeometric.

    Parameters
    ----------
    truth, predicted
        (n,) classes.
    of
        Name of the attribute.
    owner
        (n,) the person of each record, where persons share a class. Their records are right or wrong together, so fewer
        count as independent.
    """
    n = len(truth)
    for c in np.unique(truth):
        own, hit = truth == c, predicted == c
        if own.sum() < FEWEST or own.all():
            continue
        # A weight below 1 for all records alike keeps the shares, and leaves as many as are independent.
        weight = 1.0 if owner is None else independent_records(hit[own], owner[own]) / own.sum()
        rest = 1.0 if owner is None else independent_records(hit[~own], owner[~own]) / (~own).sum()
        weight = min(weight, rest)
        accuracy, chance = float(hit[own].mean()), float(hit[~own].mean())
        p = 1.0
        if accuracy > chance:
            size, drawn, right, marked = (round(weight * v) for v in (n, own.sum(), (own & hit).sum(), hit.sum()))
            p = float(hypergeom.sf(right - 1, max(size, drawn, marked), marked, drawn)) if drawn else 1.0
        yield Part("class", of, int(c), weight * own.sum(), accuracy, chance, p, weight * (~own).sum())


@dataclass(frozen=True)
class RareClass:
    """How often records of a class with few tested records are predicted as it.

    Parameters
    ----------
    code
        The class.
    records, right
        Its tested records, and those of them that are predicted correctly.
    expected
        How many would be by chance.
    p
        Probability of so many by chance, one-sided and exact.
    """

    code: int
    records: int
    right: int
    expected: float
    p: float


def by_rare_class(
    truth: np.ndarray, predicted: np.ndarray, codes: np.ndarray, owner: np.ndarray | None
) -> Iterator[RareClass]:
    """Yield how often records of some classes are predicted as them. Chance is that of `by_class`.

    Parameters
    ----------
    truth, predicted
        (n,) classes.
    codes
        The classes.
    owner
        (n,) the person of each record, where persons share a class. One record of each person then counts.
    """
    if owner is not None:
        first = np.unique(owner, return_index=True)[1]
        truth, predicted = truth[first], predicted[first]
    n = len(truth)
    for c in codes[np.isin(codes, truth)]:
        own, hit = truth == c, predicted == c
        right, drawn, marked = int((own & hit).sum()), int(own.sum()), int(hit.sum())
        p = float(hypergeom.sf(right - 1, n, marked, drawn)) if right else 1.0
        yield RareClass(int(c), drawn, right, drawn * marked / n, p)


def by_person(truth: np.ndarray, predicted: np.ndarray, of: str, owner: np.ndarray) -> Iterator[Part]:
    """Yield a part for each person, where persons share classes.

    Records of one person are predicted alike even by chance. So a person is compared with persons of other classes: how
    often their records are predicted as the person's class, and how much that varies (a beta-binomial distribution).
    """
    for c in np.unique(truth):
        hit = predicted == c
        others = np.unique(owner[(truth != c) & (owner >= 0)])
        if len(others) < FEWEST_PERSONS:
            continue
        sizes = np.array([(owner == u).sum() for u in others])
        rates = np.array([hit[owner == u].mean() for u in others])
        a, b = _beta(rates, sizes)
        for u in np.unique(owner[(truth == c) & (owner >= 0)]):
            own = (owner == u) & (truth == c)
            if own.sum() >= FEWEST:
                accuracy, chance = float(hit[own].mean()), a / (a + b)
                p = float(betabinom.sf(hit[own].sum() - 1, own.sum(), a, b)) if accuracy > chance else 1.0
                yield Part("person", of, int(u), float(own.sum()), accuracy, chance, p, spread=(a, b))


def by_subgroup(
    truth: np.ndarray, predicted: np.ndarray, of: str, group: np.ndarray, owner: np.ndarray | None
) -> Iterator[Part]:
    """Yield a part for each class of another attribute: are predictions within it better than shuffled ones?"""
    for g in np.unique(group[group >= 0]):
        own = group == g
        t, right = truth[own], truth[own] == predicted[own]
        classes = max(int(t.max()), int(predicted[own].max())) + 1
        shares = np.bincount(t, minlength=classes) / len(t)
        if len(t) < FEWEST or shares.max() == 1:
            continue
        chance = float(shares @ np.bincount(predicted[own], minlength=classes) / len(t))
        n = len(t) if owner is None else independent_records(right, owner[own])
        p = float(binom.sf(np.ceil(right.mean() * n - 1e-9) - 1, round(n), chance))
        yield Part("subgroup", of, int(g), n, float(right.mean()), chance, p)


def _beta(rates: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """The beta distribution of rates, by moments, with one more half success and failure."""
    mean = float((rates @ sizes + 0.5) / (sizes.sum() + 1))
    within = mean * (1 - mean) * float(np.mean(1 / sizes))
    between = max(float(np.mean((rates - mean) ** 2)) * len(rates) / (len(rates) - 1) - within, 0.0)
    # The spread is itself estimated from few persons: take it a little larger.
    between = between * (1 + 2 / np.sqrt(len(rates))) + 1e-4 * mean * (1 - mean)
    total = max(mean * (1 - mean) / between - 1, 1e-3)
    return mean * total, (1 - mean) * total


# -------------------------------------------------------------------------------------------------- single records


@dataclass(frozen=True)
class Surest:
    """Of each record, what the attack that is surest about it predicts: cross-fitted between two halves.

    Parameters
    ----------
    rows
        (m,) the tested records.
    right
        (m,) whether the prediction is correct.
    score
        (m,) by how much it raises the probability of its class, as a share of what is missing to certainty. A lower
        bound, from the other half.
    chance
        (m,) the share of the predicted class.
    first
        (m,) which half a record belongs to.
    owner
        (m,) the person of each record, where persons share classes; None: records are independent.
    """

    rows: np.ndarray
    right: np.ndarray
    score: np.ndarray
    chance: np.ndarray
    first: np.ndarray
    owner: np.ndarray | None = None


def surest(
    rows: np.ndarray,
    ids: np.ndarray,
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    owner: np.ndarray | None = None,
) -> Surest:
    """Return the surest prediction of each record.

    Parameters
    ----------
    rows
        (m,) the tested records.
    ids
        (m,) their ids, which decide the halves.
    truth
        (m,) their classes.
    predictions
        Of each attack, (m,) predicted classes. How many attacks agree counts as one more attack.
    owner
        (m,) the person of each record, where persons share classes. Then a half has whole persons.
    """
    classes = 1 + max(int(truth.max()), *(int(p.max()) for p in predictions.values()))
    sources = [(p, np.zeros(len(p), np.int64)) for p in predictions.values()]
    if len(sources) > 1:
        sources.append(_votes(np.stack([p for p, _ in sources]), classes))
    first = _first_half(ids if owner is None else owner.astype(str))
    best, predicted = np.full(len(rows), -np.inf), np.zeros(len(rows), np.int64)
    chance = np.zeros(len(rows))
    confidence = 1 - 0.1 / len(sources)  # one-sided 5 %, corrected for the best of the attacks
    for half in (first, ~first):
        shares = np.bincount(truth[half], minlength=classes) / max(half.sum(), 1)
        for codes, cell in sources:
            persons = None if owner is None else owner[half]
            size = (classes, int(cell.max()) + 1)
            lift = _lifts(truth[half], codes[half], cell[half], size, confidence, persons)
            value = lift[codes[~half], cell[~half]]
            at = np.flatnonzero(~half)
            better = value > best[at]
            best[at[better]], predicted[at[better]] = value[better], codes[at[better]]
        chance[~half] = shares[predicted[~half]]
    return Surest(rows, predicted == truth, best, chance, first, owner)


def _first_half(names: np.ndarray) -> np.ndarray:
    """Whether a record is in the first half, by keyed order of names; equal names stay together."""
    every, code = np.unique(names, return_inverse=True)
    chosen = np.zeros(len(every), bool)
    chosen[Key.of_seed(0).order("halves of the tail", every)[: len(every) // 2]] = True
    return np.asarray(chosen[code.ravel()])


def _votes(predictions: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The class that most attacks predict, and how many do: (m,), (m,)."""
    count = np.stack([(predictions == c).sum(0) for c in range(classes)])
    return count.argmax(0), count.max(0)


def _lifts(
    truth: np.ndarray,
    predicted: np.ndarray,
    cell: np.ndarray,
    size: tuple[int, int],
    confidence: float,
    owner: np.ndarray | None = None,
) -> np.ndarray:
    """By how much a prediction raises the probability of its class, at least: (classes, cells)."""
    shares = np.bincount(truth, minlength=size[0]) / max(len(truth), 1)
    made, right = np.zeros(size), np.zeros(size)
    np.add.at(made, (predicted, cell), 1)
    np.add.at(right, (predicted, cell), truth == predicted)
    found = np.full(size, -1.0)
    for at in np.argwhere(made > 0):
        n, correct, share = made[tuple(at)], right[tuple(at)], shares[at[0]]
        if owner is not None:  # records of one person are predicted alike, so persons count
            persons = len(np.unique(owner[(predicted == at[0]) & (cell == at[1])]))
            n, correct = persons, correct / n * persons
        low = wilson(correct, n, confidence)[0]
        found[tuple(at)] = (low - share) / (1 - share) if share < 1 else 0.0
    return found


def worst(found: Surest, share: float = WORST) -> Part:
    """Return how the surest share of the records is inferred, in each half chosen by the other."""
    chosen = []
    for half in (found.first, ~found.first):
        at = np.flatnonzero(half)
        count = max(1, round(share * len(at)))
        chosen.append(at[np.argsort(-found.score[at], kind="stable")[:count]])
    rows = np.concatenate(chosen)
    right = found.right[rows]
    n = float(len(rows) if found.owner is None else independent_records(right, found.owner[rows]))
    accuracy, chance = float(right.mean()), float(found.chance[rows].mean())
    p = float(binom.sf(np.ceil(accuracy * n - 1e-9) - 1, round(n), min(chance, 1.0)))
    return Part("records", "", 0, n, accuracy, chance, p)


@dataclass(frozen=True)
class TailRecords:
    """Scores of single records, for their owner only.

    Parameters
    ----------
    attribute
        The suppressed attribute.
    ids
        Ids of the records.
    score
        By how much an attack raises the probability of the record's own class (`Surest.score`); NaN where the record
        was not tested.
    record
        Whether the record is inferred: it is predicted correctly, with a score above `BOUND`.
    person
        Whether its person is inferred.
    label
        The record's own class.
    """

    attribute: str
    ids: np.ndarray
    score: np.ndarray
    record: np.ndarray
    person: np.ndarray
    label: np.ndarray
