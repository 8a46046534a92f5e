"""What label columns tell about each other, and what a discrete channel tells about them.

Label columns are (n,) int64, -1 for unlabelled; a record counts where all columns concerned are labelled. In bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sordine.errors import SordineError, nearest
from sordine.metrics.accuracy import majority
from sordine.metrics.nag import resolvable

PERMUTATIONS = 40  # draws behind "what chance alone shows": their mean and spread are needed, no extreme percentile
DEVIATIONS = 4.0  # how far above chance's mean a dependence must stand, as dozens of pairs are looked at together
SMALL = 0.02  # share of an attribute's entropy below which a dependence is real, perhaps, and not worth a sentence
CHUNK_BYTES = 32 << 20

# --------------------------------------------------------------------------------------------- label columns


def _known(*columns: np.ndarray) -> list[np.ndarray]:
    arrays = [np.asarray(c) for c in columns]
    if any(a.shape != arrays[0].shape or a.ndim != 1 for a in arrays):
        raise SordineError(f"information: label columns differ in shape: {[a.shape for a in arrays]}")
    known = np.logical_and.reduce([a >= 0 for a in arrays])
    return [a[known] for a in arrays]


def _entropy_of_counts(counts: np.ndarray) -> float:
    p = counts[counts > 0] / max(counts.sum(), 1)
    return float(max(0.0, -np.sum(p * np.log2(p))))


def entropy(labels: np.ndarray) -> float:
    """H of the labelled records' shares, in bits (plug-in estimate): (n,); 0 where nothing is labelled."""
    (labels,) = _known(labels)
    return _entropy_of_counts(np.unique(labels, return_counts=True)[1])


def joint(columns: Sequence[np.ndarray]) -> np.ndarray:
    """One code per combination of classes that occurs: columns of (n,) -> (n,) int64, -1 where any column is -1."""
    if not columns:
        raise SordineError("information: no column to join")
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


def conditional_entropy(of: np.ndarray, given: np.ndarray) -> float:
    """H(of | given) in bits, plug-in estimate (too low where classes are many and records few)."""
    of, given = _known(of, given)
    return max(0.0, entropy(joint([of, given])) - entropy(given))


def best_from(of: np.ndarray, given: np.ndarray) -> float:
    """The best accuracy on `of` from `given` alone, on these very records: sum over classes of `given` of the largest count."""
    of, given = _known(of, given)
    if not len(of):
        return 0.0
    pairs, counts = np.unique(joint([of, given]), return_index=True, return_counts=True)[1:]
    best = np.zeros(int(given.max()) + 1, dtype=np.int64)
    np.maximum.at(best, given[pairs], counts)
    return float(best.sum() / len(of))


@dataclass(frozen=True)
class _Dependence:
    # mutual: plug-in I in bits; chance: the mean of it over permutations; real: far above that chance.
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
        cells = left * width + b
        # A dense table only where it is not much larger than the records: joint codes may have thousands of classes.
        dense = size <= 8 * len(b) + 4096
        counts = np.bincount(cells, minlength=size) if dense else np.unique(cells, return_counts=True)[1]
        return max(0.0, marginals - _entropy_of_counts(counts))

    seen = mutual(a)
    chance = np.array([mutual(rng.permutation(a)) for _ in range(PERMUTATIONS)])
    return _Dependence(
        seen, float(chance.mean()), bool(seen > chance.mean() + DEVIATIONS * chance.std() + 1e-9), len(a)
    )


def _corrected(of: np.ndarray, link: _Dependence) -> tuple[float, float]:
    # -> H(of), H(of | given) corrected for chance: I as a share of what it can be, with chance's own I put at 0.
    whole = entropy(of)
    room = whole - link.chance
    if not link.real or room <= 1e-9:  # no room: `given` is nearly an id, and "decides" anything
        return whole, whole
    return whole, whole * (1 - min(1.0, max(0.0, (link.mutual - link.chance) / room)))


# --------------------------------------------------------------------------------------------- entanglement


