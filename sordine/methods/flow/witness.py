"""Witness functions: high where records of a class are denser than all records; and steps down from them.

Shapes: b or n records, d numbers of a code, h random features, S joint suppressed classes, R rounds, G groupings.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

DAMP = 0.1  # of the mean squared gradient: records where the witness is flat stay in place
SCATTER = 4000  # records at least from which the covariance of features is computed, where there are so many
WIDTHS = (1.0, 2.0, 3.0)  # of frequencies, in turn: coarse to fine


def waves(angles: Tensor) -> Tensor:
    """Return random Fourier features of a Gaussian kernel, up to a factor: (b, h) -> (b, h).

    References
    ----------
    - Random features (2007), alg. 1
    """
    return angles.cos()


def witness(features: Tensor, codes: Tensor, classes: int, ridge: float) -> Tensor:
    """Return a ridge regression of class membership on centred features.

    Parameters
    ----------
    features, codes
        (n, h) features and (n,) class codes below `classes`, k.
    ridge
        Above 0.

    Returns
    -------
    Tensor
        (h, k). Its product with centred features is, for every class, by how much the local share of the class exceeds
        its share of all records, as far as the ridge allows.

    References
    ----------
    - MMD gradient flow (2019), method: the witness function; ridge regression in place of kernel means is ours.
    """
    centred = features - features.mean(0)
    some = centred[:: max(1, len(centred) // SCATTER)]
    gram = some.T @ some / len(some) + ridge * torch.eye(features.shape[1])
    sums = torch.zeros(classes, features.shape[1]).index_add_(0, codes, centred)
    return torch.linalg.solve(gram, sums.T / len(features))


def heights(
    angles: Tensor, directions: Tensor, mean: Tensor, slopes: Tensor, probabilities: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the witness of the classes that each record may be of, and its gradient.

    Parameters
    ----------
    angles
        (b, h) = z directions + phases.
    directions, mean, slopes
        (d, h), (h,) mean features, and (h, k) from `witness`.
    probabilities
        (b, k) class probabilities of each record.

    Returns
    -------
    tuple of Tensor
        (b,) and (b, d).
    """
    own = probabilities @ slopes.T
    return ((waves(angles) - mean) * own).sum(1), -(angles.sin() * own) @ directions.T


def stepped(z: Tensor, height: Tensor, gradient: Tensor, step: float, damp: Tensor) -> Tensor:
    """Return z after `step` of the way that would bring a linear height to 0: (b, d), (b,), (b, d) -> (b, d)."""
    amount = step * height / (gradient.square().sum(1) + damp)
    return z - amount[:, None] * gradient


class Witnesses(nn.Module):
    """The witness steps of a fit, which any record can take after it.

    Parameters
    ----------
    rounds, size, features, classes, groupings
        R, d, h, S and G.
    step
        Share of the way that one step takes.
    """

    directions: Tensor  # (R, size, h), half precision: most of a modifier's file
    phases: Tensor  # (R, h)
    mean: Tensor  # (R, h) of the features
    slopes: Tensor  # (R, h, S); a grouping with fewer groups leaves the last columns 0
    damp: Tensor  # (R,)
    groupings: Tensor  # (G, S): the group of each joint class

    def __init__(self, rounds: int, size: int, features: int, classes: int, groupings: int, step: float) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("directions", torch.zeros(rounds, size, features, dtype=torch.float16))
        self.register_buffer("phases", torch.zeros(rounds, features))
        self.register_buffer("mean", torch.zeros(rounds, features))
        self.register_buffer("slopes", torch.zeros(rounds, features, classes))
        self.register_buffer("damp", torch.ones(rounds))
        self.register_buffer("groupings", torch.zeros(groupings, classes, dtype=torch.long))

    def grouped_as(self, time: int, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities of the groups of the grouping in turn, and that grouping.

        Parameters
        ----------
        time
            Number of the round or of the neighbour step; groupings take turns.
        probabilities
            (b, S) of joint classes.

        Returns
        -------
        tuple of Tensor
            (b, S), whose columns beyond the last group are 0, and (S,).
        """
        grouping = self.groupings[time % len(self.groupings)]
        return torch.zeros_like(probabilities).index_add_(1, grouping, probabilities), grouping

    def draw(self, generator: torch.Generator) -> None:
        """Draw new features for every round, for codes whose numbers have a common deviation of 1."""
        rounds, size, features = self.directions.shape
        for r in range(rounds):
            width = WIDTHS[(r // len(self.groupings)) % len(WIDTHS)] / math.sqrt(size)
            self.directions[r] = (torch.randn(size, features, generator=generator) * width).half()
            self.phases[r] = torch.rand(features, generator=generator) * (2 * math.pi)

    def take(self, round_: int, z: Tensor, probabilities: Tensor) -> Tensor:
        """Return z (b, size) after a learned step, in the precision of z; probabilities (b, S)."""
        directions, slopes = self.directions[round_].to(z.dtype), self.slopes[round_].to(z.dtype)
        angles = z @ directions + self.phases[round_]
        grouped = self.grouped_as(round_, probabilities)[0]
        height, gradient = heights(angles, directions, self.mean[round_], slopes, grouped)
        return stepped(z, height.clamp_min(0), gradient, self.step, self.damp[round_])

    def learn(self, round_: int, z: Tensor, secret: Tensor, probabilities: Tensor, ridge: float) -> Tensor:
        """Learn the witness of a round and return z after its step.

        Parameters
        ----------
        round_
            Number of the round.
        z, secret, probabilities
            (n, size) codes, (n,) joint classes and (n, S) class probabilities of the records of the fit.
        ridge
            Of the regression.

        Returns
        -------
        Tensor
            (n, size).
        """
        directions = self.directions[round_].float()
        angles = z @ directions + self.phases[round_]
        features = waves(angles)
        grouped, grouping = self.grouped_as(round_, probabilities)
        self.mean[round_] = features.mean(0)
        self.slopes[round_] = witness(features, grouping[secret], probabilities.shape[1], ridge)
        height, gradient = heights(angles, directions, self.mean[round_], self.slopes[round_], grouped)
        self.damp[round_] = (DAMP * gradient.square().sum(1).mean()).clamp_min(1e-12)
        return stepped(z, height.clamp_min(0), gradient, self.step, self.damp[round_])
