"""LEACE: least-squares concept erasure in closed form.

Among all affine maps after which no affine predictor of Z has a lower convex loss than a constant, it is the one that
changes x least:

    r(x) = x - W^+ P W (x - E x),   W = (Sigma_XX^1/2)^+,   P the orthogonal projection onto the columns of W Sigma_XZ.

Z holds the one-hot columns of all suppressed attributes, so that several attributes of any number of classes are erased
at once. Of a continuous attribute it holds the standardised numbers. The theorem is about linear attackers only; the
audit measures the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sordine.data.statistics import blocks, moments
from sordine.data.table import Table
from sordine.methods.base import Method
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run


class LeaceModifier(Modifier):
    """x' = x - left right (x - mean), with right = V^T W and left = W^+ V.

    Parameters
    ----------
    width
        Numbers of a record.
    rank
        k, the rank of the erased part. The buffers are `right` (width, k) and `left` (k, width), both transposed for
        row vectors, and `offset` (k,) = mean right.
    """

    right: Tensor
    left: Tensor
    offset: Tensor

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("right", torch.zeros(width, rank))
        self.register_buffer("left", torch.zeros(rank, width))
        self.register_buffer("offset", torch.zeros(rank))

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return erased records (b, *shape), by two thin products without a temporary of the size of the records."""
        flat = x.reshape(len(x), -1)
        code = torch.addmm(self.offset, flat, self.right, beta=-1)  # (b, k)
        return Release(torch.addmm(flat, code, self.left, alpha=-1).reshape(x.shape))


@dataclass
class LeaceFitter:
    """Streaming statistics: call `update` with blocks of records, then `solve`. All sums are float64.

    Parameters
    ----------
    shift
        (width,), subtracted from every record first; the mean, or a point near it.
    sizes
        Number of columns of each attribute: its classes, or the numbers of a continuous one.
    """

    shift: np.ndarray
    sizes: list[int]

    def __post_init__(self) -> None:
        width, total = len(self.shift), sum(self.sizes)
        self.n = 0
        self.sum_x = np.zeros(width)
        self.xx = np.zeros((width, width))
        # per one-hot column: how many labelled records, how many of the class, and the sums of x over each
        self.labelled = np.zeros(total)
        self.count = np.zeros(total)
        self.sum_labelled = np.zeros((total, width))
        self.sum_class = np.zeros((total, width))

    def update(self, x: np.ndarray, labels: list[np.ndarray]) -> None:
        """Add records x (b, width) with their labels of each attribute.

        Labels are class codes (b,), -1 where unlabelled, or numbers (b, k) float, NaN where unlabelled. Unlabelled
        records are ignored for that attribute.
        """
        x = x - self.shift
        self.n += len(x)
        self.sum_x += x.sum(0)
        self.xx += x.T @ x
        first = 0
        for codes, size in zip(labels, self.sizes, strict=True):
            part = slice(first, first + size)
            onehot = np.zeros((len(x), size))
            if codes.dtype.kind == "f":
                known = np.isfinite(codes).all(1)
                onehot[known] = codes[known]
            else:
                known = codes >= 0
                onehot[known, codes[known]] = 1.0
            self.labelled[part] += known.sum()
            self.count[part] += onehot.sum(0)
            self.sum_labelled[part] += x[known].sum(0)
            self.sum_class[part] += onehot.T @ x
            first += size

    def covariances(self) -> tuple[np.ndarray, np.ndarray]:
        """Return Sigma_XX (width, width) and Sigma_XZ (width, number of all classes)."""
        mean = self.sum_x / self.n
        sigma_xx = self.xx / self.n - np.outer(mean, mean)
        known = np.maximum(self.labelled, 1)
        sigma_zx = self.sum_class / known[:, None] - (self.count / known)[:, None] * self.sum_labelled / known[:, None]
        return sigma_xx, sigma_zx.T

    def solve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean (width,), right (width, k) and left (k, width) of the modifier, in float64."""
        sigma_xx, sigma_xz = self.covariances()
        values, vectors = np.linalg.eigh(sigma_xx)
        alive = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
        vectors, root = vectors[:, alive], np.sqrt(values[alive])
        whitened = (vectors / root).T @ sigma_xz  # W Sigma_XZ, in W's own coordinates
        basis, strength, _ = np.linalg.svd(whitened, full_matrices=False)
        # Correlations under 1e-6 of the largest are rounding: the one-hot columns of an attribute sum to one.
        basis = basis[:, strength > 1e-6 * max(strength[0], 1e-300)] if strength.size else basis[:, :0]
        right = (vectors / root) @ basis
        left = ((vectors * root) @ basis).T
        return self.shift + self.sum_x / self.n, right, left


def _standardised(values: np.ndarray) -> np.ndarray:
    """Return a continuous attribute (n,) or (n, k) as (n, k) float64 with mean 0 and deviation 1; NaN stays."""
    z = values.reshape(len(values), -1).astype(np.float64)
    scale = np.nanstd(z, axis=0)
    return np.asarray((z - np.nanmean(z, axis=0)) / np.where(scale > 0, scale, 1.0))


@dataclass(frozen=True)
class Leace(Method):
    """LEACE, a closed form without options.

    References
    ----------
    - LEACE (2023), thm. 4.3: the affine form, with the mean kept.
    """

    name: ClassVar[str] = "leace"
    takes_continuous: ClassVar[bool] = True
    guarantee: ClassVar[str] = (
        "Proved: on the records of the fit as a whole, no linear predictor of a suppressed attribute has a lower "
        "squared or logistic loss than a constant prediction. This is about an attacker that knows no label of a "
        "fitted record. One that knows labels of some of them may infer more of the others. Nothing is proved of "
        "other attackers, or of other records."
    )

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Compute the eraser: two passes for the moments, one for the covariances.

        Memory grows with width^2, and does not depend on the number of records.
        """
        labels = [_standardised(table.targets[s]) if s in table.targets else table.y[s] for s in policy.suppress]
        sizes = [
            y.shape[1] if y.ndim > 1 else len(table.classes[s]) for s, y in zip(policy.suppress, labels, strict=True)
        ]
        fitter = LeaceFitter(moments(table.x)[0], sizes)
        for rows, x in blocks(table.x):
            fitter.update(x, [y[rows] for y in labels])
        mean, right, left = fitter.solve()
        modifier = LeaceModifier(table.width, right.shape[1])
        modifier.right = torch.from_numpy(right.astype(np.float32)).contiguous()
        modifier.left = torch.from_numpy(left.astype(np.float32)).contiguous()
        modifier.offset = torch.from_numpy((mean @ right).astype(np.float32))
        note = (
            "On the records of the fit, no linear predictor of a suppressed attribute has a lower squared or logistic "
            "loss than a constant prediction. Attackers that are not linear usually infer it as before."
        )
        modifier.card = self.card(policy, table, fit={"rank": int(right.shape[1])}, notes=[note])
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        return LeaceModifier(*tensors["right"].shape)
