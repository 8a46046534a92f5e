"""Two sets with a known best attacker: the replacement paper's Gaussians in the plane, and a discrete channel."""

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
    """The plane of Martinsson et al., section 4: n records (n, 2), of which `test` (default: a quarter) are held back.

    secret: which of two normal distributions the record is from, means (-1, 1) and (1, -1), covariance .7 I, drawn with
    equal probability. The best attacker's accuracy is Phi(sqrt 2 / sqrt .7) = .9545 (`BAYES_ACCURACY`): which side of the
    line x0 = x1.
    utility: on which side of x0 + x1 = 0 it lies: ours, not the paper's (whose utility is the distance moved). It is
    independent of the secret, and decided by x.
    The paper's size: gaussians(PAPER_TRAIN + PAPER_TEST, seed, test=PAPER_TEST).

    Raises SordineError where n and test leave no training or test record.
    """
    held = n // 4 if test is None else test
    if not 0 < held < n:
        raise SordineError(f"gaussians: {held} test records of {n}: both sides of the split need some")
    rng = numpy_rng(seed, "gaussians")
    secret = rng.integers(0, 2, n)
    x = (MEANS[secret] + np.sqrt(VARIANCE) * rng.standard_normal((n, 2))).astype(np.float32)
    utility = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    split = np.where(np.arange(n) < n - held, "train", "test")
    return Table.of(x, {"secret": secret, "utility": utility}, split=split, source="gaussians")


class Channel(NamedTuple):
    """Records released through a discrete channel, and what can be read from them.

    table: x is the output's one-hot vector, the only attribute is `secret`. accuracy: of the best attacker there is,
    sum over j of max over s of P(s, j). conditional: P(j | s), (classes, outputs).
    """

    table: Table
    accuracy: float
    conditional: np.ndarray


def channel(n: int, classes: int, outputs: int, accuracy: float, seed: int) -> Channel:
    """n records released through a channel from which the best attacker reads `secret` with exactly this accuracy.

    Every class is equally probable. With probability t the output comes from a distribution of the class's own, on outputs
    of its own, and otherwise from one that all classes share; so the best accuracy is t + (1 - t) / classes, which is
    solved for t. No output gives its class away for certain unless t is 1.

    Raises SordineError where there are fewer outputs than classes, or the accuracy is not between 1 / classes and 1.
    """
    if not 2 <= classes <= outputs:
        raise SordineError(
            f"channel: {classes} classes and {outputs} outputs: 2 or more classes, outputs at least as many"
        )
    if not 1 / classes <= accuracy <= 1:
        raise SordineError(f"channel: accuracy {accuracy} is not between 1 / classes = {1 / classes:.3f} and 1")
    rng = numpy_rng(seed, "channel")
    owner = rng.permutation(np.arange(outputs) % classes)
    own = rng.uniform(0.5, 1.5, outputs) * (owner == np.arange(classes)[:, None])
    own /= own.sum(axis=1, keepdims=True)
    shared = rng.uniform(0.5, 1.5, outputs)
    shared /= shared.sum()
    t = (accuracy - 1 / classes) / (1 - 1 / classes)
    conditional = t * own + (1 - t) * shared
    secret = rng.integers(0, classes, n)
    # The inverse of the distribution function, a class at a time.
    output = np.empty(n, np.int64)
    draw = rng.random(n)
    for s in range(classes):
        rows = secret == s
        output[rows] = np.searchsorted(np.cumsum(conditional[s])[:-1], draw[rows], side="right")
    table = Table.of(np.eye(outputs, dtype=np.float32)[output], {"secret": secret}, source="channel")
    return Channel(table, float(conditional.max(axis=0).sum() / classes), conditional)
