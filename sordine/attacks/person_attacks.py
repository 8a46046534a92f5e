"""Attacks on a person: k released records of one unit (a speaker, a subject) are pooled.

Every attack here gives each record scores in nats, one for each hypothesis: a class of the target, or a unit whose
class is known. The scores of k records are summed, the prior is added once, and the best hypothesis names the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import logsumexp

from sordine.attacks.base import ONE_SIDED_95, Split, Target, moments
from sordine.attacks.calibration import IMPOSSIBLE, calibrated_scores
from sordine.attacks.persons import Evidence, Scores, Units, draw, sums
from sordine.keys import numpy_rng
from sordine.run import Run

VALIDATED = 50  # groups of a unit's validation records by which an attack is chosen
MOST_UNITS = 200  # units up to which each of them is a hypothesis
AXES = 24  # principal axes whose mean and spread the pooled discriminant uses
SHRUNK = (0.05, 0.3, 1.0)  # share of the diagonal in the discriminant's covariance
ABSENT = -20.0  # log prior, below which a hypothesis has no own records
COUNTS = (0.01, 0.1, 1.0, 10.0, 100.0)  # weights of the marginal that smooths P(j | hypothesis), in records

# Scores of validation (v, D, hypotheses) and test records (t, D, hypotheses); log prior; class of each hypothesis
Candidate = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# A split and k -> attacks by name
PersonAttack = Callable[[Split, int], dict[str, Candidate]]


def evidence(splits: Sequence[Split], units: Units, counts: Sequence[int], attack: PersonAttack) -> Evidence:
    """Return the scores of the best attack for each k, chosen on groups of validation records over all splits.

    The least likely hypothesis is named where that validates better than every attack, beyond luck, as in
    `choose_candidate`. One attack is chosen for all splits: groups of one unit have records of several splits, whose
    scores can be summed only for the same hypotheses. No split's own test records are in its validation records. Where
    splits are folds (scenario B), the test records of one are validation records of another, so the figure may be
    slightly too high.

    Parameters
    ----------
    splits
        Splits with disjoint test records.
    units
        The unit of each record.
    counts
        The values of k; 0 for all records of a unit.
    attack
        Gives the candidates for a split and k.
    """
    found = {k: [attack(split, k) for split in splits] for k in counts}
    chosen: dict[int, Scores] = {}
    rows = np.empty(0, np.int64)
    for k, candidates in found.items():
        names = [name for name in candidates[0] if all(name in other for other in candidates)]
        if not names:  # too few classes to learn from
            continue
        merit = {
            name: np.mean([_merit(split, units, k, c[name]) for split, c in zip(splits, candidates, strict=True)], 0)
            for name in names
        }
        best, other = (max(names, key=lambda name, at=at: tuple(merit[name][at])) for at in (0, 1))  # type: ignore[misc]
        parts = [c[best] for c in candidates]
        if merit[other][1][0] > max(merit[best][0][0], _beyond_luck(splits, units)):
            parts = [_least_likely(c[other]) for c in candidates]
        chosen[k] = Scores(np.concatenate([p[1] for p in parts]), np.mean([p[2] for p in parts], 0), parts[0][3])
        rows = np.concatenate([split.test[: len(p[1])] for split, p in zip(splits, parts, strict=True)])
    return Evidence(rows, chosen)


def _least_likely(candidate: Candidate) -> Candidate:
    # The candidate that names the least likely hypothesis, among those with own records.
    own, test, prior, stands_for = candidate
    return _reversed(own, prior), _reversed(test, prior), prior, stands_for


def _reversed(scores: np.ndarray, prior: np.ndarray) -> np.ndarray:
    return np.where(prior > ABSENT, -scores, IMPOSSIBLE)


def _beyond_luck(splits: Sequence[Split], units: Units) -> float:
    # The accuracy that the most frequent class reaches on the validated units by luck: a one-sided 95 % margin.
    codes = np.unique(np.concatenate([units.codes[split.validation] for split in splits]))
    count = np.bincount(units.classes[codes[codes >= 0]], minlength=1)
    baseline, n = count.max() / max(count.sum(), 1), max(count.sum(), 1)
    return float(baseline + ONE_SIDED_95 * np.sqrt(baseline * (1 - baseline) / n))


def _merit(split: Split, units: Units, k: int, candidate: Candidate) -> np.ndarray:
    # Accuracy on groups of k validation records, and their mean log probability, which decides between equals: of the
    # candidate, and of the least likely hypothesis (2, 2). A unit has few validation records: a group has at most half
    # of them, so that groups differ.
    own, _, prior, stands_for = candidate
    codes = units.codes[split.validation[: len(own)]]
    rng = numpy_rng(0, "validation groups")
    found = []
    for u in np.unique(codes[codes >= 0]):
        values = own[codes == u]
        half = -(-len(values) // 2)
        pooled = sums(values, draw(rng, len(values), min(k or half, half), VALIDATED), rng)
        mine = stands_for == units.classes[u]
        for scores in (pooled + prior, _reversed(pooled, prior) + prior):
            correct = (stands_for[scores.argmax(1)] == units.classes[u]).mean()
            found.append((correct, (logsumexp(scores[:, mine], axis=1) - logsumexp(scores, axis=1)).mean()))
    return np.mean(np.reshape(found, (-1, 2, 2)), 0) if found else np.zeros((2, 2))


def without_modifier(
    x: np.ndarray,
    units: Units,
    families: Sequence[str],
    classes: int,
    size: int,
    n: int,
    run: Run | None = None,
) -> PersonAttack:
    """Return an attack that has released records only.

    Its candidates are the calibrated class probabilities of the best attack among `families` (`calibrated_scores`),
    summed; the same over units, where units of one class exist; and a discriminant on the mean and the spread of k
    records on principal axes.

    Parameters
    ----------
    x
        (n, d) float32, or several releases of the same n records, one after the other.
    units
        The unit of each row of x.
    families
        Names of attacks.
    classes
        Number of classes of the target.
    size
        The number of records that k = 0 stands for.
    n
        Number of records.
    run
        Device and seed.
    """
    cache: dict[bytes, dict[str, Candidate]] = {}
    moments_of: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    hypotheses = [("classes", _class_of(units), np.arange(classes))]
    if len(np.unique(units.classes)) < len(units.classes) <= MOST_UNITS:
        hypotheses.append(("units", units.codes, units.classes))

    def attack(split: Split, k: int) -> dict[str, Candidate]:
        name = split.digest
        if name not in cache:
            cache[name] = {}
            for what, codes, stands_for in hypotheses:
                found = calibrated_scores(x, split, Target(codes, len(stands_for)), families, run)
                if found is not None:
                    prior = _log_prior(units, split, stands_for, what == "units")
                    for scores, suffix in zip(found, ("", ", offset"), strict=True):
                        cache[name][what + suffix] = (*_by_release(scores, split, n), prior, stands_for)
            moments_of[name] = _on_axes(x, split)
        return {**cache[name], **_discriminant(moments_of[name], split, units, classes, k or size, n)}

    return attack


def with_modifier(
    p: np.ndarray, index: np.ndarray, units: Units, classes: int, beside: np.ndarray | None = None
) -> PersonAttack:
    """Return an attack that knows the output distributions of its own labelled records.

    Its candidates are P(j | class), and P(j | unit) where units of one class exist; each is smoothed towards P(j) by
    the weight with the best likelihood on the validation records.

    Parameters
    ----------
    p
        P(j | x) of the records, (n, M) float32.
    index
        (n, D) the output of each record under D keys. Nothing else is used of the test records.
    units
        The unit of each record.
    classes
        Number of classes of the target.
    beside
        (n,) codes of the columns that are released beside the records. Each candidate is then also made with weighted
        records, so that every hypothesis has the same shares of these codes: what predicts only the released columns
        is then not mistaken for a leak of the target.
    """
    cache: dict[bytes, dict[str, Candidate]] = {}
    hypotheses = [("classes", _class_of(units), np.arange(classes))]
    if len(np.unique(units.classes)) < len(units.classes):
        hypotheses.append(("units", units.codes, units.classes))

    def attack(split: Split, k: int) -> dict[str, Candidate]:
        name = split.digest
        if name not in cache:
            cache[name] = {}
            for what, codes, stands_for in hypotheses:
                prior = _log_prior(units, split, stands_for, what == "units")
                for balanced in (None,) if beside is None else (None, beside):
                    scores = likelihoods(p, index, split, Target(codes, len(stands_for)), balanced)
                    suffix = "" if balanced is None else ", evened"
                    cache[name][what + suffix] = (*scores, prior, stands_for)
        return cache[name]

    return attack


def likelihoods(
    p: np.ndarray, index: np.ndarray, split: Split, target: Target, beside: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return log P(j | hypothesis) - log P(j), in nats, of the outputs of validation and of test records.

    Parameters
    ----------
    p, index, beside
        As in `with_modifier`.
    split
        The attacker's own records, and those to score.
    target
        The hypothesis of each record.

    Returns
    -------
    tuple
        (v, D, hypotheses) and (t, D, hypotheses).
    """
    train, validation, own = (target.labelled(rows) for rows in (split.train, split.validation, split.own))
    mass, held_out = _mass(p, target, train, beside), _mass(p, target, validation, beside)
    # The expected log likelihood over the output distributions of validation records, not of one draw.
    expected = [float((held_out * _smooth(mass, weight)).sum()) for weight in COUNTS]
    weight = COUNTS[int(np.argmax(expected))]
    first, last = _smooth(mass, weight), _smooth(_mass(p, target, own, beside), weight)
    return np.moveaxis(first[:, index[split.validation]], 0, -1), np.moveaxis(last[:, index[split.test]], 0, -1)


