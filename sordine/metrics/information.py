"""Entropies of label columns, how much one says about another, and the optimal attack on a discrete output.

Label columns are (n,) int64, -1 for unlabelled. A record counts where all columns concerned are labelled. Information
is in bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sordine.errors import SordineError, nearest
from sordine.metrics.accuracy import majority
from sordine.metrics.nag import resolvable
from sordine.metrics.percent import percent

PERMUTATIONS = 40  # enough for the mean and the spread of a chance dependence; no extreme percentile is needed
DEVIATIONS = 4.0  # standard deviations above the mean of chance; high, because dozens of pairs are tested together
SMALL = 0.02  # share of an attribute's entropy below which a dependence is not reported
CHUNK_BYTES = 32 << 20

# --------------------------------------------------------------------------------------------- label columns


def _known(*columns: np.ndarray) -> list[np.ndarray]:
    """Return the columns without the records that one of them leaves unlabelled."""
    arrays = [np.asarray(c) for c in columns]
    if any(a.shape != arrays[0].shape or a.ndim != 1 for a in arrays):
        raise SordineError(f"information: label columns must have one shape (n,), not {[a.shape for a in arrays]}")
    known = np.logical_and.reduce([a >= 0 for a in arrays])
    return [a[known] for a in arrays]


def _entropy_of_counts(counts: np.ndarray) -> float:
    p = counts[counts > 0] / max(counts.sum(), 1)
    return float(max(0.0, -np.sum(p * np.log2(p))))


def entropy(labels: np.ndarray) -> float:
    """Return the entropy of the labels in bits (plug-in estimate): (n,); 0 where no record is labelled."""
    (labels,) = _known(labels)
    return _entropy_of_counts(np.unique(labels, return_counts=True)[1])


def joint(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return one code for each combination of classes that occurs.

    Parameters
    ----------
    columns
        At least one label column (n,).

    Returns
    -------
    numpy.ndarray
        (n,) int64 codes from 0, -1 where any column is -1.
    """
    if not columns:
        raise SordineError("information: no label column to join; give at least one")
    code = np.asarray(columns[0]).astype(np.int64)
    for column in columns[1:]:
        _known(code, column)  # refuses columns of different lengths
        code = np.where((code >= 0) & (column >= 0), code * (int(np.max(column, initial=0)) + 1) + column, -1)
        code = _compact(code)  # after every column, or the product of class counts could overflow
    return _compact(code)


def _compact(code: np.ndarray) -> np.ndarray:
    known = code >= 0
    result = np.full(len(code), -1, dtype=np.int64)
    result[known] = np.unique(code[known], return_inverse=True)[1]
    return result


def accuracy_from_labels(target: np.ndarray, given: np.ndarray) -> float:
    """Return the best accuracy on `target` of a predictor that has only `given`, on these records: (n,), (n,).

    It is the sum over the classes of `given` of the largest count of a target class, divided by n.
    """
    target, given = _known(target, given)
    if not len(target):
        return 0.0
    pairs, counts = np.unique(joint([target, given]), return_index=True, return_counts=True)[1:]
    best = np.zeros(int(given.max()) + 1, dtype=np.int64)
    np.maximum.at(best, given[pairs], counts)
    return float(best.sum() / len(target))


@dataclass(frozen=True)
class _Dependence:
    """Mutual information of two columns.

    mutual: plug-in estimate in bits. chance: its mean over permutations. real: whether it is far above chance.
    records: how many have both labels.
    """

    mutual: float
    chance: float
    real: bool
    records: int


def _dependence(a: np.ndarray, b: np.ndarray) -> _Dependence:
    a, b = (_compact(c) for c in _known(a, b))
    if not len(a):
        return _Dependence(0.0, 0.0, False, 0)
    rng = np.random.default_rng(len(a))
    width = int(b.max()) + 1
    size = (int(a.max()) + 1) * width
    marginals = entropy(a) + entropy(b)

    def mutual(left: np.ndarray) -> float:
        codes = left * width + b
        # A dense table only where it is not much larger than the records: joint codes may have thousands of classes.
        dense = size <= 8 * len(b) + 4096
        counts = np.bincount(codes, minlength=size) if dense else np.unique(codes, return_counts=True)[1]
        return max(0.0, marginals - _entropy_of_counts(counts))

    observed = mutual(a)
    chance = np.array([mutual(rng.permutation(a)) for _ in range(PERMUTATIONS)])
    threshold = chance.mean() + DEVIATIONS * chance.std() + 1e-9
    return _Dependence(observed, float(chance.mean()), bool(observed > threshold), len(a))


