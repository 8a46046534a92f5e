"""The result of an attack with a control attack, and the space in which such attacks compare records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from sordine.attacks.base import moments
from sordine.attacks.principal_axes import principal_axes
from sordine.metrics.percent import percent
from sordine.metrics.risk import Share, risk

BOUND = 0.05  # risk up to which one attack in 20 succeeds because of the release: the limit of leakage by default
EXACT = 768  # numbers of a record up to which every axis is computed
AXES = 256  # of wider records
SHORTEST = 1e-6  # squared length of an axis that counts, as a share of the longest

Knows = Literal["record", "release", "originals", "modifier"]


@dataclass(frozen=True)
class RiskFinding:
    """How often an attack succeeds, how often its control does, and the risk: (attack - control) / (1 - control).

    Parameters
    ----------
    attack
        What the attacker does, in words.
    knows
        What it has beside the record that it asks about: nothing ("record"), released records, the originals, or the
        modifier too.
    on
        The records it is tested on: "fitted", "unseen" or "both".
    measure
        What is measured: "share" of trials, "auc", "found" (the share of members found at 1 % false ones) or "r2".
    success, success_interval
        Of the attack, with a 95 % interval.
    control, control_interval
        Of the same attack where the release can tell nothing.
    risk, risk_interval
        None where the control always succeeds.
    least
        Lower end of the interval of the risk, corrected for the number of attacks among which the worst is looked for.
    trials, controls
        Numbers of trials of the attack and of the control.
    """

    attack: str
    knows: Knows
    on: Literal["fitted", "unseen", "both"]
    measure: Literal["share", "auc", "found", "r2"]
    success: float
    success_interval: tuple[float, float]
    control: float
    control_interval: tuple[float, float]
    risk: float | None
    risk_interval: tuple[float, float] | None
    least: float | None
    trials: int
    controls: int

    @property
    def about(self) -> str:
        """The risk with its interval, in words."""
        if self.risk is None or self.risk_interval is None:
            return "risk: unknown"
        low, high = (percent(end) for end in self.risk_interval)
        return f"risk: {percent(self.risk)}, interval {low} to {high}"

    @property
    def clear(self) -> bool:
        """Whether the risk is surely above `BOUND`."""
        return self.least is not None and self.least > BOUND


@dataclass(frozen=True)
class Attempt:
    """An attack and its control before the number of attacks is known.

    Parameters
    ----------
    attack, knows, on, measure, trials, controls
        As in `RiskFinding`.
    at
        Returns the figures of attack and control, with intervals of a confidence.
    """

    attack: str
    knows: Knows
    on: Literal["fitted", "unseen", "both"]
    measure: Literal["share", "auc", "found", "r2"]
    at: Callable[[float], tuple[Share, Share]]
    trials: int
    controls: int

    def finding(self, attacks: int) -> RiskFinding:
        """Return the finding, where this is one of so many attacks."""
        success, control = self.at(0.95)
        found, corrected = risk(success, control), risk(*self.at(1 - 0.05 / attacks))
        finite = found is not None and np.isfinite(found.low)
        return RiskFinding(
            attack=self.attack,
            knows=self.knows,
            on=self.on,
            measure=self.measure,
            success=success.value,
            success_interval=success[1:],
            control=control.value,
            control_interval=control[1:],
            risk=None if found is None else found.value,
            risk_interval=None if found is None or not finite else found[1:],
            least=None if corrected is None or not np.isfinite(corrected.low) else corrected.low,
            trials=self.trials,
            controls=self.controls,
        )


def findings(attempts: Sequence[Attempt]) -> tuple[RiskFinding, ...]:
    """Return the findings of attacks among which the worst is looked for."""
    return tuple(attempt.finding(len(attempts)) for attempt in attempts)


@dataclass(frozen=True)
class Space:
    """Two spaces in which an attacker compares records: standardised numbers, and whitened axes.

    Parameters
    ----------
    x
        (n, d) float32: the records that set the scale.
    """

    x: np.ndarray

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        return moments(self.x)

    @cached_property
    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        # (d, k) axes, and the standard deviations (k,) of the records along them.
        z = self.standardised(self.x)
        if self.x.shape[1] > EXACT:
            along = principal_axes(self.x, AXES).along
            return along, np.maximum((z @ along).std(0), 1e-6)
        length, along = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
        keep = np.argsort(-length)
        keep = keep[length[keep] > SHORTEST * max(float(length.max()), 1e-12)]
        return along[:, keep], np.sqrt(length[keep])

    @cached_property
    def _whitening(self) -> np.ndarray:
        along, spread = self._axes
        return np.asarray(along / spread, np.float32)

    def standardised(self, x: np.ndarray) -> np.ndarray:
        """Return records (m, d) in standard deviations from the mean of each number."""
        mean, scale = self._moments
        return np.asarray((x - mean) / scale, np.float32)

    def whitened(self, x: np.ndarray) -> np.ndarray:
        """Return records (m, d) on the axes, each in units of its spread: (m, k)."""
        return np.asarray(self.standardised(x) @ self._whitening, np.float32)

    def decorrelated(self, x: np.ndarray) -> np.ndarray:
        """Return `whitened` records (m, d) turned back from the axes to the numbers: (m, d).

        The axes of two sets of records differ, also in sign. So records of both are compared in numbers.
        """
        return np.asarray(self.whitened(x) @ self._axes[0].T.astype(np.float32), np.float32)


@dataclass(frozen=True)
class Comparison:
    """A way to compare originals with released records.

    Parameters
    ----------
    name
        The numbers that are compared, in words.
    original, released
        Return originals (m, d) and released records (n, d) in these numbers.
    """

    name: str
    original: Callable[[np.ndarray], np.ndarray]
    released: Callable[[np.ndarray], np.ndarray]


def comparisons(originals: Space, released: Space) -> tuple[Comparison, ...]:
    """Return the ways to compare records, on the scale of the originals and with each side on its own scale.

    The first two find what is released as it is. The others find it where the release has another mean or spread: an
    attacker with other originals knows the distributions of both sides.
    """
    return (
        Comparison("standardised numbers", originals.standardised, originals.standardised),
        Comparison("whitened numbers", originals.whitened, originals.whitened),
        Comparison("numbers standardised on each side", originals.standardised, released.standardised),
        Comparison("numbers whitened on each side", originals.decorrelated, released.decorrelated),
    )


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the squared distance of every record of a (m, d) to every one of b (n, d): (m, n) float32, at least 0."""
    lengths = (a**2).sum(1)[:, None] + (b**2).sum(1)
    return np.asarray(np.maximum(lengths - 2 * (a @ b.T), 0), np.float32)