def _mass(p: np.ndarray, target: Target, rows: np.ndarray, beside: np.ndarray | None) -> np.ndarray:
    # The summed output distributions of the records of each hypothesis: (hypotheses, M).
    mass = np.zeros((target.classes, p.shape[1]))
    overall = None if beside is None else np.bincount(beside[rows] + 1) / max(len(rows), 1)
    for h in np.unique(target.labels[rows]):
        own = rows[target.labels[rows] == h]
        weight = np.ones(len(own), np.float32)
        if overall is not None and beside is not None:
            code = beside[own] + 1
            weight = (overall[code] * len(own) / np.bincount(code)[code]).astype(np.float32)
        mass[h] = weight @ p[own]
    return mass


def _smooth(mass: np.ndarray, count: float) -> np.ndarray:
    # log P(j | h) - log P(j), where the marginal weighs as much as `count` records.
    marginal = mass.sum(0) / max(mass.sum(), 1e-12) + 1e-9 / mass.shape[1]
    whole = mass.sum(1, keepdims=True)
    return np.log((mass + count * marginal) / (whole + count)) - np.log(marginal)


def _by_release(scores: tuple[np.ndarray, np.ndarray], split: Split, n: int) -> tuple[np.ndarray, np.ndarray]:
    # (rows, hypotheses) of several releases of n records, one after the other -> (records, D, hypotheses)
    parts = []
    for values, rows in zip(scores, (split.validation, split.test), strict=True):
        records = int((rows < n).sum())
        parts.append(np.ascontiguousarray(values.reshape(-1, records, values.shape[1]).transpose(1, 0, 2)))
    return parts[0], parts[1]


