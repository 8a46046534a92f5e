"""What an audit's attacks will cost: a model of each family's work, measured once, scaled to the machine at hand by a
calibration of a fraction of a second."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier

from sordine.attacks import convnet as convolution
from sordine.attacks import mlp, svm
from sordine.attacks import mlp_ensemble as ensemble
from sordine.attacks import random_features as features
from sordine.attacks import resnet as pictures
from sordine.attacks.principal_axes import AXES
from sordine.attacks.resnet import SMALL, Size
from sordine.attacks.runner import GROWN, VALIDATION, Budget, Piece, Scene
from sordine.attacks.trees import BOOSTED, LEAVES, MOST_TREES, ROUNDS, TREES, TREES_TO_CHOOSE
from sordine.models.early_stopping import EarlyStopping

# Seconds that the two calibrations take on the machine on which the figures below were measured: one core of it.
PRODUCTS, BRANCHES = 0.0007, 0.0079
# Seconds there of one multiplication and addition in a step of training, forwards and backwards (a sixth of it a product).
STEP = {"mlp": 1.5e-11, "wide": 1.0e-11, "ensemble": 1.1e-11, "convolution": 3.0e-11}
PIXEL = 9e-7  # of a pixel in a step of `resnet`
PAPER = 100  # times as much for the network of the paper


@dataclass(frozen=True)
class Speed:
    """How many times slower than there this machine multiplies matrices, and walks through trees."""

    products: float
    branches: float


@cache
def speed() -> Speed:
    """Measured in a fraction of a second, once a process, on one core."""
    rng = np.random.default_rng(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        a, b = torch.ones(256, 512), torch.ones(512, 256)
        products = _least(lambda: torch.mm(a, b), 40)
    finally:
        torch.set_num_threads(threads)
    x, y = rng.standard_normal((300, 64)).astype(np.float32), rng.integers(0, 4, 300)
    branches = _least(lambda: ExtraTreesClassifier(5, random_state=0).fit(x, y), 8)
    return Speed(products / PRODUCTS, branches / BRANCHES)


def _least(work: object, times: int) -> float:
    assert callable(work)
    work()
    least = math.inf
    for _ in range(times):
        started = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - started)
    return least


def seconds(scene: Scene, group: Sequence[Piece], folds: int, size: Size = "small", here: Speed = Speed(1, 1)) -> float:
    """What `attack` will take for pieces of one attacker, setting and seed, on one core: seconds. Labels that are missing
    count as if they were there. here: the machine; by default that on which the figures were measured."""
    piece = group[0]
    extra = int(scene.held.sum())
    own = int(scene.fitted.sum())
    unseen = len(scene.fitted) - own - extra
    if piece.setting == "A":
        times, learnt, tried = 1, own + extra, unseen
    else:
        side = unseen if piece.setting == "B" else own
        times, learnt, tried = folds, side - side // folds + (extra if piece.setting == "B" else 0), side // folds
    classes = [max(2, scene.classes[p.attribute]) for p in group]
    width = int(np.prod(scene.x.shape[1:]))
    if scene.is_wide and (piece.attacker != "trees" or 4 * scene.x.size > GROWN):
        width = min(AXES, len(scene.x))
    once = of_a_trial(piece.attacker, learnt, tried, len(scene.x), width, classes, scene.x.shape[1:], size)
    return times * once * (here.branches if piece.attacker in ("trees", "boosting") else here.products)


def of_a_trial(
    attacker: str,
    learnt: int,
    tried: int,
    every: int,
    width: int,
    classes: Sequence[int],
    shape: tuple[int, ...],
    size: Size,
) -> float:
    """Seconds of one trial on one core of that machine. learnt, tried, every: training and validation records, those read, all there are.
    width: numbers that the attacker is given of a record. classes: of each attribute, how many. shape: of a record."""
    if attacker == "logistic":
        return 2e-8 * width * sum(classes) * (learnt + 1400)
    if attacker == "neighbours":
        return 0.01 + 1.4e-10 * learnt * (tried + learnt / VALIDATION) * width
    if attacker == "trees":
        grown = TREES + len(LEAVES) * TREES_TO_CHOOSE
        return len(classes) * (0.15 + 1.5e-8 * grown * learnt * math.log2(learnt + 2) * math.sqrt(width))
    if attacker == "boosting":
        rounds = [min(ROUNDS, max(1, MOST_TREES // (1 if c == 2 else c))) for c in classes]
        grown = (len(BOOSTED) + 1) * sum(r * (1 if c == 2 else c) for r, c in zip(rounds, classes, strict=True))
        return grown * (1e-4 + width * (3.1e-6 + 3.6e-9 * learnt))
    if attacker == "svm":
        most = min(learnt, svm.MOST)
        return len(classes) * 2e-9 * (width + 40) * most * (0.8 * most + 0.2 * tried)
    train = learnt - learnt // VALIDATION
    if attacker == "features":
        drawn = every * width * (len(features.SPREADS) * features.WIDTHS[0] + features.WIDTHS[1])
        solved = 0.0
        for wide, kernels in ((features.WIDTHS[0], len(features.SPREADS)), (features.WIDTHS[1], 2)):
            side = min(train, wide)
            solved += kernels * (train * wide * side + len(features.PENALTIES) * side**3 / 3)
        return 5.6e-11 * (drawn + len(classes) * solved)
    if attacker == "resnet":
        steps = steps_of(train, pictures.TRAINING)
        pixels = shape[-1] * shape[-2] / (1 if min(shape[-2:]) < SMALL else 16)
        return len(classes) * PIXEL * steps * pictures.TRAINING.batch * pixels * (PAPER if size == "paper" else 1)
    if attacker == "convolution":
        steps = steps_of(train, convolution.TRAINING)
        each = sum(map(_convolved, convolution.arrangements(shape)))
        return len(classes) * 6 * STEP[attacker] * steps * convolution.TRAINING.batch * each
    hidden, members, plan = {
        "mlp": (mlp.HIDDEN, 1, mlp),
        "wide": (ensemble.WIDE, len(ensemble.OF_WIDE), ensemble),
        "ensemble": (ensemble.SEVERAL, len(ensemble.OF_SEVERAL), ensemble),
    }[attacker]
    steps = steps_of(train, plan.TRAINING)
    each = sum(sum(a * b for a, b in zip((width, *hidden), (*hidden, c), strict=True)) for c in classes)
    return 6 * STEP[attacker] * members * steps * min(plan.TRAINING.batch, train) * each


def steps_of(train: int, training: EarlyStopping) -> int:
    """Most steps of training on `train` records: whole epochs of batches."""
    each = max(1, train // training.batch)
    return each * training.length(each)


def _convolved(shape: tuple[int, ...]) -> float:
    # Multiplications for one record in one arrangement.
    places, kernel, channels, total = float(np.prod(shape[1:])), 9 if len(shape) == 3 else 5, shape[0], 0.0
    for width in convolution.WIDTHS[len(shape) - 1]:
        total += places * kernel * channels * width
        channels, places = width, places / (4 if len(shape) == 3 else 2)
    return total


def forecast(
    jobs: Sequence[tuple[Scene, Sequence[Piece]]], budget: Budget, workers: int, here: Speed | None = None
) -> float:
    """Seconds that these groups of attacks will take, so many at a time: as one core can, and no sooner than the longest."""
    here = speed() if here is None else here
    each = [seconds(scene, group, budget.folds, budget.pictures, here) for scene, group in jobs]
    cores = min(workers, os.cpu_count() or 1)
    return max(sum(each) / max(1, cores), max(each, default=0.0))


def lasting(about: float) -> str:
    """Seconds in words: 75 -> '75 seconds', 300 -> '5 minutes', 9000 -> '2.5 hours'."""
    whole = max(round(about), 1)  # as it is shown: 119.6 is two minutes
    if whole < 120:
        return f"{whole} second{'s' if whole > 1 else ''}"
    return f"{round(about / 60)} minutes" if round(about / 60) < 120 else f"{about / 3600:.1f} hours"


def told(
    jobs: Sequence[tuple[Scene, Sequence[Piece]]],
    budget: Budget,
    workers: int,
    besides: Mapping[str, float] | None = None,
    more: Sequence[str] = (),
) -> str:
    """What is said beforehand, in a line. besides: seconds of what is done after these attacks, on one core. more: what comes on top
    of all and is not estimated, beside reading and charts."""
    attacks = sum(len(group) for _, group in jobs)
    about = forecast(jobs, budget, workers)
    beside = (
        f", and what is tried besides about {lasting(sum(besides.values()))} more ({', '.join(besides)})"
        if besides
        else ""
    )
    return (
        f"audit: {attacks} attacks on single records (budget {budget.name}) will take about {lasting(about)} here{beside}: estimated "
        f"from their work, as measured elsewhere, and a calibration of this machine; {', '.join(['reading', *more, 'charts'])} come on top"
    )
