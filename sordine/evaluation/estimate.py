"""What an audit will take beside its attacks on single records: a model of that work, as `attackers.cost` has one of theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sordine.attacks import calibration as calibrated
from sordine.attacks import cost, mlp
from sordine.attacks import persons as groups
from sordine.attacks.pretrained import EPOCHS
from sordine.attacks.resnet import is_picture
from sordine.attacks.runner import VALIDATION, Budget, Piece, Scene
from sordine.data.table import Table
from sordine.evaluation.sections.persons_and_queries import LINKED, MOST, PASSED, SETTINGS, SIMULATED, unit_of
from sordine.models.modifier import Modifier
from sordine.policy import Policy

# Seconds on the machine on which `cost` was measured, of one core: of a small step of a perceptron whatever its width, of a record in
# a group of the bootstrap, of an epoch's record of a classifier that is not retrained.
STEP, DRAWN, SEEN = 7e-4, 4e-8, 2.4e-5
FEWER_TREES = 0.6  # of the family's own work

Read = Callable[[int, int, int, int], float]


def besides(
    scene: Scene,
    before: Table,
    policy: Policy,
    budget: Budget,
    *,
    modifier: Modifier | None = None,
    person: str | None = None,
    pretrained: bool = True,
    here: cost.Speed | None = None,
) -> dict[str, float]:
    """Seconds on one core by what is done: persons pooled, several releases, linkage, classifiers never retrained. What is not done is
    not in it, nor what the modifier itself takes to draw further releases.

    scene, before: the originals that are attacked, `before.split` True where the modifier was fitted on them. The other arguments are those
    of `audit`. here: the machine (default: measured).
    """
    here = cost.speed() if here is None else here
    assert before.split is not None
    own, unseen = (int(side.sum()) for side in (before.split, ~before.split))
    found: dict[str, float] = {}
    fewer = min(own, MOST), min(unseen, MOST)
    read = _reader(scene, budget, here)
    draws = releases_drawn(modifier, before, budget)
    named = unit_of(before, policy, person)
    # Of what nobody is labelled with, or all alike, nothing is tried.
    told = [a for a in policy.suppress if len(np.unique(before.y[a][before.y[a] >= 0])) > 1]
    if budget.person and told and named is not None:
        units = len(np.unique(named[1][named[1] >= 0]))
        found["persons pooled"] = sum(
            _pooled(setting, fewer, len(before.classes[a]), units, a == named[0], budget, modifier, draws, read, here)
            for a in told
            for setting in SETTINGS
            if setting in budget.settings
        )
    if budget.queries and draws and told:
        count = max(2, min(budget.queries, PASSED // max(1, sum(fewer))))
        found["several releases"] = sum(
            5 * read(*fewer, len(before.classes[a]), 1) + read(*fewer, len(before.classes[a]), count) for a in told
        )
    if budget.linkage and policy.suppress:
        width = min(scene.x[0].size, 512)
        found["linkage"] = here.products * sum(
            1e-9 * n * n * (width + n / 2) for n in (min(own, LINKED), min(unseen, LINKED))
        )
    if pretrained and own and unseen:
        found["classifiers never retrained"] = sum(
            cost.seconds(scene, [Piece(a, "resnet", "A", 0)], 1, budget.pictures, here)
            if is_picture(before.shape)
            else here.products * SEEN * EPOCHS * max(own, 256)
            for a in scene.labels
        )
    return found


def releases_drawn(modifier: Modifier | None, before: Table, budget: Budget) -> str | None:
    """What the modifier is asked to draw again, in words; None where nothing is, or it draws nothing."""
    takes = modifier is not None and tuple(modifier.card.input.get("shape", before.shape)) == before.shape
    if modifier is None or not takes or modifier.noise < 1:
        return None
    said = [f"{SIMULATED} further releases"] if budget.person and not modifier.discrete else []
    said += [f"{budget.queries} releases under as many keys"] if budget.queries else []
    return " and ".join(said) or None


def _reader(scene: Scene, budget: Budget, here: cost.Speed) -> Read:
    # Of calibrated probabilities (`calibrated_scores`) learnt from so many releases of so many records and read of others.
    width = int(np.prod(scene.x.shape[1:]))
    width = min(cost.AXES, len(scene.x)) if scene.is_wide else width
    families = [f for f in calibrated.FAMILIES if f in budget.families] or ["logistic"]

    def read(learnt: int, tried: int, classes: int, releases: int) -> float:
        learnt, tried = learnt * releases, tried * releases
        total = 0.0
        for family in families:
            if family == "mlp":
                train = learnt - learnt // VALIDATION
                steps = cost.steps_of(train, replace(mlp.TRAINING, steps=calibrated.STEPS))
                each = sum(
                    a * b for a, b in zip((width, *calibrated.NARROW), (*calibrated.NARROW, classes), strict=True)
                )
                total += here.products * steps * (STEP + 6 * cost.STEP["mlp"] * mlp.TRAINING.batch * each)
            else:
                once = cost.of_a_trial(family, learnt, tried, len(scene.x), width, [classes], (width,), "small")
                total += once * (here.branches * FEWER_TREES if family == "trees" else here.products)
        return total

    return read


def _pooled(
    setting: str,
    sides: tuple[int, int],
    classes: int,
    units: int,
    is_unit: bool,
    budget: Budget,
    modifier: Modifier | None,
    draws: str | None,
    read: Read,
    here: cost.Speed,
) -> float:
    # One attribute in one setting: originals, released records and, where a modifier draws, one who knows it.
    own, unseen = sides
    times, learnt, tried = (
        (1, own, unseen) if setting == "A" else (budget.folds, unseen - unseen // budget.folds, unseen // budget.folds)
    )
    targets = [classes] if is_unit or not 1 < units <= 200 else [classes, units]
    knows = draws is not None
    channel = knows and modifier is not None and modifier.discrete
    learners = sum(
        read(learnt, tried, count, releases)
        for count in targets
        for releases in ((1, 1) if channel or not knows else (1, 1, 1 + SIMULATED))
    )
    many = sum(k != 1 for k in budget.person) * (4 if knows else 2)
    drawn = groups.RESAMPLES * groups.REGROUPED * unseen
    return times * learners + here.products * DRAWN * many * drawn
