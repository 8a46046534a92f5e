"""Attackers that learn to read a secret from released records. A family reads several secrets of the same rows at once."""

from __future__ import annotations

from sordine.attackers import mlp, pictures, probes
from sordine.attackers.trial import Family

FAMILIES: dict[str, Family] = {
    "logistic": probes.logistic,
    "neighbours": probes.neighbours,
    "trees": probes.trees,
    "mlp": mlp.perceptron,
    "resnet": pictures.resnet,
}
ON_PICTURES = frozenset({"resnet"})  # these take (n, c, h, w) and nothing else; the others (n, d)
