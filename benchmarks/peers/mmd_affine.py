"""An affine map for each class, or one for all, fitted by gradient on the maximum mean discrepancy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.common import centred, classes_of, empty_probe, fit_probe, median_distance, predicted_note
from benchmarks.peers.gaussian_ot import AffineModifier
from sordine.data.table import Table
from sordine.keys import numpy_rng
from sordine.methods.base import Method
from sordine.methods.options import BatchSize, NonNegative, Rate, SmallCount, SmallCountOrZero
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

BANDWIDTHS = (0.5, 1.0, 2.0)  # times the median distance


@dataclass(frozen=True)
class MMDAffine(Method):
    """Affine maps under which the classes have a small maximum mean discrepancy, and records change little.

    Minimised over the maps T_k, by stochastic gradients from the shift of means on:

        sum_k w_k || mean phi(T_k x | k) - mean phi(T x) ||^2 / c + distance * mean || T x - x ||^2 / width

    where x is standardised, w_k is the share of the class and c is the first sum without a map. phi are random Fourier
    features of Gaussian kernels of three bandwidths, drawn afresh in each step, so that the cost is linear in the
    records.

    Sources: Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A kernel two-sample test (2012), for the discrepancy;
    Rahimi and Recht, Random features for large-scale kernel machines (2007), for the features; Singh et al.,
    Representation surgery: theory and practice of affine steering (2024), for affine maps of representations by class.
    No one paper has exactly this objective: it is the plainest affine eraser by MMD.

    The class of every record is predicted by a probe, where each class has a map. Several suppressed attributes are one
    attribute of all combinations.

    Parameters
    ----------
    maps
        `class`: one map for each class, chosen by the predicted class; `shared`: one map for all records.
    distance
        Weight of the change of records.
    steps, batch, rate
        Steps, records of a step, and learning rate of Adam.
    features
        Random features of each step.
    probe_features
        Random features of the probe; 0 for a linear probe.
    """

    maps: Literal["class", "shared"] = "class"
    distance: NonNegative = 0.01
    steps: SmallCount = 300
    batch: BatchSize = 2048
    rate: Rate = 3e-3
    features: SmallCount = 300
    probe_features: SmallCountOrZero = 1024

    name: ClassVar[str] = "mmd-affine"

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Fit the maps; then, where each class has one, the probe."""
        codes = classes_of(table, policy, self.name)
        centre, scale, z = centred(table)
        known = codes >= 0
        varies = z.any(0)  # a constant number stays what it is
        mean, shift, change = self._train(z[known], codes[known], run)
        shared = self.maps == "shared"
        features = 0 if shared else self.probe_features
        probe, accuracy = fit_probe(table, np.where(known, 0, -1) if shared else codes, features, run.seed)
        modifier = AffineModifier(probe, len(mean), table.width)
        modifier.mean = torch.from_numpy((mean * scale + centre).astype(np.float32))
        modifier.shift = torch.from_numpy((shift * scale * varies).astype(np.float32))
        change = change * (scale * varies) / scale[:, None]
        modifier.change = torch.from_numpy(change.astype(np.float32))
        notes = [] if shared else [predicted_note(accuracy)]
        modifier.card = self.card(policy, table, fit={} if shared else {"probe": accuracy}, notes=notes)
        return modifier

    def _train(self, z: np.ndarray, codes: np.ndarray, run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean, shift (maps, width) and change (maps, width, width) for standardised records."""
        classes, width = int(codes.max()) + 1, z.shape[1]
        rng = numpy_rng(run.seed, "mmd-affine")
        bandwidth = median_distance(z, run.seed) * np.resize(BANDWIDTHS, self.features)
        x, of = torch.from_numpy(z).to(run.device), torch.from_numpy(codes).to(run.device)
        means = torch.stack([x[of == k].mean(0) for k in range(classes)])
        share = torch.bincount(of, minlength=classes) / len(of)
        centre = share @ means
        own = self.maps == "class"
        mean = means if own else centre[None]
        shift = (centre - mean).requires_grad_()
        change = torch.zeros(len(mean), width, width, device=run.device, requires_grad=True)
        groups = [{"params": [shift], "lr": self.rate}, {"params": [change], "lr": self.rate / np.sqrt(width)}]
        optimiser = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        whole = None
        for step in range(self.steps):
            rows = torch.from_numpy(rng.permutation(len(z))[: self.batch]).to(run.device)
            rows = rows[torch.argsort(of[rows], stable=True)]
            frequencies = rng.standard_normal((width, self.features)) / bandwidth
            phase = rng.uniform(size=self.features) * 2 * np.pi
            drawn = [torch.from_numpy(a.astype(np.float32)).to(run.device) for a in (frequencies, phase)]
            code, part = of[rows], x[rows]
            to = _moved(part, code if own else torch.zeros_like(code), mean, shift, change)
            if whole is None:  # of the originals
                whole = _discrepancy(part, code, classes, *drawn).clamp_min(1e-12)
            loss = _discrepancy(to, code, classes, *drawn) / whole + self.distance * (to - part).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            run.step("steps", step + 1, self.steps)
        mean, shift, change = (t.detach().cpu() for t in (mean, shift, change))
        return tuple(t.double().numpy() for t in (mean, shift, change))  # type: ignore[return-value]

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        return AffineModifier(empty_probe(tensors), *tensors["mean"].shape)


def _moved(x: Tensor, code: Tensor, mean: Tensor, shift: Tensor, change: Tensor) -> Tensor:
    """Return moved records of a batch that is sorted by class."""
    parts = []
    for k in torch.unique(code).tolist():
        own = x[code == k]
        parts.append(own + shift[k] + (own - mean[k]) @ change[k])
    return torch.cat(parts)


def _discrepancy(x: Tensor, code: Tensor, classes: int, frequencies: Tensor, phase: Tensor) -> Tensor:
    """Return the squared discrepancy of each class from all records, averaged with the shares of the classes."""
    features = torch.cos(torch.addmm(phase, x, frequencies)) * np.sqrt(2 / len(phase))
    onehot = torch.nn.functional.one_hot(code, classes).to(features.dtype)
    count = onehot.sum(0)
    means = (onehot.T @ features) / count.clamp_min(1)[:, None]
    apart = (means - features.mean(0)).square().sum(1)
    return (apart * count).sum() / count.sum()
