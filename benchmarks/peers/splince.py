"""SPLINCE: an oblique projection that erases suppressed attributes and keeps the covariance with preserved ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sordine.data.statistics import blocks, moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.base import Method
from sordine.methods.leace import LeaceFitter, LeaceModifier
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

RANK = 1e-6  # relative size under which a direction is rounding
APART = 1e-4  # least squared sine of the angle between what is erased and what is kept


@dataclass(frozen=True)
class Splince(Method):
    """Closed form: linear prediction of suppressed attributes is erased, the covariance with preserved ones kept.

    In whitened numbers W (x - E x), let A span the covariances with the one-hot columns of the suppressed attributes,
    and B those with the preserved ones. The projection has the kernel span(A), keeps span(B), and is the identity on
    what is orthogonal to both:

        x' = x - W^+ A (A^T (I - B B^T) A)^-1 A^T (I - B B^T) W (x - E x).

    Source: Holstege, Ravfogel and Wouters, Preserving task-relevant information under linear concept removal, NeurIPS
    2025. It writes the same projection with bases of its range and of the complement of its kernel, of the width of a
    record; here it is two thin products, which need no matrix of that width at the release. Without a preserved
    attribute it is LEACE (Belrose et al., 2023).

    What differs: several attributes of each kind, of any number of classes, are taken together; a policy whose
    preserved attributes share a linear direction with the suppressed ones is refused, because no such projection
    exists.
    """

    name: ClassVar[str] = "splince"

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Compute the projection: two passes for the moments, one for the covariances.

        Raises
        ------
        SordineError
            Where a direction of a preserved attribute is one of a suppressed attribute.
        """
        named = (*policy.suppress, *policy.preserve)
        sizes = [len(table.classes[name]) for name in named]
        fitter = LeaceFitter(moments(table.x)[0], sizes)
        for rows, x in blocks(table.x):
            fitter.update(x, [table.y[name][rows] for name in named])
        covariance, cross = fitter.covariances()
        values, vectors = np.linalg.eigh(covariance)
        alive = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
        vectors, root = vectors[:, alive], np.sqrt(values[alive])
        whitened = (vectors / root).T @ cross
        split = sum(sizes[: len(policy.suppress)])
        erased, kept = _span(whitened[:, :split]), _span(whitened[:, split:])
        across = erased - kept @ (kept.T @ erased)  # (I - B B^T) A
        inner = erased.T @ across
        least = float(np.linalg.eigvalsh(inner)[0]) if inner.size else 1.0
        if least < APART:
            raise SordineError(
                f"method {self.name!r}: {', '.join(policy.suppress)} and {', '.join(policy.preserve)} share a linear "
                "direction, so one cannot be erased while the other is kept; preserve another attribute"
            )
        right = (vectors / root) @ across @ np.linalg.inv(inner)
        left = ((vectors * root) @ erased).T
        mean = fitter.shift + fitter.sum_x / fitter.n
        modifier = LeaceModifier(table.width, right.shape[1])
        modifier.right = torch.from_numpy(right.astype(np.float32)).contiguous()
        modifier.left = torch.from_numpy(left.astype(np.float32)).contiguous()
        modifier.offset = torch.from_numpy((mean @ right).astype(np.float32))
        figures = {"rank": int(right.shape[1]), "kept": int(kept.shape[1]), "apart": least}
        modifier.card = self.card(policy, table, fit=figures)
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        return LeaceModifier(*tensors["right"].shape)


def _span(columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the columns; one-hot columns of an attribute sum to a constant."""
    if not columns.size:
        return np.zeros((len(columns), 0))
    basis, strength, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(basis[:, strength > RANK * max(strength[0], 1e-300)])
