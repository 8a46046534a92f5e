"""Kernel neighbours: what the nearest records reveal of a record's class, and steps to where they reveal nothing.

Random features describe differences of classes over wide regions (`sordine.methods.flow.witness`). In a code of many
numbers they miss what a record has in common with its few nearest records, which is all that an attacker by nearest
neighbours needs.

Shapes: b or n records, m sampled neighbours, S joint suppressed classes, T neighbour steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sordine.methods.flow.witness import DAMP, stepped

NEIGHBOURS = 20  # smallest neighbourhood
BANDWIDTH_RECORDS = 1000  # records from which the bandwidth is set
PART = 1000  # records at a time, each against all sampled neighbours
LEAST = 1e-6  # smallest squared distance that counts, of codes whose numbers vary by 1
FAR = 1e30  # squared distance given to excluded neighbours


def distances(z: Tensor, neighbours: Tensor) -> Tensor:
    """Return squared distances: (b, size), (m, size) -> (b, m)."""
    return (z.square().sum(1)[:, None] + neighbours.square().sum(1) - 2 * z @ neighbours.T).clamp_min(0)


def kernel_mean(apart: Tensor, values: Tensor, bandwidth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kernel regression of values with a Gaussian kernel, and the weight of each neighbour in its gradient.

    Parameters
    ----------
    apart
        (b, m) squared distances.
    values
        (b, m) values of the neighbours.
    bandwidth
        Of the kernel.

    Returns
    -------
    tuple of Tensor
        (b,) and (b, m).

    References
    ----------
    - Kernel regression (1964), method
    """
    kernel = (-apart / (2 * bandwidth.square())).softmax(1)
    mean = (kernel * values).sum(1)
    return mean, kernel * (values - mean[:, None])


def neighbourhood_size(time: int, sampled: int, shares: tuple[float, ...]) -> int:
    """Return how many of the sampled records form the neighbourhood: these shares in turn, and at least 20."""
    return max(NEIGHBOURS, round(shares[time % len(shares)] * sampled))


def bandwidth_of(apart: Tensor, neighbours: int) -> Tensor:
    """Return the bandwidth with which the last of so many neighbours has e^-2 of the weight of the nearest.

    It is the root of a quarter of the difference of their squared distances, in the median over records (b, m).
    Excluded neighbours do not count; 1 where too few are left.
    """
    near = apart.topk(min(neighbours, apart.shape[1]), largest=False).values
    last = (near < FAR).sum(1) - 1
    many = last > 0
    if not many.any():
        return torch.ones(())
    between = near.gather(1, last.clamp_min(0)[:, None])[:, 0] - near[:, 0]
    return (between[many].median() / 4).clamp_min(LEAST).sqrt()


class KernelNeighbours(nn.Module):
    """The neighbour steps of a fit, which any record can take after it; only records of the fit are neighbours.

    Parameters
    ----------
    times
        T, number of neighbour steps.
    voters
        m, sampled neighbours, other ones in every step.
    size
        Numbers of a code.
    step
        Share of the way that one step takes.
    """

    voters: Tensor  # (T, m, size) codes of the neighbours, half precision
    secret: Tensor  # (T, m) their joint suppressed classes
    prints: Tensor  # (T, m) fingerprints of their records: a record never counts as its own neighbour
    width: Tensor  # (T,) bandwidths
    damp: Tensor  # (T,)

    def __init__(self, times: int, voters: int, size: int, step: float) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("voters", torch.zeros(times, voters, size, dtype=torch.float16))
        self.register_buffer("secret", torch.zeros(times, voters, dtype=torch.long))
        self.register_buffer("prints", torch.zeros(times, voters, dtype=torch.long))
        self.register_buffer("width", torch.ones(times))
        self.register_buffer("damp", torch.ones(times))

    def apart(self, time: int, z: Tensor, prints: Tensor) -> Tensor:
        """Return squared distances to the neighbours, `FAR` to the record itself: (b, size), (b,) -> (b, m)."""
        itself = prints[:, None] == self.prints[time]
        return distances(z, self.voters[time].to(z.dtype)).masked_fill(itself, FAR)

    def excess(
        self, time: int, z: Tensor, probabilities: Tensor, grouping: Tensor, prints: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return by how much the own groups of a record are more frequent around it than elsewhere, and the gradient.

        Parameters
        ----------
        time
            Number of the neighbour step.
        z
            (b, size) codes.
        probabilities
            (b, S), of the groups that each record may be of.
        grouping
            (S,), the group of each joint class.
        prints
            (b,) fingerprints.

        Returns
        -------
        tuple of Tensor
            (b,) and (b, size); both 0 for a record without neighbours.
        """
        apart = self.apart(time, z, prints)
        probabilities, bandwidth = probabilities.to(z.dtype), self.width[time].to(z.dtype)
        group = grouping[self.secret[time]]
        values = probabilities[:, group]  # that the record is of the group of each neighbour
        itself = apart >= FAR
        values.masked_fill_(itself, 0)
        count = len(group) - itself.sum(1, keepdim=True)
        values = (values - values.sum(1, keepdim=True) / count.clamp_min(1)).masked_fill_(itself, 0)
        height, slope = kernel_mean(apart, values, bandwidth)
        # The weights in the gradient sum to 0, so that the position of the record itself cancels.
        return height, slope @ self.voters[time].to(z.dtype) / bandwidth.square()

    def take(self, time: int, z: Tensor, probabilities: Tensor, grouping: Tensor, prints: Tensor) -> Tensor:
        """Return z (b, size) after a learned step, in the precision of z; see `excess`."""
        height, gradient = self._excess_in_parts(time, z, probabilities, grouping, prints)
        return stepped(z, height, gradient, self.step, self.damp[time])

    def _excess_in_parts(
        self, time: int, z: Tensor, probabilities: Tensor, grouping: Tensor, prints: Tensor
    ) -> tuple[Tensor, Tensor]:
        parts = zip(z.split(PART), probabilities.split(PART), prints.split(PART), strict=True)
        found = [self.excess(time, codes, p, grouping, printed) for codes, p, printed in parts]
        height, gradient = (torch.cat(whole) for whole in zip(*found, strict=True))
        return height, gradient

    def learn(
        self,
        time: int,
        z: Tensor,
        secret: Tensor,
        probabilities: Tensor,
        grouping: Tensor,
        prints: Tensor,
        picked: Tensor,
        neighbours: int = NEIGHBOURS,
    ) -> Tensor:
        """Learn a step from sampled neighbours and return z after it.

        Parameters
        ----------
        time, z, probabilities, grouping, prints
            See `excess`; of all n records of the fit.
        secret
            (n,) joint classes.
        picked
            (m,) rows of the neighbours.
        neighbours
            Size of the neighbourhood that sets the bandwidth.

        Returns
        -------
        Tensor
            (n, size).
        """
        self.voters[time], self.secret[time], self.prints[time] = z[picked].half(), secret[picked], prints[picked]
        some = picked[:BANDWIDTH_RECORDS]
        self.width[time] = bandwidth_of(self.apart(time, z[some], prints[some]), neighbours)
        height, gradient = self._excess_in_parts(time, z, probabilities, grouping, prints)
        self.damp[time] = (DAMP * gradient.square().sum(1).mean()).clamp_min(1e-12)
        return stepped(z, height, gradient, self.step, self.damp[time])
