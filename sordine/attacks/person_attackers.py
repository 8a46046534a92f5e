"""A person, not a record: k released records of one unit (a speaker, a subject, a trial) are read together.

Every attacker here gives each record scores in nats, one a hypothesis (a class of the secret, or a unit whose class is
known); the scores of k records are summed, the prior is added once, and the highest hypothesis names the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import logsumexp

from sordine.attacks.base import Split, Target, moments
from sordine.attacks.calibration import calibrated_scores
from sordine.attacks.persons import Evidence, Scores, Units, draw, sums
from sordine.keys import numpy_rng
from sordine.run import Run

VALIDATED = 50  # groups of a unit's validation records that an attacker is chosen by
AXES = 24  # principal axes whose mean and spread the pooled discriminant reads
SHRUNK = (0.05, 0.3, 1.0)  # share of the diagonal in the discriminant's covariance
COUNTS = (0.01, 0.1, 1.0, 10.0, 100.0)  # records' worth of the marginal that smooth P(j | s)

# Scores of the validation rows (v, D, hypotheses), of the tried rows (t, D, hypotheses); log prior; classes stood for
Candidate = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Reader = Callable[[Split, int], dict[str, Candidate]]


def evidence(trials: Sequence[Split], units: Units, counts: Sequence[int], reader: Reader) -> Evidence:
    """Every trial's attackers, and of them, for each k, the one that reads groups of validation records best, over all trials
    together: groups of one unit hold records of several trials, whose scores must be of the same hypotheses to be summed.

    No trial's own tried records are in its validation. But where trials are folds (setting B), those of one are validation
    records of another, so there the choice has seen what it is tried on, and its figure may be a little too high.
    `reader(trial, k)` gives the candidates.
    """
    found = {k: [reader(trial, k) for trial in trials] for k in counts}
    chosen: dict[int, Scores] = {}
    rows = np.empty(0, np.int64)
    for k, each in found.items():
        names = [name for name in each[0] if all(name in one for one in each)]
        if not names:  # too few classes to learn from
            continue
        merit = {name: [_merit(t, units, k, one[name]) for t, one in zip(trials, each, strict=True)] for name in names}
        best = max(names, key=lambda name: tuple(np.mean(merit[name], 0)))
        parts = [one[best] for one in each]
        chosen[k] = Scores(np.concatenate([p[1] for p in parts]), np.mean([p[2] for p in parts], 0), parts[0][3])
        rows = np.concatenate([t.test[: len(p[1])] for t, p in zip(trials, parts, strict=True)])
    return Evidence(rows, chosen)


def _merit(trial: Split, units: Units, k: int, candidate: Candidate) -> tuple[float, float]:
    # Means over units of what groups of k validation records read, and, where that is equal, of how surely. A unit has few of
    # them: groups are of half of its records at most, so that they differ.
    own, _, prior, stands_for = candidate
    codes = units.codes[trial.validation[: len(own)]]
    rng = numpy_rng(0, "validation groups")
    right, sure = [], []
    for u in np.unique(codes[codes >= 0]):
        values = own[codes == u]
        half = -(-len(values) // 2)
        told = sums(values, draw(rng, len(values), min(k or half, half), VALIDATED), rng) + prior
        mine = stands_for == units.classes[u]
        right.append((stands_for[told.argmax(1)] == units.classes[u]).mean())
        sure.append((logsumexp(told[:, mine], axis=1) - logsumexp(told, axis=1)).mean())
    return (float(np.mean(right)), float(np.mean(sure))) if right else (0.0, 0.0)


# ------------------------------------------------------------------------------------------------ attackers


def drawn_only(
    x: np.ndarray,
    units: Units,
    families: Sequence[str],
    classes: int,
    size: int,
    n: int,
    seed: int = 0,
    device: str = "cpu",
) -> Reader:
    """An attacker who sees released records alone: x (n, d) float32. Candidates: calibrated class probabilities of the best of
    `families` (see `calibrated_scores`), summed; the same by way of the units, where the secret is another property of them; and
    a discriminant that reads the mean and the spread of k records on principal axes. size: how many records "all" are.
    x may hold several releases of the same n records, one after the other; `units` says whose each is."""
    kept: dict[bytes, dict[str, Candidate]] = {}
    labels = _class_of(units)
    several = len(np.unique(units.classes)) < len(units.classes)

    def reader(trial: Split, k: int) -> dict[str, Candidate]:
        name = trial.test.tobytes() + trial.train.tobytes()
        if name not in kept:
            kept[name] = {}
            targets = [("classes", labels, np.arange(classes), classes)]
            if several and len(units.classes) <= 200:
                targets.append(("units", units.codes, units.classes, len(units.classes)))
            for what, codes, stands_for, count in targets:
                read = calibrated_scores(x, trial, Target(codes, count), families, Run(device, seed))
                if read is not None:
                    prior = _log_prior(units, trial, stands_for, what == "units")
                    for told, said in zip(read, ("", ", offset"), strict=True):
                        kept[name][what + said] = (*_as_released(told, trial, n), prior, stands_for)
        pooled = _discriminant(x, trial, units, classes, k or size, n)
        return {**kept[name], **pooled}

    return reader


def knows_channel(
    p: np.ndarray, index: np.ndarray, units: Units, classes: int, beside: np.ndarray | None = None
) -> Reader:
    """An attacker who knows P(j | x) of its own labelled records. p: (n, M) float32; index: (n, D), what was drawn in the
    place of each record under D keys, which is all that is read of the tried ones. Candidates: P(j | class), and P(j | unit)
    where the secret is another property of units; each smoothed towards P(j) as the validation records' channels tell
    best. beside: (n,) codes of what stands beside the records, by which each is tried once more with own records
    weighted so that every hypothesis has the same shares of it: what only tells the kept columns is then not mistaken for a tell."""
    kept: dict[bytes, dict[str, Candidate]] = {}
    labels = _class_of(units)
    targets = [("classes", labels, np.arange(classes))]
    if len(np.unique(units.classes)) < len(units.classes):
        targets.append(("units", units.codes, units.classes))

    def reader(trial: Split, k: int) -> dict[str, Candidate]:
        name = trial.test.tobytes() + trial.train.tobytes()
        if name not in kept:
            kept[name] = {}
            for what, codes, stands_for in targets:
                prior = _log_prior(units, trial, stands_for, what == "units")
                for evened in (None,) if beside is None else (None, beside):
                    told = likelihoods(p, index, trial, codes, len(stands_for), evened)
                    kept[name][what + ("" if evened is None else ", evened")] = (*told, prior, stands_for)
        return kept[name]

    return reader


def likelihoods(
    p: np.ndarray, index: np.ndarray, trial: Split, labels: np.ndarray, count: int, beside: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """log P(j | hypothesis) - log P(j), in nats, of what was drawn in the place of each validation record (v, D, count) and of each
    tried one (t, D, count). p, index and beside: see `knows_channel`. labels: (n,) codes of hypotheses, -1 unknown."""
    train, validation = (rows[labels[rows] >= 0] for rows in (trial.train, trial.validation))
    own = np.concatenate([train, validation])
    mass, held = _mass(p, labels, train, count, beside), _mass(p, labels, validation, count, beside)
    # The mean log likelihood of what validation records would give: their own channel, not one draw of it.
    told = [float((held * _smooth(mass, weight)).sum()) for weight in COUNTS]
    weight = COUNTS[int(np.argmax(told))]
    first, last = _smooth(mass, weight), _smooth(_mass(p, labels, own, count, beside), weight)
    return np.moveaxis(first[:, index[trial.validation]], 0, -1), np.moveaxis(last[:, index[trial.test]], 0, -1)


def _mass(p: np.ndarray, labels: np.ndarray, rows: np.ndarray, count: int, beside: np.ndarray | None) -> np.ndarray:
    # (hypotheses, M): the sum of the channels of each hypothesis' records.
    mass = np.zeros((count, p.shape[1]))
    overall = None if beside is None else np.bincount(beside[rows] + 1) / max(len(rows), 1)
    for h in np.unique(labels[rows]):
        own = rows[labels[rows] == h]
        weight = np.ones(len(own), np.float32)
        if overall is not None and beside is not None:
            code = beside[own] + 1
            weight = (overall[code] * len(own) / np.bincount(code)[code]).astype(np.float32)
        mass[h] = weight @ p[own]
    return mass


def _smooth(mass: np.ndarray, count: float) -> np.ndarray:
    # log P(j | h) - log P(j), the marginal weighing as much as `count` records.
    marginal = mass.sum(0) / max(mass.sum(), 1e-12) + 1e-9 / mass.shape[1]
    whole = mass.sum(1, keepdims=True)
    return np.log((mass + count * marginal) / (whole + count)) - np.log(marginal)


def _as_released(read: tuple[np.ndarray, np.ndarray], trial: Split, n: int) -> tuple[np.ndarray, np.ndarray]:
    # (rows, hypotheses) of several releases of the same records, one release after the other -> (records, D, hypotheses)
    parts = []
    for told, rows in zip(read, (trial.validation, trial.test), strict=True):
        records = int((rows < n).sum())
        parts.append(np.ascontiguousarray(told.reshape(-1, records, told.shape[1]).transpose(1, 0, 2)))
    return parts[0], parts[1]


def _class_of(units: Units) -> np.ndarray:
    return np.where(units.codes >= 0, units.classes[units.codes], -1)


def _log_prior(units: Units, trial: Split, stands_for: np.ndarray, by_unit: bool) -> np.ndarray:
    # An attacker is given one unit, each as likely: a class is as likely as the share of units that have it.
    codes = np.concatenate([units.codes[trial.train], units.codes[trial.validation]])
    present = np.unique(codes[codes >= 0])
    count = np.bincount(present if by_unit else units.classes[present], minlength=len(stands_for)).astype(np.float64)
    return np.log(np.maximum(count, 1e-12) / max(count.sum(), 1e-12))


def _discriminant(x: np.ndarray, trial: Split, units: Units, classes: int, k: int, n: int) -> dict[str, Candidate]:
    """Mean and mean square of k records on principal axes, told by a linear discriminant whose covariance is that of
    such means: between units of one class, plus 1/k of that within units."""
    own = np.concatenate([trial.train, trial.validation])
    mean, scale = moments(x, own)
    z = (x[own] - mean) / scale
    _, along = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
    along = along[:, ::-1][:, :AXES].astype(np.float32)
    length = np.maximum((z @ along).std(0), 1e-6)

    def seen(rows: np.ndarray) -> np.ndarray:
        on = np.clip(((x[rows] - mean) / scale) @ along / length, -5, 5).astype(np.float64)
        return np.concatenate([on, on * on - 1], 1)

    own_seen, tried = seen(own), seen(trial.test)
    validation = own_seen[len(trial.train) :]
    found = {}
    for share in SHRUNK:
        first = _lda(own_seen[: len(trial.train)], units.codes[trial.train], units, classes, k, share)
        last = _lda(own_seen, units.codes[own], units, classes, k, share)
        if first is None or last is None:
            continue
        (w0, b0), (w1, b1) = first, last
        found[f"moments {share}"] = (
            *_as_released((validation @ w0 + b0, tried @ w1 + b1), trial, n),
            _log_prior(units, trial, np.arange(classes), False),
            np.arange(classes),
        )
    return found


def _lda(
    seen: np.ndarray, codes: np.ndarray, units: Units, classes: int, k: int, share: float
) -> tuple[np.ndarray, np.ndarray] | None:
    # Weights (features, classes) and offsets (classes,) whose sum over k records is the discriminant of their mean.
    seen, codes = seen[codes >= 0], codes[codes >= 0]
    present, code, count = np.unique(codes, return_inverse=True, return_counts=True)
    if len(np.unique(units.classes[present])) < 2 or len(seen) <= len(present):
        return None
    means = np.zeros((len(present), seen.shape[1]))
    np.add.at(means, code, seen)
    means /= count[:, None]
    left = seen - means[code]
    within = left.T @ left / (len(seen) - len(present))
    centre = np.zeros((classes, seen.shape[1]))
    between = np.zeros_like(within)
    owner = units.classes[present]
    for c in np.unique(owner):
        centre[c] = means[owner == c].mean(0)
        away = means[owner == c] - centre[c]
        between += away.T @ away
    freedom = len(present) - len(np.unique(owner))
    if freedom > 0:
        between = between / freedom - within * float(np.mean(1 / count))
        value, along = np.linalg.eigh(between)  # what is left of it must be a covariance
        between = (along * np.maximum(value, 0)) @ along.T
    spread = between + within / k
    spread = (1 - share) * spread + share * np.diag(np.diag(spread)) + 1e-9 * np.eye(len(spread))
    weights = np.linalg.solve(spread, centre.T)
    offsets = -0.5 * np.einsum("cf,fc->c", centre, weights)
    offsets[~np.isin(np.arange(classes), owner)] = -1e6  # a class that it never saw is never named
    return weights / k, offsets / k
