"""Attackers that are not trained on released records: the best possible one of a discrete channel, computed; and
classifiers learnt on originals, whose failure is never called privacy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from sordine.attackers.pictures import Reader, Size, is_picture, train_reader
from sordine.classifiers import outputs, train_classifier
from sordine.findings import ExactFinding, PretrainedFinding, Role
from sordine.information import exact_attack, exact_guess, joint, permuted_attack
from sordine.keys import Key, numpy_rng
from sordine.metrics import accuracy, majority, prediction_entropy
from sordine.modifier import Modifier
from sordine.table import Table

EPOCHS = 40
VALIDATION = 4  # every fourth picture chooses when to stop


def exact(
    modifier: Modifier,
    table: Table,
    on: Literal["fitted", "unseen"],
    suppress: Sequence[str],
    kept: Sequence[str],
    permutations: int,
) -> list[ExactFinding]:
    """Each suppressed attribute, all of them jointly, and the same given the kept columns, on these original records."""
    if not len(table) or not suppress:
        return []
    p = modifier.channel_of(table.x)
    asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((name,), ()) for name in suppress]
    if len(suppress) > 1:
        asked.append((tuple(suppress), ()))
    if kept:
        asked += [(names, tuple(kept)) for names, _ in list(asked)]
    found = []
    for names, beside in asked:
        labels = joint([table.y[name] for name in names])
        codes = joint([table.y[name] for name in beside]) if beside else None
        usable = labels >= 0 if codes is None else (labels >= 0) & (codes >= 0)
        if len(np.unique(labels[usable])) < 2:
            continue
        some, secret = p[usable], labels[usable]
        column = None if codes is None else codes[usable]
        classes = int(secret.max()) + 1
        rng = numpy_rng(0, "permuted attack")
        chance = permuted_attack(some, secret, classes, column, permutations, rng)
        found.append(
            ExactFinding(
                attributes=names,
                kept=beside,
                on=on,
                accuracy=exact_attack(some, secret, classes, column),
                guess=exact_guess(secret, column),
                permuted=float(chance.mean()),
                permuted_high=float(np.quantile(chance, 0.95)),
                records=len(secret),
            )
        )
    return found


def pretrained(
    fitted: Table,
    unseen: Table,
    released: np.ndarray,
    attribute: str,
    role: Role,
    *,
    memory: dict[object, object],
    device: str = "cpu",
    pictures: Size = "small",
) -> PretrainedFinding | None:
    """A classifier learnt on the fitted originals, read on unseen originals and on what became of them; None where either
    side has too few labels. released: (len(unseen), *shape). memory: keeps the classifiers. pictures: how large a network
    learns, where records are pictures."""
    truth = unseen.y[attribute]
    known = truth >= 0
    learnable = fitted.y[attribute][fitted.y[attribute] >= 0]
    if known.sum() < 2 or len(learnable) < 20 or len(np.unique(learnable)) < 2:
        return None
    if is_picture(fitted.shape):
        name: object = ("pretrained", attribute, pictures)
        if name not in memory:
            memory[name] = _reader(fitted, attribute, pictures, device)
        reader = memory[name]
        assert isinstance(reader, Reader)
        before, after = (reader.logits(x)[known] for x in (unseen.x, released))
    else:
        name = ("pretrained", attribute)
        if name not in memory:
            memory[name] = train_classifier(fitted, attribute, seed=0, epochs=EPOCHS, device=device)
        model = memory[name]
        assert isinstance(model, torch.nn.Module)
        before, after = (outputs(model, x, device=device)[known] for x in (unseen.x, released))
    exp = np.exp(after - after.max(1, keepdims=True))
    return PretrainedFinding(
        attribute=attribute,
        role=role,
        before=accuracy(truth[known], before.argmax(1)),
        after=accuracy(truth[known], after.argmax(1)),
        guess=majority(truth[known]),
        entropy_nats=prediction_entropy(exp / exp.sum(1, keepdims=True)),
        records=int(known.sum()),
    )


def _reader(fitted: Table, attribute: str, size: Size, device: str) -> Reader:
    # The same network as the retrained attacker's, learnt once on originals.
    labels = fitted.y[attribute]
    own = np.flatnonzero(labels >= 0)
    own = own[Key.of_seed(0).order("pretrained", fitted.ids[own])]
    # Each class gives its share to both parts.
    own = own[np.argsort(labels[own], kind="stable")]
    held = np.arange(len(own)) % VALIDATION == VALIDATION - 1
    train, validation = np.sort(own[~held]), np.sort(own[held])
    classes = len(fitted.classes[attribute])
    return train_reader(fitted.x, labels, classes, train, validation, seed=0, device=device, size=size)
