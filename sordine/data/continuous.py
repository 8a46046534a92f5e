"""Continuous attributes: numbers such as an age, or vectors such as an embedding, and the classes they are cut into.

What needs classes (methods that learn from classes, the split, attacks that predict a class) uses quantile classes: at
most ten classes of about equal size. The numbers themselves stay in `Table.targets`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sordine.errors import SordineError

CLASSES = 10  # quantile classes, at most
RECORDS_A_CLASS = 20  # on average, at least
_LEARNT = 5000  # vectors from which clusters are made, at most


@dataclass(frozen=True)
class QuantileClasses:
    """The classes of a continuous attribute.

    Parameters
    ----------
    edges
        (c - 1,) ascending: class i has the numbers from edge i - 1 up to below edge i. Of an embedding (c, k): centres
        of clusters, and a vector has the class of the nearest one.
    scale
        Of an embedding, (k,) standard deviations in which distances are measured.
    names
        Names of the classes, by code.
    """

    edges: np.ndarray
    names: tuple[str, ...]
    scale: np.ndarray | None = None

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Return the class code of each value (n,) or (n, k): (n,) int64, -1 where it is unlabelled."""
        known = labelled(values)
        codes = np.full(len(values), -1, np.int64)
        if not self.names:
            return codes
        if self.scale is None:
            codes[known] = np.searchsorted(self.edges, values[known], side="right")
            return codes
        z, centres = values[known] / self.scale, self.edges / self.scale
        squares = (z**2).sum(1)[:, None] - 2 * z @ centres.T + (centres**2).sum(1)[None, :]
        codes[known] = squares.argmin(1)
        return codes


def labelled(values: np.ndarray) -> np.ndarray:
    """Return which values (n,) or (n, k) are labelled: all their numbers are finite. (n,) bool."""
    finite = np.isfinite(values)
    return finite if values.ndim == 1 else np.asarray(finite.all(1))


def quantile_classes(values: np.ndarray) -> QuantileClasses:
    """Return the classes of a continuous attribute; the order of the records makes no difference.

    Parameters
    ----------
    values
        (n,) numbers, or (n, k) vectors, NaN where unlabelled.

    Returns
    -------
    QuantileClasses
        At most ten classes, fewer for fewer than 200 labelled records or where values repeat often. Every class has at
        least two records, unless all values are equal or there are fewer than four. No class where none is labelled.
    """
    known = values[labelled(values)].astype(np.float64)
    wanted = int(np.clip(len(known) // RECORDS_A_CLASS, 2, CLASSES))
    if not len(known):
        return QuantileClasses(np.zeros(0), ())
    if values.ndim > 1:
        return _clusters(known, wanted)
    edges = np.unique(np.quantile(known, np.arange(1, wanted) / wanted))
    edges = edges[edges > known.min()]
    if not len(edges) and known.max() > known.min():  # most values are the smallest one
        edges = np.array([known[known > known.min()].min()])
    while len(edges):
        counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
        few = int(counts.argmin())
        if counts[few] >= 2:
            break
        edges = np.delete(edges, min(few, len(edges) - 1))
    return QuantileClasses(edges, _names(edges, known))


def _names(edges: np.ndarray, known: np.ndarray) -> tuple[str, ...]:
    """Names such as `17 to below 22`, with as many digits as tell the edges apart."""
    marks = [float(known.min()), *edges.tolist()]
    for digits in (4, 6, 9, 17):
        texts = [f"{m:.{digits}g}" for m in marks]
        if len(set(texts)) == len(texts):
            break
    ends = [*(f"to below {t}" for t in texts[1:]), f"to {float(known.max()):.{digits}g}"]
    return tuple(f"{a} {b}" for a, b in zip(texts, ends, strict=True))


def _clusters(known: np.ndarray, wanted: int) -> QuantileClasses:
    from sklearn.cluster import KMeans  # slow to import, and rarely needed

    scale = known.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    known = known[np.lexsort(known.T[::-1])]
    some = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), _LEARNT)).astype(int))]
    wanted = min(wanted, len(np.unique(some, axis=0)))
    made = KMeans(wanted, n_init=1, random_state=0).fit(some / scale)
    return QuantileClasses(made.cluster_centers_ * scale, tuple(f"cluster {i + 1}" for i in range(wanted)), scale)


def check_values(values: np.ndarray, where: str) -> np.ndarray:
    """Return a continuous attribute as (n,) or (n, k) float32.

    Raises
    ------
    SordineError
        Where it has another number of axes or a value is infinite or too large; the message names the first row.
    """
    values = np.asarray(values, np.float64)
    if values.ndim not in (1, 2) or 0 in values.shape[1:]:
        raise SordineError(f"{where} has shape {values.shape}; give one number or one vector for each record")
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    _require_finite(found, where)
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def _require_finite(values: np.ndarray, where: str) -> None:
    bad = np.isinf(values) if values.ndim == 1 else np.isinf(values).any(1)
    if bad.any():
        raise SordineError(
            f"{where} contains infinity or a number too large in row {int(bad.argmax())}; replace it or leave it empty"
        )


def require_variation(values: np.ndarray, where: str) -> None:
    """Raise SordineError where a continuous attribute is infinite, has no labels or has only one value."""
    _require_finite(values, where)
    known = values[labelled(values)]
    if not len(known):
        raise SordineError(f"{where} has no labels; label some records, or remove it from the policy")
    if (known == known[0]).all():
        shown = f"{float(known[0]):g}" if known.ndim == 1 else "one vector"
        raise SordineError(
            f"{where} has one value only ({shown}); at least two are needed, so remove it from the policy"
        )
