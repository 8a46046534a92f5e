"""Attacks that know the classes of a part of the fitted records, and infer those of the others (scenario C).

A method that fills outputs alike from every class does so over *all* fitted records. What the known records of a class
used too little, the others must use. So there are two readings of an output: the class whose known records use it most,
and the class whose *remainder* is largest. Both exist for discrete outputs and, by means, for any released numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy.sparse import csr_array

from sordine.attacks.persons import MOST, Units, draw, independent_records
from sordine.keys import Key, numpy_rng

Knows = Literal["outputs", "modifier"]
DRAWS = 4  # least number of choices of the known records
VALIDATED = 1000  # known records by which a reading is chosen, at most
CHOSEN_ON = 10  # records of one unit that are pooled for that choice, at least
GROUPS = 50  # groups of each unit in each draw
CHOICE_GROUPS = 20  # groups of each unit for the choice of a reading
WEIGHTS = (1.0, 30.0)  # weights of the marginal that smooths P(output | class), in records
AXES = (24, 96)  # principal axes on which means are compared
SQUARED = 24  # axes whose squares are compared too
LEAST = 0.05  # share of an output that a remainder has at least
TINY = 1e-12
EQUAL = 6  # decimals of a score in nats, beyond which a difference is rounding


def class_sums(values: np.ndarray | csr_array, codes: np.ndarray, classes: int) -> np.ndarray:
    """Return the sum of the rows of each class: (classes, columns). Codes (n,) of -1 are left out."""
    rows = np.flatnonzero(codes >= 0)
    of_class = csr_array((np.ones(len(rows)), (codes[rows], rows)), shape=(classes, len(codes)))
    found = of_class @ values
    return np.asarray(found if isinstance(found, np.ndarray) else found.toarray(), np.float64)


def remainder(use: np.ndarray | csr_array, known: np.ndarray, secret: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return how much the unknown records of each class must use each output: (classes, outputs).

    Every class uses each output alike over all fitted records. What the known records of a class used too little, the
    others must use. An attacker names the class with the largest remainder at a released output.

    Parameters
    ----------
    use
        (n, outputs): how much each record uses each output, a distribution or the drawn output itself.
    known
        (n,) whether the attacker knows the label.
    secret
        (n,) classes. Of the unknown records only the number in each class is used.
    share
        (outputs,) the share of each output.
    """
    classes = int(secret.max()) + 1
    sizes = np.bincount(secret, minlength=classes)
    return sizes[:, None] * share - class_sums(use, np.where(known, secret, -1), classes)


