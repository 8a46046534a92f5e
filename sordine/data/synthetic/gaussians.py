"""Two data sets with a known best attacker: Gaussians in the plane (Replacement), and a discrete output."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng

MEANS = np.array([[-1.0, 1.0], [1.0, -1.0]])
VARIANCE = 0.7
BAYES_ACCURACY = float(ndtr(np.linalg.norm(MEANS[1] - MEANS[0]) / 2 / np.sqrt(VARIANCE)))
PAPER_TRAIN, PAPER_TEST = 400_000, 2_560


def gaussians(n: int, seed: int, *, test: int | None = None) -> Table:
    """Return records of two normal distributions in the plane (Martinsson et al., section 4).

    Attribute `secret` is the distribution of the record, with equal probability: means (-1, 1) and (1, -1), covariance
    0.7 I. The best attacker decides by the side of the line x0 = x1; its accuracy is Phi(sqrt 2 / sqrt .7) = .9545
    (`BAYES_ACCURACY`). Attribute `utility` is the side of x0 + x1 = 0; it is not in the paper, whose utility is the
    distance moved. It is independent of the secret and decided by x.

    Parameters
    ----------
    n
        Number of records; the paper's is PAPER_TRAIN + PAPER_TEST, with test=PAPER_TEST.
    seed
        Of the draws.
    test
        Number of test records; by default a quarter.

    Returns
    -------
    Table
        x is (n, 2).

    Raises
    ------
    SordineError
        Where n and test leave no training or test record.
    """
    held_out = n // 4 if test is None else test
    if not 0 < held_out < n:
        raise SordineError(f"gaussians: {held_out} test records of {n}; both sides of the split need at least one")
    rng = numpy_rng(seed, "gaussians")
    secret = rng.integers(0, 2, n)
    x = (MEANS[secret] + np.sqrt(VARIANCE) * rng.standard_normal((n, 2))).astype(np.float32)
    utility = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    split = np.where(np.arange(n) < n - held_out, "train", "test")
    return Table.of(x, {"secret": secret, "utility": utility}, split=split, source="gaussians")


class Channel(NamedTuple):
    """Records with a discrete output, and the accuracy of the best attacker.

    Attributes
    ----------
    table
        x is the one-hot vector of the output; the only attribute is `secret`.
    accuracy
        Of the best attacker: the sum over j of the maximum over s of P(s, j).
    conditional
        (classes, outputs) P(j | s).
    """

    table: Table
    accuracy: float
    conditional: np.ndarray


def channel(n: int, classes: int, outputs: int, accuracy: float, seed: int) -> Channel:
    """Return records with a discrete output from which the best attacker infers `secret` with a given accuracy.

    All classes have the same probability. With probability t the output comes from outputs of the class alone,
    otherwise from a distribution that all classes share. The best accuracy is t + (1 - t) / classes, which is solved
    for t. No output determines the class unless t is 1.

    Parameters
    ----------
    n
        Number of records.
    classes, outputs
        Numbers of classes and of outputs.
    accuracy
        Of the best attacker, from 1 / classes to 1.
    seed
        Of the draws.

    Raises
    ------
    SordineError
        Where there are fewer outputs than classes, or the accuracy is out of range.
    """
    if not 2 <= classes <= outputs:
        raise SordineError(
            f"channel: {classes} classes and {outputs} outputs; at least 2 classes and as many outputs are needed"
        )
    if not 1 / classes <= accuracy <= 1:
        raise SordineError(f"channel: accuracy is {accuracy}; it must be from 1 / classes = {1 / classes:.3f} to 1")
    rng = numpy_rng(seed, "channel")
    owner = rng.permutation(np.arange(outputs) % classes)
    own = rng.uniform(0.5, 1.5, outputs) * (owner == np.arange(classes)[:, None])
    own /= own.sum(axis=1, keepdims=True)
    shared = rng.uniform(0.5, 1.5, outputs)
    shared /= shared.sum()
    t = (accuracy - 1 / classes) / (1 - 1 / classes)
    conditional = t * own + (1 - t) * shared
    secret = rng.integers(0, classes, n)
    # Sampling by the inverse distribution function, class by class.
    output = np.empty(n, np.int64)
    draw = rng.random(n)
    for s in range(classes):
        rows = secret == s
        output[rows] = np.searchsorted(np.cumsum(conditional[s])[:-1], draw[rows], side="right")
    table = Table.of(np.eye(outputs, dtype=np.float32)[output], {"secret": secret}, source="channel")
    return Channel(table, float(conditional.max(axis=0).sum() / classes), conditional)