def _corrected(target: np.ndarray, dependence: _Dependence) -> tuple[float, float]:
    """Return H(target) and H(target | given), the latter corrected for the dependence that chance alone shows."""
    whole = entropy(target)
    room = whole - dependence.chance
    if not dependence.real or room <= 1e-9:  # no room: the other column is nearly an id and decides any column
        return whole, whole
    return whole, whole * (1 - min(1.0, max(0.0, (dependence.mutual - dependence.chance) / room)))


# --------------------------------------------------------------------------------------------- entanglement


@dataclass(frozen=True)
class Pair:
    """Entropy of one attribute, alone and given another.

    Attributes
    ----------
    of, given
        Names of the two attributes.
    entropy
        H(of), in bits.
    conditional
        H(of | given), in bits, corrected for chance; 0 means that `given` decides `of`.
    decides
        Whether `given` decides `of` in these records.
    """

    of: str
    given: str
    entropy: float
    conditional: float
    decides: bool

    @property
    def share_left(self) -> float:
        """H(of | given) / H(of), 0 to 1; 1 where H(of) is 0."""
        return self.conditional / self.entropy if self.entropy > 0 else 1.0


@dataclass(frozen=True)
class Entanglement:
    """How much the attributes of a policy say about each other.

    Attributes
    ----------
    pairs
        One entry for each ordered pair of attributes.
    keeps
        For each preserved attribute, the largest share of its information (0 to 1) that can stay if every suppressed
        attribute is brought to zero information: H(U | all suppressed) / H(U).
    smallest
        For each suppressed attribute, the smallest NAG that the test records can show; None where NAG is undefined.
    sentences
        What follows, for a data owner; empty where no attribute says anything about another.
    """

    pairs: tuple[Pair, ...]
    keeps: dict[str, float]
    smallest: dict[str, float | None]
    sentences: tuple[str, ...]


def entanglement(
    y: Mapping[str, np.ndarray],
    suppress: Sequence[str],
    preserve: Sequence[str],
    watch: Sequence[str] = (),
    *,
    originals: Mapping[str, tuple[float, float]] | None = None,
    test_records: int = 0,
) -> Entanglement:
    """Return how much the attributes of a policy say about each other, before anything is fitted.

    Conditional entropies are corrected for chance (40 permutations), because few records of many classes look
    dependent.

    Parameters
    ----------
    y
        Attribute name -> (n,) labels.
    suppress, preserve, watch
        Attribute names by role.
    originals
        Suppressed attribute -> (accuracy on originals, baseline). Where it is missing, an attacker that is always
        correct on originals is assumed.
    test_records
        Number of records that the audit will test on.

    Raises
    ------
    SordineError
        For a name that is not in `y`.
    """
    names = [*suppress, *preserve, *watch]
    _check_names(y, names)
    dependences: dict[tuple[str, str], _Dependence] = {}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            dependences[a, b] = dependences[b, a] = _dependence(y[a], y[b])
    pairs = {}
    for of in names:
        for given in names:
            if of != given:
                both = (y[of] >= 0) & (y[given] >= 0)
                whole, left = _corrected(y[of][both], dependences[of, given])
                pairs[of, given] = Pair(of, given, whole, left, decides=whole > 0 and left <= 1e-3 * whole)
    keeps = {u: _share_left(y, u, suppress, pairs) for u in preserve}
    smallest = {}
    for s in suppress:
        before, baseline = (originals or {}).get(s) or (1.0, majority(y[s]))
        smallest[s] = resolvable(before, baseline, test_records)
    records = {names: d.records for names, d in dependences.items()}
    sentences = tuple(_sentences(y, (suppress, preserve, watch), pairs, records, keeps))
    return Entanglement(tuple(pairs.values()), keeps, smallest, sentences)


def is_decided(y: Mapping[str, np.ndarray], attribute: str, suppress: Sequence[str]) -> bool:
    """Return whether one of the suppressed attributes decides `attribute`.

    Predicting such an attribute from released records is leakage, not utility.
    """
    pairs = (p for s in suppress for p in entanglement(y, [s], [], [attribute]).pairs if p.of == attribute)
    return any(p.decides for p in pairs)