def log_likelihoods(left: np.ndarray, known: np.ndarray, secret: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return log P(output | class) of the unknown records, from `remainder`, up to a constant: (outputs, classes)."""
    left = _floored(left, known, secret, share)
    return np.asarray(np.log(left / left.sum(1, keepdims=True) / (share + TINY)).T)


def _floored(left: np.ndarray, known: np.ndarray, secret: np.ndarray, share: np.ndarray) -> np.ndarray:
    sizes = np.bincount(secret[~known], minlength=len(left))
    return np.maximum(left, LEAST * sizes[:, None] * share + 1e-9)


# --------------------------------------------------------------------------------------------------- readings


class Reading(Protocol):
    """How an attacker scores records for each class. `known` and `secret` are (n,), as in `remainder`."""

    def unknown(self, rows: np.ndarray) -> np.ndarray:
        """Return scores in nats of records whose classes are unknown: (rows, classes)."""

    def hidden(self, rows: np.ndarray) -> np.ndarray:
        """Return scores of known records, each as if its own class alone were unknown: (rows, classes)."""


@dataclass(frozen=True)
class ByOutput:
    """Scores of each output for each class.

    Parameters
    ----------
    scores
        (outputs, classes).
    hiding
        (outputs, classes): the scores of classes that lack one average record, for the other classes of a known record
        that counts as unknown. Without this, its own class would stand out by its number of records.
    own
        The scores of known records (rows,) for their own class, as if that were unknown.
    index
        (n,) the output of each record.
    secret
        (n,) classes.
    sign
        -1: the least likely class has the largest score.
    """

    scores: np.ndarray
    hiding: np.ndarray
    own: Callable[[np.ndarray], np.ndarray]
    index: np.ndarray
    secret: np.ndarray
    sign: int = 1

    def unknown(self, rows: np.ndarray) -> np.ndarray:
        """Return scores of unknown records: see `Reading`."""
        return self.sign * self.scores[self.index[rows]]

    def hidden(self, rows: np.ndarray) -> np.ndarray:
        """Return scores of known records: see `Reading`."""
        found = self.hiding[self.index[rows]]
        found[np.arange(len(rows)), self.secret[rows]] = self.own(rows)
        return self.sign * np.round(found, EQUAL)


@dataclass(frozen=True)
class ByMeans:
    """The whitened likelihood of released numbers under means of the classes.

    Parameters
    ----------
    z
        (n, axes) released numbers in units of their standard deviation; their mean over all records is 0.
    means
        (classes, axes).
    own
        The means of the own class of known records (rows, axes), without the record.
    secret
        (n,) classes.
    sign
        -1: the least likely class has the largest score.
    """

    z: np.ndarray
    means: np.ndarray
    own: Callable[[np.ndarray], np.ndarray]
    secret: np.ndarray
    sign: int = 1

    def unknown(self, rows: np.ndarray) -> np.ndarray:
        """Return scores of unknown records: see `Reading`."""
        return self.sign * np.asarray(self.z[rows] @ self.means.T - 0.5 * (self.means**2).sum(1))

    def hidden(self, rows: np.ndarray) -> np.ndarray:
        """Return scores of known records: see `Reading`."""
        found = self.z[rows] @ self.means.T - 0.5 * (self.means**2).sum(1)
        own = self.own(rows)
        found[np.arange(len(rows)), self.secret[rows]] = (self.z[rows] * own).sum(1) - 0.5 * (own**2).sum(1)
        return self.sign * found


@dataclass(frozen=True)
class Outputs:
    """Discrete outputs of n fitted records.

    Parameters
    ----------
    index
        (n,) the output that each release is.
    use
        (n, outputs) P(output | x) of each record, for an attacker with the modifier. None: the released outputs alone.
    """

    index: np.ndarray
    use: np.ndarray | None = None

    def readings(self, known: np.ndarray, secret: np.ndarray) -> Iterator[tuple[str, Reading]]:
        """Yield the readings of outputs by name: by class, by the least likely class, and by remainder."""
        n, j = len(self.index), self.index
        use = self._drawn() if self.use is None else self.use
        mine = np.ones(n) if self.use is None else self.use[np.arange(n), j].astype(np.float64)
        share = np.asarray((use if self.use is None else self.use[known]).mean(0), np.float64).ravel()
        classes = int(secret.max()) + 1
        codes = np.where(known, secret, -1)
        sums, count = class_sums(use, codes, classes), np.bincount(codes[known], minlength=classes)
        fewer = np.maximum(count - 1, 0)
        hidden = sums * (fewer / np.maximum(count, 1))[:, None]
        for weight in WEIGHTS:

            def scored(sums: np.ndarray, count: np.ndarray, weight: float = weight) -> np.ndarray:
                of_class = (sums + weight * share + TINY) / (count + weight)[:, None]
                return np.asarray(np.log(of_class / (share + TINY)).T)

            def own(rows: np.ndarray, weight: float = weight) -> np.ndarray:
                c, out = secret[rows], j[rows]
                less = np.maximum(sums[c, out] - mine[rows], 0.0) + weight * share[out] + TINY
                return np.asarray(np.log(less / (fewer[c] + weight) / (share[out] + TINY)))

            scores = scored(sums, count), scored(hidden, fewer)
            yield f"class ({weight:g})", ByOutput(*scores, own, j, secret)
            yield f"least likely class ({weight:g})", ByOutput(*scores, own, j, secret, -1)
        left = sizes_of(secret)[:, None] * share - sums
        floored = _floored(left, known, secret, share)
        left_hidden = sizes_of(secret)[:, None] * share - hidden
        whole_hidden = _floored(left_hidden, known, secret, share).sum(1)

        def more(rows: np.ndarray) -> np.ndarray:
            c, out = secret[rows], j[rows]
            whole = np.maximum(left[c, out] + mine[rows], floored[c, out])
            return np.asarray(np.log(whole / whole_hidden[c] / (share[out] + TINY)))

        likely, hiding = (log_likelihoods(part, known, secret, share) for part in (left, left_hidden))
        yield "remainder", ByOutput(likely, hiding, more, j, secret)

    def _drawn(self) -> csr_array:
        n = len(self.index)
        return csr_array((np.ones(n), (np.arange(n), self.index)), shape=(n, int(self.index.max()) + 1))


@dataclass(frozen=True)
class Numbers:
    """Released numbers of n fitted records, in one view.

    Parameters
    ----------
    name
        Name of the view.
    z
        (n, axes) whitened, mean 0.
    expected
        (n, axes) what the modifier releases on average, for an attacker that has it. None: `z`.
    """

    name: str
    z: np.ndarray
    expected: np.ndarray | None = None

    def readings(self, known: np.ndarray, secret: np.ndarray) -> Iterator[tuple[str, Reading]]:
        """Yield the readings of numbers by name: by means, least likely, and by the remainder's means."""
        values = self.z if self.expected is None else self.expected
        sizes = sizes_of(secret)
        codes = np.where(known, secret, -1)
        sums, count = class_sums(values, codes, len(sizes)), np.bincount(codes[known], minlength=len(sizes))
        left = sizes - count

        def own(rows: np.ndarray) -> np.ndarray:
            c = secret[rows]
            return np.asarray((sums[c] - values[rows]) / np.maximum(count[c] - 1, 1)[:, None])

        def more(rows: np.ndarray) -> np.ndarray:
            c = secret[rows]
            return np.asarray((values[rows] - sums[c]) / (left[c] + 1)[:, None])

        means = sums / np.maximum(count, 1)[:, None]
        yield f"means, {self.name}", ByMeans(self.z, means, own, secret)
        yield f"least likely means, {self.name}", ByMeans(self.z, means, own, secret, -1)
        means = -sums / np.maximum(left, 1)[:, None]
        yield f"means of the remainder, {self.name}", ByMeans(self.z, means, more, secret)


def sizes_of(secret: np.ndarray) -> np.ndarray:
    """Return the number of records in each class: (classes,)."""
    return np.bincount(secret, minlength=int(secret.max()) + 1)


def views(x: np.ndarray, releases: Sequence[np.ndarray] = ()) -> list[Numbers]:
    """Return the views of released numbers: principal axes of several counts, and squares on some of them.

    Parameters
    ----------
    x
        (n, d) released numbers of the fitted records.
    releases
        Further releases (n, d) of the same records. The attacker makes them with the modifier, under its own keys.
    """
    whiten = _whitening(x)
    several = [whiten(each) for each in (x, *releases)]
    found = []
    for count in AXES:
        found.append(_view(f"{count} axes", [z[:, :count] for z in several]))
        if several[0].shape[1] <= count:
            break
    found.append(_view(f"squares on {SQUARED} axes", [_with_squares(z[:, :SQUARED]) for z in several]))
    return found


def _view(name: str, several: list[np.ndarray]) -> Numbers:
    return Numbers(name, several[0], np.mean(several, 0) if len(several) > 1 else None)


def _with_squares(z: np.ndarray) -> np.ndarray:
    square = np.clip(z, -4, 4) ** 2
    return np.concatenate([z, (square - square.mean(0)) / np.maximum(square.std(0), 1e-6)], 1)


def _whitening(x: np.ndarray) -> Any:
    from sklearn.utils.extmath import randomized_svd

    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-6 * max(float(scale.max()), TINY), scale, np.inf)
    z = ((x - mean) / scale).astype(np.float32)
    count = min(max(AXES), *z.shape)
    if z.shape[1] <= max(AXES):
        length, along = np.linalg.eigh((z.T @ z).astype(np.float64))
        s, v = np.sqrt(np.maximum(length[::-1], 0)), along[:, ::-1].T
    else:
        _, s, v = randomized_svd(z, count, n_iter=2, random_state=0)
    usable = s > 1e-4 * max(float(s.max(initial=0)), TINY)
    to = (v[usable].T / s[usable] * np.sqrt(len(x))).astype(np.float32)

    def whiten(other: np.ndarray) -> np.ndarray:
        return np.asarray(((other - mean) / scale).astype(np.float32) @ to)

    return whiten


