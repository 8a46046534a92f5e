"""A classifier that is trained on originals and never retrained. Its failure on released records is no privacy."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np
import torch

from sordine.attacks.resnet import Size, TrainedResNet, is_picture, train_resnet
from sordine.attacks.results import PretrainedFinding, Role
from sordine.data.table import Table
from sordine.keys import Key
from sordine.metrics.accuracy import accuracy, majority, prediction_entropy
from sordine.models.classifier import ClassifierOptions, outputs, train_classifier
from sordine.run import Run, accepts_run_keywords

EPOCHS = 20
VALIDATION = 4  # one in so many pictures decides when training stops
FEWEST = 20  # labelled records to learn from


@accepts_run_keywords
def pretrained(
    fitted: Table,
    unseen: Table,
    released: np.ndarray,
    attribute: str,
    role: Role,
    *,
    memory: MutableMapping[Any, Any],
    resnet_size: Size = "small",
    run: Run | None = None,
) -> PretrainedFinding | None:
    """Return the accuracy of a classifier of the originals, on unseen originals and on their releases.

    Parameters
    ----------
    fitted
        Originals to learn from.
    unseen
        Other originals.
    released
        (len(unseen), *shape) their releases.
    attribute, role
        The attribute to predict, and its role in the policy.
    memory
        Keeps the classifiers, for other releases of the same originals.
    resnet_size
        The size of the network, where records are pictures.
    run
        Its device is used.

    Returns
    -------
    PretrainedFinding or None
        None where either side has too few labels.
    """
    truth = unseen.y[attribute]
    known = truth >= 0
    learnable = fitted.y[attribute][fitted.y[attribute] >= 0]
    if known.sum() < 2 or len(learnable) < FEWEST or len(np.unique(learnable)) < 2:
        return None
    predict = _classifier(fitted, attribute, memory, (run or Run()).device, resnet_size)
    before, after = (predict(x)[known] for x in (unseen.x, released))
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


def _classifier(
    fitted: Table, attribute: str, memory: MutableMapping[Any, Any], device: str, size: Size
) -> Callable[[np.ndarray], np.ndarray]:
    # A function of records that gives logits (n, classes); trained once.
    if is_picture(fitted.shape):
        name: object = ("pretrained", attribute, size)
        if name not in memory:
            memory[name] = _train_on_pictures(fitted, attribute, size, device)
        network = memory[name]
        assert isinstance(network, TrainedResNet)
        return network.logits
    name = ("pretrained", attribute)
    if name not in memory:
        memory[name] = train_classifier(fitted, attribute, ClassifierOptions(epochs=EPOCHS), run=Run(device=device))
    model = memory[name]
    assert isinstance(model, torch.nn.Module)
    return lambda x: outputs(model, x, device=device)


def _train_on_pictures(fitted: Table, attribute: str, size: Size, device: str) -> TrainedResNet:
    # The network of the attack `resnet`, trained once on originals.
    labels = fitted.y[attribute]
    own = np.flatnonzero(labels >= 0)
    own = own[Key.of_seed(0).order("pretrained", fitted.ids[own])]
    # Each class has the same share in both parts.
    own = own[np.argsort(labels[own], kind="stable")]
    held_out = np.arange(len(own)) % VALIDATION == VALIDATION - 1
    train, validation = np.sort(own[~held_out]), np.sort(own[held_out])
    classes = len(fitted.classes[attribute])
    return train_resnet(fitted.x, labels, classes, train, validation, size=size, run=Run(device=device))
