"""Votes: what the nearest records tell of a record's class, and steps that take records to where they tell nothing.

Random features see what sets classes apart over wide stretches (`nets.witness`). In a code of many numbers they are blind to what a record
has in common with the few that are most like it, which is all that an attacker by nearest neighbours needs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sordine.methods.flow.witness import DAMP, stepped

NEIGHBOURS = 20  # the farthest of these, at least, is to be heard
LOOK = 1000  # records from which it is set how far one is heard
PART = 1000  # records at a time: each against all that vote
LEAST = 1e-6  # squared distance that is told from none, of codes whose numbers vary by 1
FAR = 1e30  # the squared distance of who has no vote


def fingerprints(x: Tensor) -> Tensor:
    """64 bits of every record, the same of records that are the same to the last bit, else (but for luck) not: (b, *shape) -> (b,) int64."""
    # Of 0 and -0, which are the same number, the bits differ.
    words = (x.detach().flatten(1).float() + 0.0).contiguous().view(torch.int32)
    # Of NumPy, whose streams stay what they are: they must be those of the fit wherever a modifier is read.
    drawn = np.random.Generator(np.random.PCG64(0)).integers(-(2**62), 2**62, words.shape[1]) | 1
    weights = torch.from_numpy(drawn).to(words.device)
    return torch.cat([(part.long() * weights).sum(1) for part in words.split(PART)])


def distances(z: Tensor, voters: Tensor) -> Tensor:
    """Squared: (b, size), (m, size) -> (b, m)."""
    return (z.square().sum(1)[:, None] + voters.square().sum(1) - 2 * z @ voters.T).clamp_min(0)


def vote(apart: Tensor, worth: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of what voters are worth, who are heard the less the farther they stand (Nadaraya, 1964; Watson, 1964; a Gaussian kernel of this
    width), and the part of each in its slope: squared distances (b, m), worth (b, m) -> (b,), (b, m)."""
    heard = (-apart / (2 * width.square())).softmax(1)
    mean = (heard * worth).sum(1)
    return mean, heard * (worth - mean[:, None])


def circle(time: int, voters: int, shares: tuple[float, ...]) -> int:
    """How many of those who vote are to be heard this time: these shares of them by turns, but 20 at least."""
    return max(NEIGHBOURS, round(shares[time % len(shares)] * voters))


def hearing(apart: Tensor, neighbours: int) -> Tensor:
    """How far one is heard, so that the last of so many neighbours has e^-2 of the say of the nearest: the square root of a quarter of what lies
    between their squared distances, in the median over records (b, m). Who has no vote is not counted; 1 where too few are left."""
    near = apart.topk(min(neighbours, apart.shape[1]), largest=False).values
    last = (near < FAR).sum(1) - 1
    many = last > 0
    if not many.any():
        return torch.ones(())
    between = near.gather(1, last.clamp_min(0)[:, None])[:, 0] - near[:, 0]
    return (between[many].median() / 4).clamp_min(LEAST).sqrt()


class Votes(nn.Module):
    """The votes of a fit. Any record takes part after it: it hears, and has no vote itself.

    times: how often it is voted. voters: records that vote, others every time. size: numbers of a code. step: what part of the way is gone.
    """

    voters: Tensor  # (T, m, size), half precision
    secret: Tensor  # (T, m), their joint suppressed classes
    prints: Tensor  # (T, m), of their records: nobody hears himself
    width: Tensor  # (T,)
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
        """Squared distances to those that vote: (b, size), (b,) -> (b, m)."""
        itself = prints[:, None] == self.prints[time]
        return distances(z, self.voters[time].to(z.dtype)).masked_fill(itself, FAR)

    def heard(self, time: int, z: Tensor, told: Tensor, grouping: Tensor, prints: Tensor) -> tuple[Tensor, Tensor]:
        """How much more of the groups that a record is told to be of stands around it than among all whom it may hear, and the gradient of that;
        both 0 where there are none: z (b, size), told (b, S) of the groups, grouping (S,) of the joint classes, prints (b,) -> (b,), (b, size)."""
        apart = self.apart(time, z, prints)
        others = (apart < FAR).to(z.dtype)
        member = nn.functional.one_hot(grouping[self.secret[time]], told.shape[1]).to(z.dtype)
        mean = others @ member / others.sum(1, keepdim=True).clamp_min(1)
        told, width = told.to(z.dtype), self.width[time].to(z.dtype)
        worth = (told @ member.T - (told * mean).sum(1, keepdim=True)) * others
        height, slope = vote(apart, worth, width)
        # Parts in the slope sum to nothing, so that where the record itself stands falls out.
        return height, slope @ self.voters[time].to(z.dtype) / width.square()

    def take(self, time: int, z: Tensor, told: Tensor, grouping: Tensor, prints: Tensor) -> Tensor:
        """One step, already learnt, in the precision of z: see `heard` -> (b, size)."""
        height, gradient = self.all_heard(time, z, told, grouping, prints)
        return stepped(z, height, gradient, self.step, self.damp[time])

    def all_heard(self, time: int, z: Tensor, told: Tensor, grouping: Tensor, prints: Tensor) -> tuple[Tensor, Tensor]:
        """`heard` of many records, some at a time."""
        parts = zip(z.split(PART), told.split(PART), prints.split(PART), strict=True)
        found = [self.heard(time, some, of, grouping, who) for some, of, who in parts]
        height, gradient = (torch.cat(whole) for whole in zip(*found, strict=True))
        return height, gradient

    def learn(
        self,
        time: int,
        z: Tensor,
        secret: Tensor,
        told: Tensor,
        grouping: Tensor,
        prints: Tensor,
        picked: Tensor,
        neighbours: int = NEIGHBOURS,
    ) -> Tensor:
        """Those picked (m,) vote; sets how far they are heard, by so many neighbours, and takes all records a step: secret (n,), see `heard` ->
        (n, size)."""
        self.voters[time], self.secret[time], self.prints[time] = z[picked].half(), secret[picked], prints[picked]
        looked = picked[:LOOK]
        self.width[time] = hearing(self.apart(time, z[looked], prints[looked]), neighbours)
        height, gradient = self.all_heard(time, z, told, grouping, prints)
        self.damp[time] = (DAMP * gradient.square().sum(1).mean()).clamp_min(1e-12)
        return stepped(z, height, gradient, self.step, self.damp[time])
