"""Conditional Gaussianisation: every class is mapped to the same normal distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from scipy.special import ndtr, ndtri
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
from sordine.keys import numpy_rng
from sordine.methods.base import Method
from sordine.methods.options import Share, SmallCount, SmallCountOrZero
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

KNOTS = 17  # of a marginal map
FAR = 3.0  # normal score of the outermost knots, where a class has enough records
LEAST_GAP = 1e-5  # between knots, so that every map can be inverted
LIMIT = 6.0  # largest normal score


class MuteModifier(ClassModifier):
    """Rotations that all classes share, and marginal maps of each class in between.

    Parameters
    ----------
    probe
        What predicts the class.
    groups, rounds, width, axes
        Sizes. Group 0 is all records together; the groups after it are the classes. The buffers are `basis`
        (width, axes), `centre` (width,), `mean` (groups, axes), `whiten` (groups, axes, axes), `colour` (axes, axes),
        `rotations` (rounds, axes, axes), `knots` (groups, rounds, axes, KNOTS), `scores` (groups, KNOTS) and `back`
        (), which is 1 where the map of all records is inverted at the end.
    """

    basis: Tensor
    centre: Tensor
    mean: Tensor
    whiten: Tensor
    colour: Tensor
    rotations: Tensor
    knots: Tensor
    scores: Tensor
    back: Tensor

    def __init__(self, probe: Probe, groups: int, rounds: int, width: int, axes: int) -> None:
        super().__init__(probe)
        self.register_buffer("basis", torch.zeros(width, axes))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("mean", torch.zeros(groups, axes))
        self.register_buffer("whiten", torch.zeros(groups, axes, axes))
        self.register_buffer("colour", torch.zeros(axes, axes))
        self.register_buffer("rotations", torch.zeros(rounds, axes, axes))
        self.register_buffer("knots", torch.zeros(groups, rounds, axes, KNOTS))
        self.register_buffer("scores", torch.zeros(groups, KNOTS))
        self.register_buffer("back", torch.zeros(()))

    def start(self, x: Tensor, groups: Tensor) -> Tensor:
        """Return whitened records (b, axes): the symmetric root leaves the axes where they are."""
        u = (x - self.centre) @ self.basis
        out = torch.zeros_like(u)
        for g in torch.unique(groups).tolist():
            out = torch.where((groups == g)[:, None], (u - self.mean[g]) @ self.whiten[g], out)
        return out

    def marginal(self, z: Tensor, groups: Tensor, number: int) -> Tensor:
        """Return normal scores of every number (b, axes), by the maps of its group in one round."""
        out = torch.empty_like(z)
        for g in torch.unique(groups).tolist():
            rows = (groups == g).nonzero()[:, 0]
            knots = self.knots[g, number]
            out[rows] = interpolate(z[rows], knots, self.scores[g].expand_as(knots))
        return out.clamp(-LIMIT, LIMIT)

    def gaussian(self, x: Tensor, groups: Tensor) -> Tensor:
        """Return records (b, axes) whose distribution is standard normal in each group."""
        z = self.start(x, groups)
        for number, rotation in enumerate(self.rotations):
            z = self.marginal(z @ rotation, groups, number)
        return z

    def inverse(self, z: Tensor) -> Tensor:
        """Return records (b, axes) with the distribution of all records together."""
        for number in reversed(range(len(self.rotations))):
            knots = self.knots[0, number]
            z = interpolate(z, self.scores[0].expand_as(knots).contiguous(), knots) @ self.rotations[number].T
        return z @ self.colour + self.mean[0]

    def moved(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return moved records; see `ClassModifier.moved`."""
        z = self.gaussian(x, codes + 1)
        return (self.inverse(z) if self.back else z) @ self.basis.T + self.centre


def interpolate(values: Tensor, at: Tensor, to: Tensor) -> Tensor:
    """Return piecewise linear maps of values (b, axes), extended beyond their ends.

    Parameters
    ----------
    values
        (b, axes).
    at, to
        (axes, knots): increasing positions, and the value of the map at each.
    """
    place = torch.searchsorted(at.contiguous(), values.T.contiguous()).clamp(1, at.shape[1] - 1)
    low, high = at.gather(1, place - 1), at.gather(1, place)
    first, last = to.gather(1, place - 1), to.gather(1, place)
    return (first + (values.T - low) * (last - first) / (high - low)).T