# ----------------------------------------------------------------------------------------------------- the attack


@dataclass(frozen=True)
class Inferred:
    """How an attacker infers classes of unknown records, over all choices of the known ones.

    Parameters
    ----------
    accuracy
        Share of correct predictions: of records, or of groups where each unit weighs alike.
    groups
        Number of records, or of groups that count as independent.
    guess
        Baseline: the share of the most frequent class among the records, or among the units.
    units
        Number of units; the number of records for k = 1.
    readings
        The chosen readings, the most frequent first.
    """

    accuracy: float
    groups: int
    guess: float
    units: int
    readings: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """Choices of the records whose classes are known, each (n,) bool. Every record is unknown in at least one."""

    choices: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, ids: np.ndarray, secret: np.ndarray, share: float, group: np.ndarray | None = None) -> Known:
        """Return choices of a share of the records of each class, by keyed orders of their ids.

        Within one order the unknown parts cover all records, alike where 1 / (1 - share) is a whole number. So each
        record counts once for an interval. Classes are chosen alike, so that their numbers tell nothing. Records of one
        group are known or unknown together, where each class has two groups or more.
        """
        if group is not None:
            names, first, code = np.unique(group, return_index=True, return_inverse=True)
            if all(count >= 2 for count in np.bincount(secret[first])[np.unique(secret)]) and len(names) < len(ids):
                by_group = cls.of(names.astype(str), secret[first], share)
                return cls(tuple(choice[code.ravel()] for choice in by_group.choices))
        n = len(ids)
        size = min(max(1, round((1 - share) * n)), n - 1)
        parts = -(-n // size)
        choices = []
        for turn in range(-(-DRAWS // parts)):
            order = _interleaved(Key.of_seed(0).order(f"known labels {turn}", ids), secret)
            for part in range(parts):
                known = np.ones(n, bool)
                known[order[(part * n // parts + np.arange(size)) % n]] = False
                choices.append(known)
        return cls(tuple(choices))


def _interleaved(order: np.ndarray, secret: np.ndarray) -> np.ndarray:
    # An order in which every stretch has about the same share of each class.
    at = np.empty(len(order))
    for c in np.unique(secret):
        own = order[secret[order] == c]
        at[own] = (np.arange(len(own)) + 0.5) / len(own)
    return order[np.argsort(at[order], kind="stable")]


def infer(
    sources: Sequence[Outputs | Numbers],
    secret: np.ndarray,
    units: Units,
    counts: Sequence[int],
    known: Known,
    group: np.ndarray | None = None,
) -> Mapping[int, Inferred]:
    """Return what an attacker infers of unknown records, from each number k of pooled records of one unit.

    The attacker chooses its reading by the known records: each is scored as if its own class were unknown, which moves
    the remainder by that record only.

    Parameters
    ----------
    sources
        What the attacker has.
    secret
        (n,) classes, all known to the caller.
    units
        The unit of each record.
    counts
        Values of k: 1 for single records, 0 for all records of a unit.
    known
        Choices of the known records.
    group
        (n,) codes of groups whose records are predicted alike; None: records are independent.

    Returns
    -------
    dict
        k -> result; a k is left out where units with so many unknown records belong to fewer than two classes.
    """
    tallies = {k: _Tally(units, k, group) for k in counts}
    for number, choice in enumerate(known.choices):
        readings = dict(pair for source in sources for pair in source.readings(choice, secret))
        merits = _merits(readings, choice, secret, units, counts, number)
        rows = np.flatnonzero(~choice)
        scores: dict[str, np.ndarray] = {}
        for k in counts:
            name = max(readings, key=lambda r, k=k: merits[r, k])  # type: ignore[misc]
            if name not in scores:
                scores[name] = readings[name].unknown(rows)
            tallies[k].add(name, scores[name], rows, secret, number)
    results = {k: tally.result(secret) for k, tally in tallies.items()}
    return {k: result for k, result in results.items() if result is not None}


def _merits(
    readings: Mapping[str, Reading],
    known: np.ndarray,
    secret: np.ndarray,
    units: Units,
    counts: Sequence[int],
    number: int,
) -> dict[tuple[str, int], float]:
    """The mean of each reading's accuracies on single known records and on groups, each scored as if unknown."""
    rows = numpy_rng(number, "validated").permutation(np.flatnonzero(known))[:VALIDATED]
    prior = np.log(sizes_of(secret) + TINY)
    truth = secret[rows]
    found = {}
    for name, reading in readings.items():
        scores = reading.hidden(rows)
        single = float(((scores + prior).argmax(1) == truth).mean())
        for k in counts:
            size = max(k, CHOSEN_ON) if k else VALIDATED
            right = _correct(scores, rows, units, size, number, CHOICE_GROUPS)
            found[name, k] = single + (float(np.mean([r.mean() for r in right.values()])) if right else 0.0)
    return found


def _correct(
    scores: np.ndarray, rows: np.ndarray, units: Units, size: int, number: int, groups: int
) -> dict[int, np.ndarray]:
    """Whether groups of records are predicted correctly, by unit. A group has at most half of its unit's records."""
    codes, rng = units.codes[rows], numpy_rng(number, "groups of known labels")
    prior = _log_prior(units, scores.shape[1])
    found = {}
    for unit in np.unique(codes[codes >= 0]):
        own = np.flatnonzero(codes == unit)
        at = own[rng.integers(len(own), size=(groups, min(size, -(-len(own) // 2))))]
        found[int(unit)] = (scores[at].sum(1) + prior).argmax(1) == units.classes[unit]
    return found


def _log_prior(units: Units, classes: int) -> np.ndarray:
    return np.asarray(np.log(np.bincount(units.classes, minlength=classes) + TINY))


class _Tally:
    # Correct predictions for one k, over the choices of known records.

    def __init__(self, units: Units, k: int, group: np.ndarray | None) -> None:
        self.units, self.k, self.group = units, k, group
        self.names: list[str] = []
        self.right, self.tested = np.zeros(len(units.codes)), np.zeros(len(units.codes))
        self.by_unit: dict[int, list[float]] = {}

    def add(self, name: str, scores: np.ndarray, rows: np.ndarray, secret: np.ndarray, number: int) -> None:
        self.names.append(name)
        if self.k == 1:
            # The sizes of the classes, not how many of each are unknown: the baseline is of all records, too.
            prior = np.log(sizes_of(secret) + TINY)
            self.right[rows] += (scores + prior).argmax(1) == secret[rows]
            self.tested[rows] += 1
            return
        codes, rng = self.units.codes[rows], numpy_rng(number, "groups of unknown labels")
        prior = _log_prior(self.units, scores.shape[1])
        for unit in np.unique(codes[codes >= 0]):
            own = np.flatnonzero(codes == unit)
            if len(own) < max(self.k, 2):
                continue
            size = self.k or len(own)
            at = own[draw(rng, len(own), size, 1 if size == len(own) else _groups(size, scores.shape[1]))]
            right = (scores[at].sum(1) + prior).argmax(1) == self.units.classes[unit]
            self.by_unit.setdefault(int(unit), []).append(float(right.mean()))

    def result(self, secret: np.ndarray) -> Inferred | None:
        names = tuple(sorted(set(self.names), key=lambda name: (-self.names.count(name), name)))
        if self.k == 1:
            n, rates = len(secret), self.right / np.maximum(self.tested, 1)
            apart = n if self.group is None else round(independent_records(rates, self.group))
            accuracy = float(self.right.sum() / self.tested.sum())
            return Inferred(accuracy, apart, float(sizes_of(secret).max() / n), n, names)
        present = sorted(self.by_unit)
        owner = self.units.classes[present]
        if len(np.unique(owner)) < 2:
            return None
        rates = np.array([np.mean(self.by_unit[u]) for u in present])
        guess = float(np.bincount(owner).max() / len(owner))
        return Inferred(float(rates.mean()), self._independent(present, rates), guess, len(present), names)

    def _independent(self, present: list[int], rates: np.ndarray) -> int:
        """How many groups count as independent: those that share no record, and fewer where units differ."""
        sizes = np.bincount(self.units.codes[self.units.codes >= 0], minlength=len(self.units.names))[present]
        apart = int((sizes // self.k).sum()) if self.k else len(present)
        owner = self.units.classes[present]
        if len(np.unique(owner)) == len(owner):  # each unit is a class: the figure is about these units
            return max(apart, len(present))
        mean = float(rates.mean())
        spread = float(rates.var(ddof=1))
        alike = mean * (1 - mean) * len(present) / spread if spread > 0 else len(present)
        return int(min(max(alike, len(present)), max(apart, len(present))))


def _groups(size: int, classes: int) -> int:
    return max(1, min(GROUPS, MOST // max(1, size * classes)))
