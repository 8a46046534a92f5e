"""Attack by kernel ridge regression: every product of numbers at once, and neighbourhoods of any width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq

from sordine.attacks.base import (
    Attack,
    Split,
    Target,
    choose_candidate,
    class_shares,
    majority_predictions,
    pick_class,
    sampled_rows,
)
from sordine.attacks.views import median_distance, ranked, reduced, standardised, whitened
from sordine.run import Run

MOST = 3000  # records to learn from: run time grows with the cube of their number
PENALTIES = (0.3, 0.01)  # added to the diagonal of a kernel whose diagonal is about 1
BEST = 32  # numbers of the reduced view
WIDTH = "kernel width"  # purpose of a random draw

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]  # records (n, d), (m, d) -> (n, m)


@dataclass(frozen=True)
class _Machine:
    # A view of all records (n, d), and a kernel on it.
    z: np.ndarray
    kernel: Kernel


@dataclass(frozen=True)
class KernelRidge(Attack):
    """Ridge regression to the classes with one of several kernels.

    Gaussian kernels of two widths on standardised numbers; one on normal scores of ranks, one on whitened principal
    axes, and one on the numbers whose class means differ most; and polynomial kernels of degree 2 and 3, which weigh
    every product of two and of three numbers. The kernel, the penalty, and whether the likeliest or the least likely
    class is predicted, are chosen on the validation records, which then join the training records. It learns from a
    random sample of at most 3,000 records.
    """

    budgets = ("standard", "paranoid")
    released_only = ("standard",)
    run_time = 7

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed
        shared = list(_machines(x, split.own, on_axes, seed))
        z = shared[0].z
        together: dict[bytes, list[int]] = {}  # targets with the same labelled records
        for i, target in enumerate(targets):
            together.setdefault((target.labels >= 0).tobytes(), []).append(i)
        predictions: dict[int, np.ndarray] = {}
        for members in together.values():
            some = [targets[i] for i in members]
            for i, predicted in zip(members, _predict(z, shared, split, some, seed), strict=True):
                predictions[i] = predicted
        return [predictions[i] for i in range(len(targets))]


def _predict(
    z: np.ndarray, shared: Sequence[_Machine], split: Split, targets: Sequence[Target], seed: int
) -> list[np.ndarray]:
    """Predict the test records for targets whose labelled records are the same."""
    train, own = (sampled_rows(targets[0].labelled(rows), MOST, seed, "kernel") for rows in (split.train, split.own))
    learnable = [i for i, target in enumerate(targets) if target.has_two_classes(train)]
    scores = _scores(shared, [targets[i] for i in learnable], train, split.validation, PENALTIES)
    predictions = [majority_predictions(target, split.own, split.test) for target in targets]
    wanted: dict[tuple[int, float], list[tuple[int, bool]]] = {}
    for i, candidates in zip(learnable, scores, strict=True):
        target, machines = targets[i], list(shared)
        machines.append(_reduced(z, target, train, split.own, seed))
        candidates = [*candidates, *_scores(machines[-1:], [target], train, split.validation, PENALTIES)[0]]
        at, least = choose_candidate(candidates, class_shares(target, train), target, split.validation)
        machine, penalty = at // len(PENALTIES), PENALTIES[at % len(PENALTIES)]
        if machine < len(shared):
            wanted.setdefault((machine, penalty), []).append((i, least))
            continue
        final = _reduced(z, target, own, split.own, seed)
        (only,) = _scores([final], [target], own, split.test, (penalty,))[0]
        predictions[i] = pick_class(only, class_shares(target, own), least)
    for (machine, penalty), members in wanted.items():
        found = _scores([shared[machine]], [targets[i] for i, _ in members], own, split.test, (penalty,))
        for (i, least), (one,) in zip(members, found, strict=True):
            predictions[i] = pick_class(one, class_shares(targets[i], own), least)
    return predictions


def _machines(x: np.ndarray, own: np.ndarray, on_axes: bool, seed: int) -> Iterator[_Machine]:
    z = np.asarray(x - x[own].mean(0), np.float32) if on_axes else standardised(x, own)
    usual = median_distance(z[own], seed, WIDTH)
    yield _Machine(z, _gaussian(usual))
    yield _Machine(z, _gaussian(usual / 2))
    length = float((z[own].astype(np.float64) ** 2).sum(1).mean()) or 1.0
    yield _Machine(z, _polynomial(2, length))
    yield _Machine(z, _polynomial(3, length))
    for other in (ranked(x, own), whitened(z, own)):
        yield _Machine(other, _gaussian(median_distance(other[own], seed, WIDTH)))


def _reduced(z: np.ndarray, target: Target, rows: np.ndarray, own: np.ndarray, seed: int) -> _Machine:
    few = reduced(z, target.labels, rows, BEST)
    return _Machine(few, _gaussian(median_distance(few[own], seed, WIDTH) / 2))


def _gaussian(width: float) -> Kernel:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * (a @ b.T)
        return np.asarray(np.exp(-np.maximum(square, 0) / np.float32(width**2)), np.float32)

    return kernel


def _polynomial(degree: int, length: float) -> Kernel:
    return lambda a, b: ((1 + (a @ b.T) / np.float32(length)) / 2) ** degree


def _scores(
    machines: Sequence[_Machine],
    targets: Sequence[Target],
    rows: np.ndarray,
    test: np.ndarray,
    penalties: Sequence[float],
) -> list[list[np.ndarray]]:
    """Return the predicted class indicators (len(test), classes) of each target by each machine and penalty.

    The records to learn from are labelled for every target.
    """
    if not targets:
        return []
    found: list[list[np.ndarray]] = [[] for _ in targets]
    members = [np.eye(target.classes, dtype=np.float32)[target.labels[rows]] for target in targets]
    shares = [member.mean(0) for member in members]
    toward = np.concatenate([m - s for m, s in zip(members, shares, strict=True)], 1)
    cuts = np.cumsum([target.classes for target in targets])[:-1]
    for machine in machines:
        own = machine.z[rows]
        square, new = machine.kernel(own, own), machine.kernel(machine.z[test], own)
        for penalty in penalties:
            predicted = new @ _solved(square, penalty, toward)
            for i, part in enumerate(np.split(predicted, cuts, axis=1)):
                found[i].append(part + shares[i])
    return found


def _solved(square: np.ndarray, penalty: float, toward: np.ndarray) -> np.ndarray:
    penalised = square.copy()
    penalised.flat[:: len(square) + 1] += np.float32(penalty)
    try:
        weights = cho_solve(cho_factor(penalised, lower=True, overwrite_a=True), toward)
    except LinAlgError:  # records so similar that rounding makes the matrix indefinite
        weights = lstsq(square + penalty * np.eye(len(square)), toward)[0]
    return np.asarray(weights, np.float32)