@dataclass(frozen=True)
class Mute(Method):
    """Each class is turned into a standard normal distribution, so that nothing is left to tell classes apart.

    A class is whitened; then each round rotates it and maps every number to its normal score. All classes share the
    rotations, and end at the same distribution. With `output` "pooled" the same procedure, fitted on all records
    together, is then inverted, so that every class has the distribution of the whole table.

    Sources: MUtE (2025), class-conditional Gaussianisation as an eraser; Laparra, Camps-Valls and Malo, Iterative
    Gaussianization: from ICA to random rotations (2011), for the iteration. Of the first only the idea was at hand
    (each class to one common normal distribution, without gradients), not its equations: what follows is that idea by
    the procedure of the second.

    What differs from the second: rotations are random and shared, so that the axes of two classes mean the same; a
    whitening by the shrunk covariance of the class goes before; the marginal maps are piecewise linear between
    quantiles. The class of every record is predicted by a probe. Several suppressed attributes are one attribute of all
    combinations.

    Parameters
    ----------
    rounds
        Rotations, each followed by marginal maps.
    output
        `normal`: the normal distribution itself, in the axes of x; `pooled`: the distribution of all records.
    shrinkage
        Weight of the mean covariance in that of each class; None for the weight of Ledoit and Wolf.
    probe_features
        Random features of the probe; 0 for a linear probe.
    """

    rounds: SmallCount = 2
    output: Literal["normal", "pooled"] = "pooled"
    shrinkage: Share | None = None
    probe_features: SmallCountOrZero = 1024

    name: ClassVar[str] = "mute"

    @torch.no_grad()
    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Whiten every class, then fit the marginal maps round by round; then the probe."""
        codes = classes_of(table, policy, self.name)
        x = table.flat()
        found = class_moments(x, codes, self.shrinkage)
        probe, accuracy = fit_probe(table, codes, self.probe_features, run.seed)
        classes, axes = found.means.shape
        modifier = MuteModifier(probe, classes + 1, self.rounds, table.width, axes)
        set_moments(modifier, found)
        rng = numpy_rng(run.seed, "mute rotations")
        modifier.rotations = torch.from_numpy(np.stack([rotation(axes, rng) for _ in range(self.rounds)]))
        modifier.back.fill_(float(self.output == "pooled"))
        labelled = x[codes >= 0]
        members = [np.arange(len(labelled)), *(np.flatnonzero(codes[codes >= 0] == k) for k in range(classes))]
        modifier.scores = torch.from_numpy(np.stack([score_knots(len(rows)) for rows in members]))
        for group, rows in enumerate(members):
            if group or self.output == "pooled":
                fit_group(modifier, torch.from_numpy(labelled[rows]), group)
            run.step("groups", group + 1, len(members))
        figures = {"probe": accuracy, "shrinkage": float(found.weights.mean())}
        modifier.card = self.card(policy, table, fit=figures, notes=[predicted_note(accuracy)])
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        groups, rounds, axes, _ = tensors["knots"].shape
        return MuteModifier(empty_probe(tensors), groups, rounds, len(tensors["centre"]), axes)


def set_moments(modifier: MuteModifier, found: ClassMoments) -> None:
    """Set the maps that whiten all records together and each class, and the one that undoes the first."""
    mean = np.concatenate([np.zeros((1, found.means.shape[1])), found.means])
    covariances = np.concatenate([found.pooled[None], found.covariances])
    modifier.basis = torch.from_numpy(found.basis.astype(np.float32)).contiguous()
    modifier.centre = torch.from_numpy(found.centre.astype(np.float32))
    modifier.mean = torch.from_numpy(mean.astype(np.float32))
    modifier.whiten = torch.from_numpy(np.stack([power(s, -0.5) for s in covariances]).astype(np.float32))
    modifier.colour = torch.from_numpy(power(found.pooled, 0.5).astype(np.float32))


def rotation(axes: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random orthogonal matrix, float32."""
    q, r = np.linalg.qr(rng.standard_normal((axes, axes)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


def score_knots(records: int) -> np.ndarray:
    """Return the normal scores of the knots (KNOTS,): as far out as so many records reach."""
    end = min(FAR, -ndtri(0.5 / max(records, 2)))
    return np.linspace(-end, end, KNOTS, dtype=np.float32)


def fit_group(modifier: MuteModifier, x: Tensor, group: int) -> None:
    """Set the marginal maps of one group, round by round, from its records (m, width)."""
    groups = torch.full((len(x),), group)
    z = modifier.start(x, groups)
    levels = ndtr(modifier.scores[group].double().numpy())
    gaps = np.arange(KNOTS) * LEAST_GAP
    for number, turn in enumerate(modifier.rotations):
        z = z @ turn
        knots = np.quantile(z.double().numpy(), levels, axis=0, method="hazen").T
        knots = np.maximum.accumulate(knots, 1) + gaps
        modifier.knots[group, number] = torch.from_numpy(knots.astype(np.float32))
        z = modifier.marginal(z, groups, number)
