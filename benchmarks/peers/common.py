"""What the peers share: classes of the suppressed attributes, their moments, a probe, and random Fourier features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor, nn

from sordine.data.statistics import moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.metrics.information import joint
from sordine.models.modifier import Modifier, Release
from sordine.policy import Policy

FLOOR = 1e-6  # of the mean variance within classes: added to every covariance, so that it can be inverted
ALIVE = 1e-9  # share of the largest variance below which an axis counts as constant
SAMPLE = 1000  # records of which distances are measured
RIDGES = (1e-4, 1e-2, 1.0)  # penalties of the probe, chosen on held-out records


def classes_of(table: Table, policy: Policy, method: str) -> np.ndarray:
    """Return one code for each combination of suppressed classes: (n,) int64 from 0, -1 where one is unlabelled.

    Raises
    ------
    SordineError
        Where there are fewer than two combinations, or one of them has a single record.
    """
    codes = joint([table.y[name] for name in policy.suppress])
    counts = np.bincount(codes[codes >= 0])
    names = " and ".join(policy.suppress)
    if len(counts) < 2:
        raise SordineError(
            f"method {method!r}: all training records have the same class of {names}; it needs two classes"
        )
    if counts.min() < 2:
        raise SordineError(
            f"method {method!r}: a class of {names} has one training record; it needs two records of each class"
        )
    return codes


def centred(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (width,), scale (width,) and standardised records (n, width) float32; a constant number is 0."""
    mean, deviation = moments(table.x)
    scale = np.where(deviation > 0, deviation, 1.0)
    z = (table.flat() - mean.astype(np.float32)) / scale.astype(np.float32)
    return mean, scale, np.ascontiguousarray(z)


@dataclass(frozen=True)
class ClassMoments:
    """Mean and covariance of each class, on the axes on which the records vary.

    Attributes
    ----------
    basis
        (width, axes) orthonormal: the axes.
    centre
        (width,) mean of all labelled records.
    means
        (classes, axes), relative to the centre.
    covariances
        (classes, axes, axes), invertible.
    pooled
        (axes, axes) covariance of all labelled records, invertible.
    shares
        (classes,) share of each class.
    weights
        (classes,) how far each covariance was shrunk towards the mean covariance of the classes.
    """

    basis: np.ndarray
    centre: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    pooled: np.ndarray
    shares: np.ndarray
    weights: np.ndarray


def class_moments(x: np.ndarray, codes: np.ndarray, shrinkage: float | None = None) -> ClassMoments:
    """Return the moments of every class.

    Parameters
    ----------
    x
        (n, width) float32.
    codes
        (n,) class codes, -1 where unlabelled; every class has at least two records.
    shrinkage
        Weight of the mean covariance of the classes in that of each class, 0 to 1. None: the weight of Ledoit and Wolf
        (A well-conditioned estimator for large-dimensional covariance matrices, 2004) towards that target.
    """
    counts = np.bincount(codes[codes >= 0])
    shares = counts / counts.sum()
    first = np.stack([x[codes == k].mean(0, dtype=np.float64) for k in range(len(counts))])
    centre = shares @ first
    total = np.zeros((x.shape[1], x.shape[1]))
    for k in range(len(counts)):
        part = x[codes == k] - centre
        total += part.T @ part
    values, vectors = np.linalg.eigh(total / counts.sum())
    basis = vectors[:, values > ALIVE * max(values[-1], 0)]
    if not basis.shape[1]:
        raise SordineError("all training records are equal; a map of their classes needs records that differ")
    axes = basis.shape[1]
    raw, fourth = np.zeros((len(counts), axes, axes)), np.zeros(len(counts))
    for k, n in enumerate(counts):
        part = (x[codes == k] - first[k]) @ basis
        raw[k] = part.T @ part / n
        fourth[k] = float((np.square(part).sum(1) ** 2).mean())
    target = np.tensordot(shares, raw, 1)
    level = np.trace(target) / axes or values[-1]  # classes of equal records have no variance
    jitter = FLOOR * level * np.eye(axes)
    weights = np.array([_weight(raw[k], target, fourth[k], n, shrinkage) for k, n in enumerate(counts)])
    shrunk = (1 - weights)[:, None, None] * raw + weights[:, None, None] * target + jitter
    pooled = basis.T @ (total / counts.sum()) @ basis + jitter
    return ClassMoments(basis, centre, (first - centre) @ basis, shrunk, pooled, shares, weights)


def _weight(raw: np.ndarray, target: np.ndarray, fourth: float, n: int, given: float | None) -> float:
    """Return the share of the target: the error of the estimate over its distance from the target."""
    if given is not None:
        return given
    error = (fourth - float(np.square(raw).sum())) / n
    distance = float(np.square(raw - target).sum())
    return float(np.clip(error / distance, 0, 1)) if distance > 0 else 1.0


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of a symmetric matrix with positive eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    least = max(values[-1], 0) * np.finfo(np.float64).eps
    return np.asarray((vectors * np.maximum(values, max(least, 1e-300)) ** exponent) @ vectors.T)


