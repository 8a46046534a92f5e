"""How many independent records predictions are worth, where records belong to persons or other groups."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit


def effective_records(truth: np.ndarray, predicted: np.ndarray, unit: np.ndarray) -> float:
    """Return the number of independent records whose accuracy varies as much as that of these predictions.

    It is n / deff. The design effect deff is at least 1, and the larger of two estimates. Both concern the agreement of
    truth and prediction beyond that of two independent labels with the same class frequencies.

    - By chance: the variance of the agreement if predictions carry no information on truth, from the covariances
      within units of truth and of predictions. For two classes and units of m records it is 1 + (m - 1) times the
      product of their intraclass correlations (Moulton, 1986). So units count as records where truth or predictions
      are independent within them, and persons count once where truth and predictions are constant within them. Because
      chance alone decides, few units that happen to be predicted alike do not make it smaller.
    - As observed: the variance of the agreement between units over that between records (a cluster-robust variance;
      Liang and Zeger, 1986). It covers attackers that are right for some units and wrong for others, whatever the
      class. It rests on one number a unit, so its excess over 1 is multiplied by the square of the ratio of Student's
      quantile, with one degree of freedom less than units, to the normal one (Cameron and Miller, 2015).

    Predictions of one class only do not show how alike those within a unit are. They then count as constant within it.

    Parameters
    ----------
    truth, predicted
        (n,) labels and predictions.
    unit
        (n,) codes of the units. Records of different units are independent.

    Returns
    -------
    float
        From 1 to n; n where every unit has one record.

    References
    ----------
    Moulton (1986), Random group effects and the precision of regression estimates, Journal of Econometrics 32.
    Liang and Zeger (1986), Longitudinal data analysis using generalized linear models, Biometrika 73.
    Cameron and Miller (2015), A practitioner's guide to cluster-robust inference, Journal of Human Resources 50.
    """
    n = len(truth)
    _, codes, sizes = np.unique(unit, return_inverse=True, return_counts=True)
    if len(sizes) == n:
        return float(n)
    case = _Units(codes.ravel(), sizes.astype(np.float64))
    present = np.unique(np.concatenate([truth, predicted]))
    t, p = _centred(truth, present), _centred(predicted, present)
    effect = max(1 + _excess_by_chance(case, t, p), 1 + _excess_observed(case, (t * p).sum(1)) * case.widening)
    return max(n / max(effect, 1.0), 1.0)


class _Units:
    # Units as codes 0, 1, ... and their numbers of records.

    def __init__(self, codes: np.ndarray, sizes: np.ndarray) -> None:
        self.codes, self.sizes = codes, sizes
        several = sizes[sizes > 1]
        self.pairs = float((several * (several - 1)).sum())
        # Units of equal size that vary as these do. One unit alone shows no variance between units: it counts as two.
        self.count = max(float(several.sum() ** 2 / (several**2).sum()), 2.0)
        self.small = self.count / (self.count - 1)
        self.widening = float(stdtrit(self.count - 1, 0.975) / ndtri(0.975)) ** 2

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sums (units, k) of values (n, k)."""
        return np.stack([np.bincount(self.codes, column, len(self.sizes)) for column in values.T], axis=1)

    def covariance(self, values: np.ndarray) -> np.ndarray:
        """The mean covariance (k, k) of two records of one unit, from centred values (n, k)."""
        sums = self.sums(values)
        return np.asarray((sums.T @ sums * self.small - values.T @ values) / self.pairs)


def _centred(labels: np.ndarray, present: np.ndarray) -> np.ndarray:
    # Indicators (n, classes) minus the frequencies of the classes.
    indicators = (labels[:, None] == present).astype(np.float64)
    return np.asarray(indicators - indicators.mean(0))


def _excess_by_chance(units: _Units, truth: np.ndarray, predicted: np.ndarray) -> float:
    n = len(truth)
    alone = [values.T @ values / n for values in (truth, predicted)]
    variance = float((alone[0] * alone[1]).sum())
    if variance > 0:
        return units.pairs / n * float((units.covariance(truth) * units.covariance(predicted)).sum()) / variance
    spread = float(np.trace(alone[0]))
    if spread == 0:  # one class only: nothing shows how alike records of a unit are
        return units.pairs / n
    return units.pairs / n * float(np.trace(units.covariance(truth))) / spread


def _excess_observed(units: _Units, agreement: np.ndarray) -> float:
    moved = agreement - agreement.mean()
    alone = float(moved @ moved)
    if alone < 1e-12 * len(moved):
        return 0.0
    return max(float((units.sums(moved[:, None]) ** 2).sum()) * units.small / alone - 1, 0.0)
