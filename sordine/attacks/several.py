"""The probing attack on several releases of the same records at once: what is read of the originals is read once, the
perceptrons of all releases are trained in the same steps, and trees are grown on the distinct records of a release alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from sordine.attacks.base import Secret, Trial, frequencies, surest, taken, usual
from sordine.attacks.mlp import perceptrons
from sordine.attacks.runner import GROWN, Budget, Piece, Reading, Scene, attack, pieces, together, trials
from sordine.attacks.trees import LEAVES, TREES, TREES_TO_CHOOSE
from sordine.models.modifier import one_thread_each

TOGETHER = 1 << 29  # bytes of records whose perceptrons are trained in the same steps
COPIES = 0.8  # share of distinct records up to which trees are grown on those
ORDER = {"trees": 0, "logistic": 1}  # what takes longest first, so that no thread idles at the end

# (records of each release, trial, secrets, seed, device) -> for each release and secret, predicted codes of the tried rows
Together = Callable[[Sequence[np.ndarray], Trial, Sequence[Secret], int, str], list[list[np.ndarray]]]


def attack_several(
    before: Scene,
    after: Sequence[Scene],
    attributes: Sequence[str],
    budget: Budget,
    *,
    memory: MutableMapping[Any, Any] | None = None,
    device: str = "cpu",
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[dict[tuple[int, Piece], Reading]]:
    """For each release, (0, piece) -> what is read of the originals, and (1, piece) -> what is read of it.

    before: the originals. after: scenes of the same records, labels and sides, each with its own x. Every reading is what
    `plan.attack` gives for that scene alone; of perceptrons up to rounding, and of trees on copies (`trees_on_distinct`) up to
    the forest's own draws. memory: keeps what is read of the originals, under the
    names by which `audit` knows it too. workers: attacks made at a time; call it with one intra-op thread.
    """
    store: MutableMapping[Any, Any] = {} if memory is None else memory

    def known(piece: Piece) -> Any:
        return before.digest, budget.folds, budget.pictures, piece

    own = pieces(attributes, budget, before.x.shape[1:])
    fresh = [piece for piece in own if known(piece) not in store]
    given = (budget.folds, device, budget.pictures)
    # A job: which releases, numbered from 1 (0: the originals), and which pieces.
    jobs: list[tuple[tuple[int, ...], list[Piece]]] = [((0,), group) for group in together(fresh)]
    numbered = dict(enumerate(after, 1))
    for batch in _batches(after):
        for group in together(pieces(attributes, budget, after[batch[0] - 1].x.shape[1:])):
            jobs += [(batch, group)] if group[0].attacker == "mlp" else [((i,), group) for i in batch]
    jobs.sort(key=lambda job: (ORDER.get(job[1][0].attacker, 2), job[1][0].setting == "B"))

    def one(job: tuple[tuple[int, ...], list[Piece]]) -> tuple[list[Piece], dict[int, dict[Piece, Reading]]]:
        which, group = job
        some = [numbered.get(i, before) for i in which]
        if len(which) > 1:
            made = _made(some, [scene.numbers() for scene in some], group, budget.folds, perceptrons, device)
            return group, dict(zip(which, made, strict=True))
        if group[0].attacker == "trees" and which[0] > 0 and 4 * some[0].x.size <= GROWN:
            flat = some[0].flat()
            if len(distinct(flat)[0]) <= COPIES * len(flat):
                return group, {which[0]: _made(some, [flat], group, budget.folds, _grown, device)[0]}
        return group, {which[0]: attack(some[0], group, *given)}

    read: list[dict[tuple[int, Piece], Reading]] = [{} for _ in after]
    with one_thread_each(workers) as pool:
        for done, (group, found) in enumerate(pool.map(one, jobs), 1):
            for i, readings in found.items():
                if i == 0:
                    store.update({known(piece): readings.get(piece) for piece in group})
                else:
                    read[i - 1].update({(1, piece): reading for piece, reading in readings.items()})
            if progress:
                progress("attackers", done, len(jobs))
    originals = {(0, piece): store[known(piece)] for piece in own if store.get(known(piece)) is not None}
    return [{**originals, **some} for some in read]


def originals(
    before: Scene, attributes: Sequence[str], budget: Budget, *, memory: MutableMapping[Any, Any], **given: Any
) -> dict[tuple[int, Piece], Reading]:
    """(0, piece) -> what is read of the originals alone; kept in `memory`. given: `attack_several`'s other arguments."""
    attack_several(before, [], attributes, budget, memory=memory, **given)
    found = {}
    for piece in pieces(attributes, budget, before.x.shape[1:]):
        reading = memory.get((before.digest, budget.folds, budget.pictures, piece))
        if reading is not None:
            found[0, piece] = reading
    return found


def _batches(after: Sequence[Scene]) -> Iterator[tuple[int, ...]]:
    # Releases, numbered from 1, in batches of one shape that are held together.
    batch: list[int] = []
    held = 0
    for i, scene in enumerate(after, 1):
        size = 4 * scene.x.size
        if batch and (held + size > TOGETHER or scene.x.shape != after[batch[-1] - 1].x.shape):
            yield tuple(batch)
            batch, held = [], 0
        batch.append(i)
        held += size
    if batch:
        yield tuple(batch)