def median_distance(z: np.ndarray, seed: int) -> float:
    """Return the median distance of two records among at most `SAMPLE` random ones; 1 where they are all equal."""
    rng = numpy_rng(seed, "peers distance")
    rows = rng.choice(len(z), min(len(z), SAMPLE), replace=False)
    some = torch.from_numpy(np.ascontiguousarray(z[rows], np.float32))
    found = float(torch.pdist(some).median()) if len(some) > 1 else 0.0
    return found if found > 0 else 1.0


class Probe(nn.Module):
    """Scores of classes: linear in standardised numbers and in random Fourier features of them.

    Parameters
    ----------
    width, features, classes
        Numbers of a record, random features, classes.
    """

    mean: Tensor
    scale: Tensor
    frequencies: Tensor
    phase: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, width: int, features: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("frequencies", torch.zeros(width, features))
        self.register_buffer("phase", torch.zeros(features))
        self.register_buffer("weight", torch.zeros(width + features, classes))
        self.register_buffer("bias", torch.zeros(classes))

    def inputs(self, x: Tensor) -> Tensor:
        """Return what the scores are linear in: (b, width + features)."""
        z = (x - self.mean) / self.scale
        return torch.cat([z, np.sqrt(2) * torch.cos(torch.addmm(self.phase, z, self.frequencies))], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (b, classes) of records (b, width)."""
        return torch.addmm(self.bias, self.inputs(x), self.weight)


@torch.no_grad()
def fit_probe(table: Table, codes: np.ndarray, features: int, seed: int) -> tuple[Probe, float]:
    """Learn a probe by ridge regression to the classes; return it and its accuracy on held-out records.

    The cost is linear in the records. A fifth of the labelled records chooses the penalty; all of them fit the weights.

    Parameters
    ----------
    table
        The training records.
    codes
        (n,) class codes, -1 where unlabelled.
    features
        Number of random features; half of them of the median distance's bandwidth, half of half of it.
    seed
        Seed of the features and of the held-out part.
    """
    mean, scale, z = centred(table)
    classes = int(codes.max()) + 1
    probe = Probe(table.width, features, classes)
    probe.mean = torch.from_numpy(mean.astype(np.float32))
    probe.scale = torch.from_numpy(scale.astype(np.float32))
    rng = numpy_rng(seed, "peers probe")
    width = median_distance(z, seed) * np.where(np.arange(features) % 2, 0.5, 1.0)
    probe.frequencies = torch.from_numpy((rng.standard_normal((table.width, features)) / width).astype(np.float32))
    probe.phase = torch.from_numpy((rng.uniform(size=features) * 2 * np.pi).astype(np.float32))
    rows = np.flatnonzero(codes >= 0)
    held = np.zeros(len(rows), bool)
    held[rng.permutation(len(rows))[: max(1, len(rows) // 5)]] = True
    inputs = probe.inputs(torch.from_numpy(table.flat()[rows])).double().numpy()
    onehot = np.eye(classes)[codes[rows]]
    scores = {}
    for ridge in RIDGES:
        weight, bias = _ridge(inputs[~held], onehot[~held], ridge)
        scores[ridge] = float(((inputs[held] @ weight + bias).argmax(1) == codes[rows][held]).mean())
    best = max(RIDGES, key=lambda r: (scores[r], r))
    weight, bias = _ridge(inputs, onehot, best)
    probe.weight = torch.from_numpy(weight.astype(np.float32))
    probe.bias = torch.from_numpy(bias.astype(np.float32))
    return probe, scores[best]


def _ridge(inputs: np.ndarray, targets: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and offset of ridge regression; the penalty is per record."""
    mean, level = inputs.mean(0), targets.mean(0)
    part = inputs - mean
    gram = part.T @ part / len(part)
    gram[np.diag_indices_from(gram)] += ridge
    weight = cho_solve(cho_factor(gram), part.T @ (targets - level) / len(part))
    return weight, level - mean @ weight


class ClassModifier(Modifier):
    """A map of its own for each class, applied by the class that a probe predicts.

    Parameters
    ----------
    probe
        What predicts the class.
    """

    def __init__(self, probe: Probe) -> None:
        super().__init__()
        self.probe = probe

    def moved(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return the records (b, width), each moved by the map of its class (b,)."""
        raise NotImplementedError

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return moved records (b, *shape); no label is used."""
        flat = x.reshape(len(x), -1)
        return Release(self.moved(flat, self.probe(flat).argmax(1)).reshape(x.shape))


def empty_probe(tensors: dict[str, Tensor]) -> Probe:
    """Return an empty probe of the size of saved ones."""
    width, features = tensors["probe.frequencies"].shape
    return Probe(width, features, len(tensors["probe.bias"]))


def predicted_note(accuracy: float) -> str:
    """Return a sentence for the owner about the probe."""
    return (
        "Each record is moved by the map of the class that a probe predicts for it, so that a release needs no labels. "
        f"On held-out training records the probe is right for {100 * accuracy:.0f} % of them."
    )