def _check_names(y: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    for name in names:
        if name not in y:
            raise SordineError(f"information: no label column {name!r}; {nearest(name, y)}")


def _share_left(
    y: Mapping[str, np.ndarray], u: str, suppress: Sequence[str], pairs: Mapping[tuple[str, str], Pair]
) -> float:
    single = [pairs[u, s].share_left for s in suppress]
    if len(suppress) < 2:
        return min(single, default=1.0)
    all_suppressed = joint([y[s] for s in suppress])
    both = (y[u] >= 0) & (all_suppressed >= 0)
    whole, left = _corrected(y[u][both], _dependence(y[u], all_suppressed))
    # One attribute says no more than all together; a single one may still show where too few records have all.
    return min([left / whole if whole > 0 else 1.0, *single])


def _sentences(
    y: Mapping[str, np.ndarray],
    roles: tuple[Sequence[str], Sequence[str], Sequence[str]],
    pairs: Mapping[tuple[str, str], Pair],
    records: Mapping[tuple[str, str], int],
    keeps: Mapping[str, float],
) -> Iterator[str]:
    """Yield what follows from the pairs for a data owner."""
    suppress, preserve, watch = roles
    for s in suppress:
        for u in preserve:
            forward = _from_suppressed(pairs[u, s], records[u, s])
            backward = _from_preserved(pairs[s, u], y)
            yield from (text for text in (forward, backward) if text)
    for s in suppress:
        for u in watch:
            if pairs[u, s].decides:
                yield f"`{s}` decides `{u}`: predicting the watched `{u}` is leakage of `{s}`, not utility."
    for u in preserve:
        alone = min((pairs[u, s].share_left for s in suppress), default=1.0)
        if len(suppress) > 1 and keeps[u] < alone - SMALL:
            together = " and ".join(f"`{s}`" for s in suppress)
            most = percent(keeps[u], 0)
            yield f"Suppressing {together} together preserves at most {most} of the information on `{u}`."


def _from_suppressed(pair: Pair, records: int) -> str | None:
    u, s = pair.of, pair.given
    if pair.decides:
        return (
            f"`{s}` decides `{u}` in these {records:,} records: if `{s}` is suppressed entirely, no information on "
            f"`{u}` can be preserved."
        )
    if 1 - pair.share_left < SMALL:
        return None
    return (
        f"`{s}` explains part of `{u}`: if `{s}` is suppressed entirely, at most {percent(pair.share_left, 0)} of the "
        f"information on `{u}` can be preserved."
    )


def _from_preserved(pair: Pair, y: Mapping[str, np.ndarray]) -> str | None:
    s, u = pair.of, pair.given
    if pair.decides:
        return f"`{u}` decides `{s}`: preserving `{u}` entirely reveals `{s}` (NAG 1)."
    explained = 1 - pair.share_left
    if explained < SMALL:
        return None
    target, given = _known(y[s], y[u])
    baseline, informed = majority(target), accuracy_from_labels(target, given)
    rng = np.random.default_rng(len(target))
    draws = [accuracy_from_labels(rng.permutation(target), given) for _ in range(PERMUTATIONS // 4)]
    if informed - baseline <= 2 * (float(np.mean(draws)) - baseline) + 1e-9:
        # Choosing the best class afterwards raises accuracy by chance too: too few records for a figure.
        return f"`{u}` explains about {percent(explained, 0)} of `{s}`: preserving `{u}` reveals that much of `{s}`."
    return (
        f"`{u}` explains part of `{s}`: with `{u}` alone, the best accuracy on `{s}` rises from {percent(baseline)} to "
        f"{percent(informed)} in these records. Preserving `{u}` entirely leaks a NAG of at least "
        f"{(informed - baseline) / (1 - baseline):.2f}."
    )


def infeasible_bounds(
    y: Mapping[str, np.ndarray], suppress: Mapping[str, float], preserve: Mapping[str, float]
) -> list[str]:
    """Return one sentence for each bound that cannot hold (MaSS, ICML 2024).

    The bounds can hold together where m_s >= 0, n_u <= H(u) and n_u <= m_s + H(u | s) for every pair. Conditional
    entropies are corrected for chance.

    Parameters
    ----------
    y
        Attribute name -> (n,) labels.
    suppress
        Attribute -> m_s, the most information, in bits, that may stay.
    preserve
        Attribute -> n_u, the least information, in bits, that must stay.

    Returns
    -------
    list of str
        Empty where the bounds can hold together.

    Raises
    ------
    SordineError
        For a name that is not in `y`.
    """
    _check_names(y, [*suppress, *preserve])
    slack = 1e-6  # bounds are often set to an entropy itself
    wrong = [f"`{s}`: its bound is {m:.3g} bits; information cannot be negative." for s, m in suppress.items() if m < 0]
    for u, n in preserve.items():
        whole = entropy(y[u])
        if n > whole + slack:
            wrong.append(f"`{u}`: its bound is {n:.3g} bits, but it has only {whole:.3g} bits.")
        for s, m in suppress.items():
            left = _corrected(_known(y[u], y[s])[0], _dependence(y[u], y[s]))[1]
            if n > m + left + slack:
                wrong.append(
                    f"`{u}` and `{s}` are entangled: the bounds require {n:.3g} bits of `{u}`, but with {m:.3g} bits "
                    f"of `{s}` at most {m + left:.3g} bits of `{u}` can be preserved."
                )
    return wrong


# --------------------------------------------------------------------------------------------- discrete output


def optimal_accuracy(p: np.ndarray, labels: np.ndarray, classes: int, given: np.ndarray | None = None) -> float:
    """Return the accuracy of the best possible attacker on a discrete output: sum over j, k of max_s P(s, j, k).

    Nothing is trained: no attacker that has the same inputs can be more accurate on these records.

    Parameters
    ----------
    p
        (n, M) output distribution P(j | x). Records weigh equally.
    labels
        (n,) classes, -1 where unlabelled; those records are left out.
    classes
        Number of classes.
    given
        (n,) codes k of columns that are released with the record, or None; records without one are left out.

    Raises
    ------
    SordineError
        Where lengths differ, a label is not below `classes`, or no record is left.
    """
    groups = _groups(p, labels, classes, given)
    correct = sum(_largest_sums(p, rows, labels[rows][None])[0] for rows in groups)
    return float(correct / sum(len(rows) for rows in groups))


def optimal_baseline(labels: np.ndarray, given: np.ndarray | None = None) -> float:
    """Return the accuracy of the best attacker without the output: from the released columns alone, or the majority."""
    return majority(labels) if given is None else accuracy_from_labels(labels, given)


def optimal_accuracy_bound(accuracy: float, records: int, delta: float = 0.05) -> float:
    """Return a bound that no attacker on one new released record exceeds, with probability 1 - delta.

    The figure on a sample is on average no lower than the true one (a mean of maxima is no less than the maximum of
    means), and one record changes it by at most 1/n: McDiarmid (Surveys in Combinatorics, 1989).

    Parameters
    ----------
    accuracy
        `optimal_accuracy` on records that the modifier was not fitted on, drawn independently from the distribution of
        the new records.
    records
        How many records that was.
    delta
        Between 0 and 1.

    Returns
    -------
    float
        In [0, 1].
    """
    if records < 1 or not 0 < delta < 1:
        raise SordineError(
            f"information: no bound for {records} records at delta {delta}; give at least 1 record and 0 < delta < 1"
        )
    return min(1.0, accuracy + float(np.sqrt(np.log(1 / delta) / (2 * records))))


def permuted_accuracy(
    p: np.ndarray,
    labels: np.ndarray,
    classes: int,
    given: np.ndarray | None,
    repeats: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return `optimal_accuracy` with permuted labels: (repeats,) float64, what chance alone shows.

    On finitely many records the optimal accuracy exceeds the baseline even if nothing leaks. Labels are permuted
    within each code of `given`, where it is there; the other parameters are those of `optimal_accuracy`.
    """
    groups = _groups(p, labels, classes, given)
    correct = np.zeros(repeats)
    for rows in groups:
        correct += _largest_sums(p, rows, rng.permuted(np.tile(labels[rows], (repeats, 1)), axis=1))
    return correct / sum(len(rows) for rows in groups)


def _groups(p: np.ndarray, labels: np.ndarray, classes: int, given: np.ndarray | None) -> list[np.ndarray]:
    """Return the row numbers of the usable records: one array for each code of `given`."""
    if p.ndim != 2 or labels.shape != p.shape[:1] or (given is not None and given.shape != labels.shape):
        raise SordineError("information: the output distribution, the labels and the released columns differ in length")
    if np.max(labels, initial=-1) >= classes:
        raise SordineError(f"information: label {int(labels.max())} is not below the number of classes, {classes}")
    rows = np.flatnonzero(labels >= 0 if given is None else (labels >= 0) & (given >= 0))
    if not len(rows):
        raise SordineError("information: no record has a label; at least one is needed")
    if given is None:
        return [rows]
    order = rows[np.argsort(given[rows], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(given[order])) + 1)


def _largest_sums(p: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the sum over j of max_s of the sum over rows of class s of P(j | x): labels (R, rows) -> (R,)."""
    present, codes = np.unique(labels, return_inverse=True)  # a small group need not carry every class
    codes = codes.reshape(labels.shape)
    k, width = len(present), p.shape[1]
    item = np.result_type(p.dtype, np.float32)
    block = max(1, CHUNK_BYTES // (k * width * item.itemsize))  # labellings at a time: their tables fill one chunk
    result = np.zeros(len(labels))
    for first in range(0, len(labels), block):
        chosen = codes[first : first + block]
        tall = len(chosen) * k
        table = np.zeros((tall, width), dtype=item)  # (R * K, M)
        height = max(1, CHUNK_BYTES // ((tall + width) * item.itemsize))  # records at a time
        for start in range(0, len(rows), height):
            part = slice(start, start + height)
            member = np.zeros((tall, len(rows[part])), dtype=item)  # one-hot labels of every labelling, stacked
            at = chosen[:, part] + np.arange(len(chosen))[:, None] * k
            member[at, np.arange(at.shape[1])] = 1
            table += member @ p[rows[part]].astype(item, copy=False)
        result[first : first + block] = table.reshape(len(chosen), k, width).max(1).sum(1, dtype=np.float64)
    return result