def entanglement(
    y: Mapping[str, np.ndarray],
    suppress: Sequence[str],
    preserve: Sequence[str],
    watch: Sequence[str] = (),
    *,
    readable: Mapping[str, tuple[float, float]] | None = None,
    unseen: int = 0,
) -> Entanglement:
    """How the label columns hang together, and what follows for this policy before anything is fitted.

    y: name -> (n,) labels. readable: suppressed attribute -> (accuracy on originals, guess), where known; else an
    attacker that reads the original perfectly is assumed. unseen: records that the audit will have to try on.
    Conditional entropies are corrected for chance (40 permutations), as few records of many classes look dependent.
    Raises SordineError for a name that y lacks.
    """
    names = [*suppress, *preserve, *watch]
    _check_names(y, names)
    links: dict[tuple[str, str], _Dependence] = {}
    pairs = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            links[a, b] = links[b, a] = _dependence(y[a], y[b])
    for of in names:
        for given in names:
            if of == given:
                continue
            both = (y[of] >= 0) & (y[given] >= 0)
            whole, left = _corrected(y[of][both], links[of, given])
            pairs.append(Pair(of, given, whole, left, decides=whole > 0 and left <= 1e-3 * whole))
    by_name = {(p.of, p.given): p for p in pairs}
    keeps = {u: _share_left(y, u, suppress, by_name) for u in preserve}
    sentences = []
    for s in suppress:
        for u in preserve:
            forward = _told_by_suppressed(by_name[u, s], links[u, s].records)
            backward = _told_by_preserved(by_name[s, u], y)
            sentences += [text for text in (forward, backward) if text]
    sentences += [
        f"Whoever knows `{s}` knows `{u}`: what is read of `{u}`, only watched, tells of `{s}`, and is no use."
        for s in suppress
        for u in watch
        if by_name[u, s].decides
    ]
    for u in preserve:
        alone = min((_left(by_name[u, s]) for s in suppress), default=1.0)
        if len(suppress) > 1 and keeps[u] < alone - SMALL:
            together = " and ".join(f"`{s}`" for s in suppress)
            sentences.append(f"Together, {together} leave at most {keeps[u]:.0%} of `{u}` to be kept.")
    smallest = {}
    for s in suppress:
        before, guess = (readable or {}).get(s) or (1.0, majority(y[s]))
        smallest[s] = resolvable(before, guess, unseen)
    return Entanglement(tuple(pairs), keeps, smallest, tuple(sentences))


def decided(y: Mapping[str, np.ndarray], u: str, suppress: Sequence[str]) -> bool:
    """Whether one suppressed attribute decides attribute u, so that what is read of u is a leak and no use."""
    return any(p.decides for s in suppress for p in entanglement(y, [s], [], [u]).pairs if (p.of, p.given) == (u, s))


