"""Witnesses: for each class of what is suppressed, a smooth function that is high where the class's records lie thicker than the others';
and steps that take records down from them until no class is to be told."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

DAMP = 0.1  # of the mean squared gradient: records where the witness is flat stay where they are
WIDTHS = (1.0, 2.0, 3.0)  # of frequencies, taken in turn: coarse to fine


def waves(angles: Tensor) -> Tensor:
    """Random Fourier features of a Gaussian kernel (Rahimi and Recht, 2007) up to a factor: (b, h) -> (b, h)."""
    return angles.cos()


def witness(features: Tensor, member: Tensor, ridge: float) -> Tensor:
    """Ridge regression of class membership on centred features: (n, h), (n, k) -> (h, k). Times centred features it is,
    for every class, by how much its share there is above that of everywhere, as far as the ridge lets it be."""
    centred = features - features.mean(0)
    gram = centred.T @ centred / len(features) + ridge * torch.eye(features.shape[1])
    return torch.linalg.solve(gram, centred.T @ (member - member.mean(0)) / len(features))


def heights(angles: Tensor, directions: Tensor, mean: Tensor, slopes: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """The witness of the classes that each record is told to be of, and its gradient: angles (b, h) = z directions + phases,
    slopes (h, k), told (b, k) -> (b,), (b, d)."""
    height = (told * ((waves(angles) - mean) @ slopes)).sum(1)
    return height, -(angles.sin() * (told @ slopes.T)) @ directions.T


def stepped(z: Tensor, height: Tensor, gradient: Tensor, step: float, damp: Tensor) -> Tensor:
    """z less `step` of the way that would bring a height to 0 were it linear: (b, d), (b,), (b, d) -> (b, d)."""
    amount = step * height / (gradient.square().sum(1) + damp)
    return z - amount[:, None] * gradient


class Witnesses(nn.Module):
    """The steps of a fit, to be taken by any record after it.

    rounds: steps. size: numbers of a code. features: random ones of a round. classes: of what is suppressed, jointly.
    groupings: partitions of the joint classes that are told apart in turn.
    """

    directions: Tensor  # (R, size, h), half precision: a file of a fit is mostly these
    phases: Tensor  # (R, h)
    mean: Tensor  # (R, h) of the features
    slopes: Tensor  # (R, h, S); a grouping of fewer groups leaves the last columns 0
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

    def grouped_as(self, time: int, told: Tensor) -> tuple[Tensor, Tensor]:
        """What is told of the groups of the grouping whose turn it is, and that grouping: (b, S) of joint classes -> (b, S), the columns beyond
        the last group 0, and (S,)."""
        grouping = self.groupings[time % len(self.groupings)]
        return torch.zeros_like(told).index_add_(1, grouping, told), grouping

    def draw(self, generator: torch.Generator) -> None:
        """Fresh features for every round, for codes whose numbers have a deviation of 1 all together."""
        rounds, size, features = self.directions.shape
        for r in range(rounds):
            width = WIDTHS[(r // len(self.groupings)) % len(WIDTHS)] / math.sqrt(size)
            self.directions[r] = (torch.randn(size, features, generator=generator) * width).half()
            self.phases[r] = torch.rand(features, generator=generator) * (2 * math.pi)

    def take(self, round_: int, z: Tensor, told: Tensor) -> Tensor:
        """One step, already learnt, in the precision of z: (b, size), (b, S) -> (b, size)."""
        directions, slopes = self.directions[round_].to(z.dtype), self.slopes[round_].to(z.dtype)
        angles = z @ directions + self.phases[round_]
        height, gradient = heights(angles, directions, self.mean[round_], slopes, self.grouped_as(round_, told)[0])
        return stepped(z, height.clamp_min(0), gradient, self.step, self.damp[round_])

    def learn(self, round_: int, z: Tensor, secret: Tensor, told: Tensor, ridge: float) -> Tensor:
        """The witness of one round from these records, and where the step takes them: (n, size), (n,), (n, S) -> (n, size)."""
        directions = self.directions[round_].float()
        angles = z @ directions + self.phases[round_]
        seen = waves(angles)
        member, _ = self.grouped_as(round_, nn.functional.one_hot(secret, told.shape[1]).float())
        self.mean[round_] = seen.mean(0)
        self.slopes[round_] = witness(seen, member, ridge)
        height, gradient = heights(
            angles, directions, self.mean[round_], self.slopes[round_], self.grouped_as(round_, told)[0]
        )
        self.damp[round_] = (DAMP * gradient.square().sum(1).mean()).clamp_min(1e-12)
        return stepped(z, height.clamp_min(0), gradient, self.step, self.damp[round_])
