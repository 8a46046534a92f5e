"""Attackers that learn to read a secret from released records. A family reads several secrets of the same rows at once."""

from __future__ import annotations

from collections.abc import Sequence

from sordine.attacks import convnet as convolution
from sordine.attacks import mlp, svm
from sordine.attacks import mlp_ensemble as ensemble
from sordine.attacks import random_features as features
from sordine.attacks import resnet as pictures
from sordine.attacks.base import Family
from sordine.attacks.logistic import logistic
from sordine.attacks.neighbours import neighbours
from sordine.attacks.trees import boosting, trees

FAMILIES: dict[str, Family] = {
    "logistic": logistic,
    "neighbours": neighbours,
    "trees": trees,
    "mlp": mlp.perceptron,
    "resnet": pictures.resnet,
    "features": features.random_features,
    "svm": svm.svm,
    "boosting": boosting,
    "wide": ensemble.wide,
    "ensemble": ensemble.ensemble,
    "convolution": convolution.convolution,
}
ON_PICTURES = frozenset({"resnet"})  # these take (n, c, h, w) and nothing else
ON_SHAPES = frozenset({"convolution"})  # these take records (n, *shape) that are no flat vectors; the others (n, d)
ALONE = (
    ON_PICTURES | ON_SHAPES | {"svm", "boosting", "wide", "ensemble"}
)  # secrets that these read together share no work


def reads(attacker: str, shape: Sequence[int]) -> bool:
    """Whether an attacker can read records of this shape: `resnet` pictures, `convolution` what has an order along its
    last axis, the others everything."""
    if attacker in ON_PICTURES:
        return pictures.is_picture(shape)
    return attacker not in ON_SHAPES or convolution.is_ordered(shape)


def suited(families: Sequence[str], shape: Sequence[int]) -> bool:
    """Whether some of the families is made for records of this shape: pictures need one that sees them as such, for the others
    read little of them; anything else is read by all."""
    return not pictures.is_picture(shape) or any(name in ON_PICTURES | ON_SHAPES for name in families)