def _class_of(units: Units) -> np.ndarray:
    return np.where(units.codes >= 0, units.classes[units.codes], -1)


def _log_prior(units: Units, split: Split, stands_for: np.ndarray, by_unit: bool) -> np.ndarray:
    # Every unit is equally likely, so a class is as likely as its share of units.
    codes = units.codes[split.own]
    present = np.unique(codes[codes >= 0])
    count = np.bincount(present if by_unit else units.classes[present], minlength=len(stands_for)).astype(np.float64)
    return np.log(np.maximum(count, 1e-12) / max(count.sum(), 1e-12))


def _on_axes(x: np.ndarray, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the attacker's own and of the test records on principal axes, and their squares less 1."""
    own = split.own
    mean, scale = moments(x, own)
    z = (x[own] - mean) / scale
    _, along = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
    along = along[:, ::-1][:, :AXES].astype(np.float32)
    length = np.maximum((z @ along).std(0), 1e-6)

    def statistics(rows: np.ndarray) -> np.ndarray:
        on = np.clip(((x[rows] - mean) / scale) @ along / length, -5, 5).astype(np.float64)
        return np.concatenate([on, on * on - 1], 1)

    return statistics(own), statistics(split.test)


def _discriminant(
    statistics: tuple[np.ndarray, np.ndarray], split: Split, units: Units, classes: int, k: int, n: int
) -> dict[str, Candidate]:
    """Return linear discriminants on the mean and the mean square of k records on principal axes.

    Their covariance is that of such means: the covariance between units of one class, plus 1/k of that within units.
    """
    own_values, test = statistics
    validation = own_values[len(split.train) :]
    found = {}
    for share in SHRUNK:
        first = _lda(own_values[: len(split.train)], units.codes[split.train], units, classes, k, share)
        last = _lda(own_values, units.codes[split.own], units, classes, k, share)
        if first is None or last is None:
            continue
        (w0, b0), (w1, b1) = first, last
        found[f"moments {share}"] = (
            *_by_release((validation @ w0 + b0, test @ w1 + b1), split, n),
            _log_prior(units, split, np.arange(classes), False),
            np.arange(classes),
        )
    return found


def _lda(
    statistics: np.ndarray, codes: np.ndarray, units: Units, classes: int, k: int, share: float
) -> tuple[np.ndarray, np.ndarray] | None:
    # Weights (features, classes) and offsets (classes,) whose sum over k records is the discriminant of their mean.
    statistics, codes = statistics[codes >= 0], codes[codes >= 0]
    present, code, count = np.unique(codes, return_inverse=True, return_counts=True)
    if len(np.unique(units.classes[present])) < 2 or len(statistics) <= len(present):
        return None
    means = np.zeros((len(present), statistics.shape[1]))
    np.add.at(means, code, statistics)
    means /= count[:, None]
    residual = statistics - means[code]
    within = residual.T @ residual / (len(statistics) - len(present))
    centre = np.zeros((classes, statistics.shape[1]))
    between = np.zeros_like(within)
    owner = units.classes[present]
    for c in np.unique(owner):
        centre[c] = means[owner == c].mean(0)
        away = means[owner == c] - centre[c]
        between += away.T @ away
    freedom = len(present) - len(np.unique(owner))
    if freedom > 0:
        between = between / freedom - within * float(np.mean(1 / count))
        value, along = np.linalg.eigh(between)  # the difference must be a covariance
        between = (along * np.maximum(value, 0)) @ along.T
    spread = between + within / k
    spread = (1 - share) * spread + share * np.diag(np.diag(spread)) + 1e-9 * np.eye(len(spread))
    weights = np.linalg.solve(spread, centre.T)
    offsets = -0.5 * np.einsum("cf,fc->c", centre, weights)
    offsets[~np.isin(np.arange(classes), owner)] = -1e6  # a class without own records is never predicted
    return weights / k, offsets / k
