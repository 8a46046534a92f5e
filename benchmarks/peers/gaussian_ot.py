"""Gaussian optimal transport: every class moves to the common barycentre of mean and covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.common import (
    ClassModifier,
    ClassMoments,
    Probe,
    class_moments,
    classes_of,
    empty_probe,
    fit_probe,
    power,
    predicted_note,
)
from sordine.data.table import Table
from sordine.methods.base import Method
from sordine.methods.options import Share, SmallCount, SmallCountOrZero
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

CLOSE = 1e-7  # relative change of the barycentre at which the iteration ends


class AffineModifier(ClassModifier):
    """x' = x + shift_k + (x - mean_k) change_k, where k is the predicted class.

    Parameters
    ----------
    probe
        What predicts the class.
    classes, width
        Sizes of the buffers `mean` and `shift` (classes, width), and `change` (classes, width, width).
    """

    mean: Tensor
    shift: Tensor
    change: Tensor

    def __init__(self, probe: Probe, classes: int, width: int) -> None:
        super().__init__(probe)
        self.register_buffer("mean", torch.zeros(classes, width))
        self.register_buffer("shift", torch.zeros(classes, width))
        self.register_buffer("change", torch.zeros(classes, width, width))

    def moved(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return moved records; every product is one of the whole block, so that bits do not depend on the others."""
        out = x.clone()
        for k in torch.unique(codes).tolist():
            to = x + self.shift[k] + (x - self.mean[k]) @ self.change[k]
            out = torch.where((codes == k)[:, None], to, out)
        return out


@dataclass(frozen=True)
class GaussianOT(Method):
    """Mean and covariance of each class are moved to their Wasserstein barycentre by the affine optimal map.

    The map of class k with mean m_k and covariance S_k is

        x' = m + S_k^-1/2 (S_k^1/2 S S_k^1/2)^1/2 S_k^-1/2 (x - m_k),

    where m is the mean of the m_k and S the fixed point of
    S = S^-1/2 (sum_k w_k (S^1/2 S_k S^1/2)^1/2)^2 S^-1/2, with the share of the class as w_k.

    Sources: Agueh and Carlier, Barycenters in the Wasserstein space (2011), for the barycentre of Gaussians;
    Alvarez-Esteban, del Barrio, Cuesta-Albertos and Matran, A fixed-point approach to barycenters in Wasserstein space
    (2016), for the iteration; Singh, Ravfogel, Herzig, Aharoni, Cotterell and Kumaraguru, Representation surgery:
    theory and practice of affine steering (2024), for the use on representations.

    What differs: the last source moves one class onto another and knows the class of each record. Here all classes move
    to the barycentre, and the class is predicted by a probe for every record, those of the fit included. Covariances
    are shrunk towards their mean, because a class may have fewer records than numbers. Several suppressed attributes
    are one attribute of all combinations.

    Parameters
    ----------
    shrinkage
        Weight of the mean covariance in that of each class; None for the weight of Ledoit and Wolf.
    probe_features
        Random features of the probe; 0 for a linear probe.
    rounds
        Largest number of iterations for the barycentre.
    """

    shrinkage: Share | None = None
    probe_features: SmallCountOrZero = 1024
    rounds: SmallCount = 50

    name: ClassVar[str] = "gaussian-ot"

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Compute the moments of each class, the barycentre and the maps; then the probe."""
        codes = classes_of(table, policy, self.name)
        found = class_moments(table.flat(), codes, self.shrinkage)
        maps, rounds = transport_maps(found, self.rounds)
        probe, accuracy = fit_probe(table, codes, self.probe_features, run.seed)
        modifier = AffineModifier(probe, len(maps), table.width)
        change = found.basis @ (maps - np.eye(maps.shape[1])) @ found.basis.T
        mean = found.centre + found.means @ found.basis.T
        modifier.mean = torch.from_numpy(mean.astype(np.float32))
        modifier.shift = torch.from_numpy((found.centre - mean).astype(np.float32))
        modifier.change = torch.from_numpy(change.astype(np.float32))
        figures = {"probe": accuracy, "shrinkage": float(found.weights.mean()), "rounds": rounds}
        modifier.card = self.card(policy, table, fit=figures, notes=[predicted_note(accuracy)])
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        return AffineModifier(empty_probe(tensors), *tensors["mean"].shape)


def transport_maps(found: ClassMoments, rounds: int) -> tuple[np.ndarray, int]:
    """Return the linear part of every map (classes, axes, axes), symmetric, and the iterations that were used."""
    centre = np.tensordot(found.shares, found.covariances, 1)
    used = 0
    while used < rounds:
        used += 1
        root, inverse = power(centre, 0.5), power(centre, -0.5)
        mean = sum(w * power(root @ s @ root, 0.5) for w, s in zip(found.shares, found.covariances, strict=True))
        fresh = inverse @ mean @ mean @ inverse
        change = np.linalg.norm(fresh - centre) / np.linalg.norm(centre)
        centre = (fresh + fresh.T) / 2
        if change < CLOSE:
            break
    maps = []
    for s in found.covariances:
        root, inverse = power(s, 0.5), power(s, -0.5)
        maps.append(inverse @ power(root @ centre @ root, 0.5) @ inverse)
    return np.stack(maps), used