def _check_names(y: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    for name in names:
        if name not in y:
            raise SordineError(f"information: no label column {name!r}; {nearest(name, y)}")


def _left(pair: Pair) -> float:
    return pair.conditional / pair.entropy if pair.entropy > 0 else 1.0


def _share_left(
    y: Mapping[str, np.ndarray], u: str, suppress: Sequence[str], pairs: Mapping[tuple[str, str], Pair]
) -> float:
    if len(suppress) < 2:
        return min((_left(pairs[u, s]) for s in suppress), default=1.0)
    all_suppressed = joint([y[s] for s in suppress])
    both = (y[u] >= 0) & (all_suppressed >= 0)
    whole, left = _corrected(y[u][both], _dependence(y[u], all_suppressed))
    # One alone tells no more than all; where records are too few for all together to show, the one still does.
    return min([left / whole if whole > 0 else 1.0, *(_left(pairs[u, s]) for s in suppress)])


def _told_by_suppressed(pair: Pair, records: int) -> str | None:
    u, s = pair.of, pair.given
    if pair.decides:
        return (
            f"Whoever knows `{s}` knows `{u}`: one decides the other in these {records:,} records; "
            f"if nothing of `{s}` may be read, nothing of `{u}` can be kept."
        )
    if 1 - _left(pair) < SMALL:
        return None
    return (
        f"`{s}` tells {1 - _left(pair):.0%} of `{u}`: if nothing of `{s}` may be read, "
        f"at most {_left(pair):.0%} of `{u}` can be kept."
    )


def _told_by_preserved(pair: Pair, y: Mapping[str, np.ndarray]) -> str | None:
    s, u = pair.of, pair.given
    if pair.decides:
        return f"Whoever knows `{u}` knows `{s}`: keeping `{u}` in full gives `{s}` away (NAG 1)."
    if 1 - _left(pair) < SMALL:
        return None
    of, given = _known(y[s], y[u])
    guess, informed = majority(of), best_from(of, given)
    rng = np.random.default_rng(len(of))
    chance = float(np.mean([best_from(rng.permutation(of), given) for _ in range(PERMUTATIONS // 4)]))
    if informed - guess <= 2 * (chance - guess) + 1e-9:
        # Picking the best class of many after the fact rises by chance too: too few records for a figure.
        return f"`{u}` tells about {1 - _left(pair):.0%} of `{s}`: what is kept of `{u}` gives away that much of `{s}`."
    return (
        f"`{u}` tells part of `{s}`: on these records the best guess of `{s}` rises from {guess:.1%} to {informed:.1%} "
        f"for whoever knows `{u}` alone, so keeping `{u}` in full leaks a NAG of at least "
        f"{(informed - guess) / (1 - guess):.2f}."
    )


def feasible(y: Mapping[str, np.ndarray], suppress: Mapping[str, float], preserve: Mapping[str, float]) -> list[str]:
    """MaSS (ICML 2024): can the bounds hold together? m_s >= 0, n_u <= H(u), n_u <= m_s + H(u | s) for every pair.

    suppress: attribute -> m_s, the most information (BITS) that may stay; preserve: attribute -> n_u, the least that
    must. Conditional entropies are corrected for chance. -> one sentence for each bound that cannot hold; empty: feasible.
    Raises SordineError for a name that y lacks.
    """
    _check_names(y, [*suppress, *preserve])
    slack = 1e-6  # bounds are often set to an entropy itself
    wrong = [
        f"`{s}`: its bound of {m:.3g} bits is negative, and information cannot be."
        for s, m in suppress.items()
        if m < 0
    ]
    for u, n in preserve.items():
        whole = entropy(y[u])
        if n > whole + slack:
            wrong.append(f"`{u}`: {n:.3g} bits are asked for, and it has only {whole:.3g}.")
        for s, m in suppress.items():
            left = _corrected(_known(y[u], y[s])[0], _dependence(y[u], y[s]))[1]
            if n > m + left + slack:
                wrong.append(
                    f"`{u}` and `{s}` are entangled: {n:.3g} bits of `{u}` are asked for, and with {m:.3g} of `{s}` "
                    f"left at most {m + left:.3g} can be kept."
                )
    return wrong


# --------------------------------------------------------------------------------------------- discrete channel


def exact_attack(p: np.ndarray, labels: np.ndarray, classes: int, kept: np.ndarray | None = None) -> float:
    """Accuracy of the best possible attacker who sees j (and the kept code k): sum over j, k of max_s P(s, j, k).

    p: (n, M), P(j | x); labels: (n,); kept: (n,) codes of columns released beside the record, or None. Records weigh
    equally; those without a label or a kept code are dropped. Nothing is trained: no attacker can do better than this.
    Raises SordineError where lengths differ, a label is not below `classes` or no record is left.
    """
    groups = _groups(p, labels, classes, kept)
    right = sum(_best_guesses(p, rows, labels[rows][None])[0] for rows in groups)
    return float(right / sum(len(rows) for rows in groups))


def exact_guess(labels: np.ndarray, kept: np.ndarray | None = None) -> float:
    """The same attacker without j: the majority share, or the best guess from the kept code alone."""
    return majority(labels) if kept is None else best_from(labels, kept)


def exact_bound(accuracy: float, records: int, delta: float = 0.05) -> float:
    """With probability 1 - delta no attacker on one released record reads more than this of new records like these.

    accuracy: `exact_attack` on `records` records that the channel was not fitted on, drawn independently from where the new
    ones come from. The figure on a sample is no lower on average than the truth (a mean of maxima is no less than the
    maximum of means), and one record moves it by at most 1/n: McDiarmid (Surveys in Combinatorics, 1989). In [0, 1].
    """
    if records < 1 or not 0 < delta < 1:
        raise SordineError(f"information: no bound from {records} records at {delta}")
    return min(1.0, accuracy + float(np.sqrt(np.log(1 / delta) / (2 * records))))


def permuted_attack(
    p: np.ndarray,
    labels: np.ndarray,
    classes: int,
    kept: np.ndarray | None,
    repeats: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """`exact_attack` with labels permuted (within each kept code, where kept is given): (repeats,) float64.

    What chance alone shows: sum_j max_s rises above the guess on finitely many records even if nothing leaks.
    """
    groups = _groups(p, labels, classes, kept)
    right = np.zeros(repeats)
    for rows in groups:
        right += _best_guesses(p, rows, rng.permuted(np.tile(labels[rows], (repeats, 1)), axis=1))
    return right / sum(len(rows) for rows in groups)


def _groups(p: np.ndarray, labels: np.ndarray, classes: int, kept: np.ndarray | None) -> list[np.ndarray]:
    # -> row numbers of the usable records, one array for each kept code.
    if p.ndim != 2 or labels.shape != p.shape[:1] or (kept is not None and kept.shape != labels.shape):
        raise SordineError("information: the channel, its labels and its kept codes differ in length")
    if np.max(labels, initial=-1) >= classes:
        raise SordineError(f"information: label {int(labels.max())} is not below {classes} classes")
    rows = np.flatnonzero(labels >= 0 if kept is None else (labels >= 0) & (kept >= 0))
    if not len(rows):
        raise SordineError("information: no labelled record to attack")
    if kept is None:
        return [rows]
    order = rows[np.argsort(kept[rows], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(kept[order])) + 1)


def _best_guesses(p: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    # sum over j of max_s sum over rows of class s of P(j | x), for each labelling: labels (R, rows) -> (R,).
    present, codes = np.unique(labels, return_inverse=True)  # a small group need not carry every class
    codes = codes.reshape(labels.shape)
    k, width = len(present), p.shape[1]
    item = np.result_type(p.dtype, np.float32)
    block = max(1, CHUNK_BYTES // (k * width * item.itemsize))  # labellings at a time: their tables fill one chunk
    result = np.zeros(len(labels))
    for first in range(0, len(labels), block):
        some = codes[first : first + block]
        tall = len(some) * k
        table = np.zeros((tall, width), dtype=item)  # (R * K, M)
        height = max(1, CHUNK_BYTES // ((tall + width) * item.itemsize))  # records at a time
        for start in range(0, len(rows), height):
            part = slice(start, start + height)
            member = np.zeros((tall, len(rows[part])), dtype=item)  # one-hot labels of every labelling, stacked
            at = some[:, part] + np.arange(len(some))[:, None] * k
            member[at, np.arange(at.shape[1])] = 1
            table += member @ p[rows[part]].astype(item, copy=False)
        result[first : first + block] = table.reshape(len(some), k, width).max(1).sum(1, dtype=np.float64)
    return result


@dataclass(frozen=True)
class Pair:
    """H(of | given) in bits, next to H(of): 0 means that `given` decides `of`. ceiling: the best accuracy on `of` from `given` alone."""

    of: str
    given: str
    entropy: float
    conditional: float
    decides: bool


@dataclass(frozen=True)
class Entanglement:
    """Entropies of the label columns against each other, and what follows from them, in sentences.

    keeps: for each preserved attribute, the most (share of H(U), 0 to 1) that can be kept if every suppressed
    attribute is brought to zero information: H(U | all suppressed) / H(U). smallest: for each suppressed attribute,
    the smallest NAG that the unseen records can certify. sentences: for a data owner; empty where nothing is entangled.
    """

    pairs: tuple[Pair, ...]
    keeps: dict[str, float]
    smallest: dict[str, float | None]
    sentences: tuple[str, ...]
