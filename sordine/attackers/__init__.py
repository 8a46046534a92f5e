"""Attackers that learn to read a secret from released records. A family reads several secrets of the same rows at once."""

from __future__ import annotations

from sordine.attackers import mlp, probes
from sordine.attackers.trial import Family

FAMILIES: dict[str, Family] = {
    "logistic": probes.logistic,
    "neighbours": probes.neighbours,
    "trees": probes.trees,
    "mlp": mlp.perceptron,
}