def _made(
    scenes: Sequence[Scene],
    records: Sequence[np.ndarray],
    group: Sequence[Piece],
    folds: int,
    family: Together,
    device: str,
) -> list[dict[Piece, Reading]]:
    # As `plan.attack`, of one group of pieces, for all scenes at once. records: what is shown of each.
    shared: dict[bytes, list[tuple[Piece, Trial]]] = {}
    for piece in group:
        plan = trials(scenes[0], piece.attribute, piece.setting, piece.seed, folds)
        for trial in plan if not isinstance(plan, str) else []:
            same = trial.train.tobytes() + b"|" + trial.validation.tobytes() + b"|" + trial.tried.tobytes()
            shared.setdefault(same, []).append((piece, trial))
    parts: list[dict[Piece, list[tuple[np.ndarray, np.ndarray]]]] = [{} for _ in scenes]
    labels, classes = scenes[0].labels, scenes[0].classes
    for members in shared.values():
        secrets = [Secret(labels[p.attribute], classes[p.attribute]) for p, _ in members]
        piece, trial = members[0]
        for own, some in zip(parts, family(records, trial, secrets, piece.seed, device), strict=True):
            for (member, _), codes in zip(members, some, strict=True):
                own.setdefault(member, []).append((trial.tried, codes))
    return [{piece: _reading(scenes[0], piece, read) for piece, read in own.items()} for own in parts]


def distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct records of (n, d), and which of them each one is: (m, d), (n,)."""
    rows = np.ascontiguousarray(x)
    told = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, which = np.unique(told, return_index=True, return_inverse=True)
    return rows[first], which


def trees_on_distinct(x: np.ndarray, trial: Trial, secrets: Sequence[Secret], seed: int = 0) -> list[np.ndarray]:
    """`probes.trees` where many records are copies of each other, as substitutes are: grown on the distinct ones, each with
    the shares of its classes, weighted by how often it came.

    Gini impurity of records is, up to what no split can change, the weighted variance of such shares, so the same splits
    are best; a node of nothing but copies is not searched for a split that it cannot have.
    """
    own = np.concatenate([trial.train, trial.validation])
    predictions = []
    for secret in secrets:
        train, every = (rows[secret.labels[rows] >= 0] for rows in (trial.train, own))
        if len(np.unique(secret.labels[train])) < 2:
            predictions.append(np.full(len(trial.tried), usual(secret, own)))
            continue
        learnt = _Shares.of(x[train], secret.labels[train])
        tried = [learnt.forest(TREES_TO_CHOOSE, leaf, seed, x[trial.validation], secret.classes) for leaf in LEAVES]
        best, least = surest(tried, frequencies(secret, train), secret, trial.validation)
        learnt = _Shares.of(x[every], secret.labels[every])
        likely = learnt.forest(TREES, LEAVES[best], seed, x[trial.tried], secret.classes)
        predictions.append(taken(likely, frequencies(secret, every), least))
    return predictions


@dataclass(frozen=True)
class _Shares:
    # Distinct records (m, d), the shares of the classes that came with each (m, classes), and how many records each is.
    x: np.ndarray
    shares: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, labels: np.ndarray) -> _Shares:
        once, which = distinct(x)
        classes = int(labels.max()) + 1
        counts = np.bincount(which * classes + labels, minlength=len(once) * classes).reshape(-1, classes)
        weight = counts.sum(1).astype(np.float64)
        return cls(once, counts / weight[:, None], weight)

    def forest(self, count: int, leaf: int, seed: int, tried: np.ndarray, classes: int) -> np.ndarray:
        # P(class | x): (n, classes). A leaf has to hold so many records, not so many distinct ones.
        least = leaf / self.weight.sum() if leaf > 1 else 0.0
        forest = ExtraTreesRegressor(count, max_features="sqrt", min_weight_fraction_leaf=least, random_state=seed)
        forest.fit(self.x, self.shares, sample_weight=self.weight)
        likely = np.zeros((len(tried), classes))
        if len(tried):
            likely[:, : self.shares.shape[1]] = forest.predict(tried).reshape(len(tried), -1)
        return likely


def _grown(
    records: Sequence[np.ndarray], trial: Trial, secrets: Sequence[Secret], seed: int, device: str
) -> list[list[np.ndarray]]:
    return [trees_on_distinct(x, trial, secrets, seed) for x in records]


def _reading(scene: Scene, piece: Piece, read: Sequence[tuple[np.ndarray, np.ndarray]]) -> Reading:
    rows = np.concatenate([r for r, _ in read])
    predicted = np.concatenate([p for _, p in read])
    truth = scene.labels[piece.attribute][rows]
    order = np.argsort(rows, kind="stable")
    order = order[truth[order] >= 0]
    return Reading(rows[order], truth[order], predicted[order].astype(np.int64))
