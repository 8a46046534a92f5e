"""Attackers that are not trained on released records: the best possible one of a discrete channel, computed; and
classifiers learnt on originals, whose failure is never called privacy."""

from __future__ import annotations

import numpy as np
import torch

from sordine.attacks.resnet import Reader, Size, is_picture, train_reader
from sordine.attacks.results import PretrainedFinding, Role
from sordine.data.table import Table
from sordine.keys import Key
from sordine.metrics.accuracy import accuracy, majority, prediction_entropy
from sordine.models.classifier import ClassifierOptions, outputs, train_classifier
from sordine.run import Run

EPOCHS = 40
VALIDATION = 4  # every fourth picture chooses when to stop


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
            memory[name] = train_classifier(fitted, attribute, ClassifierOptions(epochs=EPOCHS), run=Run(device=device))
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
