"""The runner: attacks on the originals and on one or several releases of the same records.

The prediction of a task depends on the data and the task alone. That tasks share work is a detail of execution.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Collection, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sordine.attacks.base import LARGEST, Attack, Split, Target
from sordine.attacks.budget import Budget
from sordine.attacks.registry import ATTACKS, accepts
from sordine.attacks.scenarios import AttackData, Setting, splits
from sordine.models.modifier import one_thread_each
from sordine.run import Run, duration

JOINED = 1 << 29  # bytes of releases that one job holds together
MANY_CLASSES = "The number of unique classes is greater than 50%"  # scikit-learn's warning begins with it
WORTH_A_LINE = 10  # seconds left, below which no estimate is reported


@dataclass(frozen=True)
class AttackTask:
    """One attack: which attribute, by which attack, in which scenario, with which seed."""

    attribute: str
    attacker: str
    setting: Setting
    seed: int


@dataclass(frozen=True)
class Predictions:
    """The result of a task: positions of labelled test records, their classes, and predicted classes; (m,) each."""

    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


# (0: originals, 1: released records; the task) -> predictions
Readings = dict[tuple[int, AttackTask], Predictions]


@dataclass(frozen=True)
class _Job:
    # Releases by their numbers (0: the originals), and tasks that share work: of one attack, scenario and seed.
    releases: tuple[int, ...]
    tasks: tuple[AttackTask, ...]

    @property
    def family(self) -> str:
        return self.tasks[0].attacker

    def work(self, original: AttackData, folds: int) -> float:
        # Relative work among jobs of one family: records to learn from, over all tasks, splits and releases.
        fitted, extra = int(original.fitted.sum()), int(original.auxiliary.sum())
        unseen = len(original.fitted) - fitted - extra
        setting = self.tasks[0].setting
        training = {"A": fitted + extra, "B": (folds - 1) * unseen + folds * extra, "C": (folds - 1) * fitted}[setting]
        return float(len(self.releases) * len(self.tasks) * max(training, 1))


def tasks_of(
    attributes: Sequence[str],
    budget: Budget,
    shape: Sequence[int] | None = None,
    only: Collection[str] | None = None,
) -> list[AttackTask]:
    """Return every task of a budget.

    Parameters
    ----------
    attributes
        The attributes to infer.
    budget
        Attacks, scenarios and seeds.
    shape
        Shape of one record. Attacks that do not accept it are left out; None keeps all of them.
    only
        The attributes on which attacks are made that are `Attack.released_only` in this budget; None: on all.
    """
    wanted = set(attributes if only is None else only)
    everywhere = {name: budget.name not in ATTACKS.find(name).released_only for name in budget.families}
    return [
        AttackTask(attribute, attacker, setting, seed)  # type: ignore[arg-type]
        for setting in budget.settings
        for seed in budget.seeds
        for attacker in budget.families
        for attribute in attributes
        if (shape is None or accepts(attacker, shape)) and (everywhere[attacker] or attribute in wanted)
    ]


def grouped(tasks: Sequence[AttackTask]) -> list[list[AttackTask]]:
    """Return the tasks in groups of one attack, scenario and seed; attacks that share no work have single tasks."""
    groups: dict[tuple[str, str, int, str], list[AttackTask]] = {}
    for task in tasks:
        alone = "" if ATTACKS.find(task.attacker).shares_work else task.attribute
        groups.setdefault((task.attacker, task.setting, task.seed, alone), []).append(task)
    return list(groups.values())


def run_attacks(
    data: AttackData, tasks: Sequence[AttackTask], budget: Budget | None = None, run: Run | None = None
) -> dict[AttackTask, Predictions]:
    """Return the predictions of some tasks on one set of records; tasks without a split are left out.

    The same data and task give the same predictions, whichever tasks run beside it (perceptrons: up to rounding).

    Parameters
    ----------
    data
        Records and labels.
    tasks
        The attacks to make.
    budget
        Folds and options of the attacks.
    run
        Device. The seed is the task's.
    """
    return _predict([data], tasks, budget or Budget(), run or Run(), share_work=False)[0]


def attack_releases(
    original: AttackData,
    releases: Sequence[AttackData],
    attributes: Sequence[str],
    budget: Budget,
    run: Run | None = None,
    *,
    suppressed: Collection[str] | None = None,
    memory: MutableMapping[Any, Any] | None = None,
    share_work: bool = True,
) -> list[Readings]:
    """Attack the originals once, and each release of the same records.

    Parameters
    ----------
    original
        The original records.
    releases
        For each release the same records, labels and sides of the split, with its own x.
    attributes
        The attributes to infer.
    budget
        Which attacks are made.
    run
        Device, workers (default: PyTorch's threads), log and progress.
    suppressed
        The attributes on which attacks are made that are `Attack.released_only`; None: all attributes.
    memory
        Keeps the predictions on the originals (`cache_key`), so that a later call does not repeat them.
    share_work
        Whether releases may share work (`Attack.fit_predict_releases`). Without it every prediction is exactly that of
        `run_attacks`; with it, up to rounding, and up to the random draws of trees on copies of records.

    Returns
    -------
    list of dict
        For each release, (0, task) -> predictions on the originals, and (1, task) -> predictions on the release.
    """
    run = run or Run()
    memory = {} if memory is None else memory
    own = tasks_of(attributes, budget, original.x.shape[1:], only=())
    fresh = [task for task in own if cache_key(original, budget, task) not in memory]
    jobs = [_Job((0,), tuple(group)) for group in grouped(fresh)]
    for batch in _batches(releases):
        tasks = tasks_of(attributes, budget, releases[batch[0] - 1].x.shape[1:], suppressed)
        jobs += _release_jobs(batch, tasks, share_work)
    found: list[Readings] = [{} for _ in releases]
    for job, parts in _performed(_ordered(jobs), original, releases, budget, run, share_work):
        for number, predictions in zip(job.releases, parts, strict=True):
            if number == 0:
                memory.update({cache_key(original, budget, t): predictions.get(t) for t in job.tasks})
            else:
                found[number - 1].update({(1, t): p for t, p in predictions.items()})
    before = _remembered(original, own, budget, memory)
    return [{**before, **after} for after in found]


def attack_originals(
    original: AttackData,
    attributes: Sequence[str],
    budget: Budget,
    run: Run | None = None,
    *,
    memory: MutableMapping[Any, Any],
) -> Readings:
    """Return (0, task) -> predictions on the originals. `memory` stores them; see `attack_releases`."""
    attack_releases(original, [], attributes, budget, run, memory=memory)
    return _remembered(original, tasks_of(attributes, budget, original.x.shape[1:], only=()), budget, memory)


def cache_key(original: AttackData, budget: Budget, task: AttackTask) -> tuple[Any, ...]:
    """Return the key under which the predictions of a task on the originals are stored."""
    return original.digest, budget.folds, repr(ATTACKS.find(task.attacker).from_budget(budget)), task


@contextlib.contextmanager
def many_classes_expected() -> Iterator[None]:
    """Hide scikit-learn's warning that classes are so many that they may be numbers; they are classes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
        yield


@contextlib.contextmanager
def single_threaded() -> Iterator[int]:
    """Compute each matrix product in one thread, because several attacks run side by side.

    Hides scikit-learn's warnings about descents that are cut short on purpose, and about many classes. Gives the
    previous number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), many_classes_expected():
            warnings.simplefilter("ignore", ConvergenceWarning)
            yield threads
    finally:
        torch.set_num_threads(threads)


def seconds_left(measured: Sequence[tuple[str, float, float]], left: Sequence[tuple[str, float]]) -> float:
    """Return the estimated seconds of the jobs that are left, on one worker.

    Parameters
    ----------
    measured
        Family, work and seconds of each finished job.
    left
        Family and work of each job that is left; each family has a finished job.
    """
    work: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for family, size, took in measured:
        work[family] = work.get(family, 0.0) + size
        seconds[family] = seconds.get(family, 0.0) + took
    return sum(size * seconds[family] / work[family] for family, size in left)


def _remembered(
    original: AttackData, tasks: Sequence[AttackTask], budget: Budget, memory: MutableMapping[Any, Any]
) -> Readings:
    stored = {task: memory.get(cache_key(original, budget, task)) for task in tasks}
    return {(0, task): predictions for task, predictions in stored.items() if predictions is not None}


def _release_jobs(batch: tuple[int, ...], tasks: Sequence[AttackTask], share_work: bool) -> list[_Job]:
    jobs = []
    for group in grouped(tasks):
        if share_work and ATTACKS.find(group[0].attacker).joins_releases:
            jobs.append(_Job(batch, tuple(group)))
        else:
            jobs += [_Job((number,), tuple(group)) for number in batch]
    return jobs


def _batches(releases: Sequence[AttackData]) -> Iterator[tuple[int, ...]]:
    # Releases, numbered from 1, in batches of one shape that fit in memory together.
    batch: list[int] = []
    held = 0
    for number, data in enumerate(releases, 1):
        size = 4 * data.x.size
        if batch and (held + size > JOINED or data.x.shape != releases[batch[-1] - 1].x.shape):
            yield tuple(batch)
            batch, held = [], 0
        batch.append(number)
        held += size
    if batch:
        yield tuple(batch)


def _ordered(jobs: Sequence[_Job]) -> list[_Job]:
    # Long families first, so that no worker idles at the end; but first one job of each family, to measure it.
    by_time = sorted(jobs, key=lambda job: -ATTACKS.find(job.family).run_time)
    first = {job.family: job for job in reversed(by_time)}
    return [*(job for job in by_time if job is first[job.family]), *(j for j in by_time if j is not first[j.family])]


def _performed(
    jobs: Sequence[_Job],
    original: AttackData,
    releases: Sequence[AttackData],
    budget: Budget,
    run: Run,
    share_work: bool,
) -> Iterator[tuple[_Job, list[dict[AttackTask, Predictions]]]]:
    numbered = dict(enumerate(releases, 1))

    def perform(job: _Job) -> tuple[float, list[dict[AttackTask, Predictions]]]:
        started = time.monotonic()
        data = [numbered.get(number, original) for number in job.releases]
        # Predictions on originals are stored for other calls, so they must not depend on what shares work.
        parts = _predict(data, job.tasks, budget, run, share_work=share_work and job.releases[0] > 0)
        return time.monotonic() - started, parts

    sizes = [(job.family, job.work(original, budget.folds)) for job in jobs]
    families = len({family for family, _ in sizes})
    measured: list[tuple[str, float, float]] = []
    with single_threaded() as threads, one_thread_each(run.workers or threads) as pool:
        for done, (job, (took, parts)) in enumerate(zip(jobs, pool.map(perform, jobs), strict=True), 1):
            measured.append((*sizes[done - 1], took))
            yield job, parts
            run.step("attacks", done, len(jobs))
            if done == families:
                left = seconds_left(measured, sizes[done:]) / (run.workers or threads)
                if left >= WORTH_A_LINE:
                    run.log(f"attacks: {done} of {len(jobs)} jobs are done; about {duration(left)} left")


def _predict(
    releases: Sequence[AttackData], tasks: Sequence[AttackTask], budget: Budget, run: Run, *, share_work: bool
) -> list[dict[AttackTask, Predictions]]:
    # The releases have the same labels and sides, so they have the same splits.
    first = releases[0]
    shared: dict[tuple[str, int, bytes], list[tuple[AttackTask, Split]]] = {}
    for task in tasks:
        plan = splits(first, task.attribute, task.setting, task.seed, budget.folds)
        for split in plan if not isinstance(plan, str) else []:
            shared.setdefault((task.attacker, task.seed, split.digest), []).append((task, split))
    parts: list[dict[AttackTask, list[tuple[np.ndarray, np.ndarray]]]] = [{} for _ in releases]
    for (name, seed, _), members in shared.items():
        attack = ATTACKS.find(name).from_budget(budget)
        targets = [Target(first.labels[task.attribute], first.classes[task.attribute]) for task, _ in members]
        split = members[0][1]
        codes = _codes(attack, releases, split, targets, replace(run, seed=seed), share_work)
        for part, predicted in zip(parts, codes, strict=True):
            for (task, _), some in zip(members, predicted, strict=True):
                part.setdefault(task, []).append((split.test, some))
    return [{task: _joined(first, task, folds) for task, folds in part.items()} for part in parts]


def _codes(
    attack: Attack,
    releases: Sequence[AttackData],
    split: Split,
    targets: Sequence[Target],
    run: Run,
    share_work: bool,
) -> list[list[np.ndarray]]:
    inputs = [_input(attack, data) for data in releases]
    on_axes = inputs[0][1]
    if share_work:
        return attack.fit_predict_releases([x for x, _ in inputs], split, targets, run, on_axes=on_axes)
    return [attack.fit_predict(x, split, targets, run, on_axes=on_axes) for x, _ in inputs]


def _input(attack: Attack, data: AttackData) -> tuple[np.ndarray, bool]:
    # The records in the form that the attack takes, and whether they lie on principal axes.
    if attack.input_form == "records":
        return data.x, False
    if attack.input_form == "numbers" and 4 * data.x.size <= LARGEST:
        return data.flat(), False
    return data.numbers(), data.is_wide


def _joined(data: AttackData, task: AttackTask, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> Predictions:
    rows = np.concatenate([r for r, _ in folds])
    predicted = np.concatenate([p for _, p in folds])
    truth = data.labels[task.attribute][rows]
    order = np.argsort(rows, kind="stable")
    order = order[truth[order] >= 0]
    return Predictions(rows[order], truth[order], predicted[order].astype(np.int64))
