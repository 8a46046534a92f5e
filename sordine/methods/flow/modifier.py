"""The modifier of flow: the aligned space, the steps, and the linear map from codes back to records."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from sordine.methods.alignment.network import Aligned
from sordine.methods.flow.neighbours import KernelNeighbours
from sordine.methods.flow.witness import Witnesses
from sordine.models.fingerprints import fingerprints
from sordine.models.modifier import Modifier, Release

GRID, DIGITS = 4096, 24  # grid points in a unit of the code; binary digits of the linear map back to records


class FlowModifier(Modifier):
    """x -> code -> witness and neighbour steps -> plus noise -> record.

    It holds codes and suppressed classes of records of the fit, as neighbours.

    Parameters
    ----------
    space
        The aligned space.
    rounds, features, groupings
        Witness steps, random features of a step, and partitions of the classes.
    step
        Share of the way that one step takes.
    times, voters
        Neighbour steps and sampled neighbours of each.
    """

    row_by_row = True  # codes and the map back lie on grids
    block = 256  # a record takes hundreds of steps, so that a large padded block would delay a single record
    unit: Tensor  # of the code
    record: Tensor  # (size + 1, width) linear map, the last row constant
    sigma: Tensor  # standard deviation of the noise

    def __init__(
        self, space: Aligned, rounds: int, features: int, groupings: int, step: float, times: int = 0, voters: int = 0
    ) -> None:
        super().__init__()
        classes, _, self.size = space.maps.shape
        self.space = space
        self.steps = Witnesses(rounds, self.size, features, classes, groupings, step)
        self.votes = KernelNeighbours(times, voters, self.size, step)
        # Stored with the tensors, whose hash the card holds: steps of another length give other records.
        self.register_buffer("step", torch.tensor(step, dtype=torch.float64))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("record", torch.zeros(self.size + 1, len(space.offset)))
        self.register_buffer("sigma", torch.zeros(()))

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor]) -> FlowModifier:
        """Return the modifier of these tensors.

        Raises
        ------
        ValueError
            Where a class code among them is out of range.
        """
        classes, axes, size = tensors["space.maps"].shape
        width, first = tensors["space.first"].shape
        rounds, _, features = tensors["steps.directions"].shape
        times, voters, _ = tensors["votes.voters"].shape
        space = Aligned(width, classes, first, axes, size)
        groupings = tensors["steps.groupings"]
        for codes in (groupings, tensors["votes.secret"]):
            if (codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < classes) or not len(groupings):
                raise ValueError("class codes are out of range")
        modifier = cls(space, rounds, features, len(groupings), float(tensors["step"]), times, voters)
        modifier.load_state_dict(tensors)
        return modifier

    def code(self, x: Tensor) -> Tensor:
        """Return the code after the last step: (b, *shape) -> (b, size) float64.

        It is computed in double precision and rounded to a fine grid, so that it does not depend on the other records
        of a batch: products of narrow matrices round by the place of a row.
        """
        return rounded(self.stepped(x.double()))

    def stepped(self, x: Tensor) -> Tensor:
        """Return the code after the last step, in the precision of the records: (b, *shape) -> (b, size)."""
        space = copy.deepcopy(self.space).to(x.dtype)
        ranks = space.ranks(x)
        probabilities = space.class_probabilities(ranks)
        z = space.code(space.components(ranks, probabilities), probabilities) / self.unit
        prints = fingerprints(x)
        for r in range(len(self.steps.directions)):
            z = self.steps.take(r, z, probabilities)
            if (time := self.neighbour_step_after(r)) is not None:
                z = self.votes.take(time, z, *self.steps.grouped_as(time, probabilities), prints)
        return z

    def neighbour_step_after(self, round_: int) -> int | None:
        """Return the number of the neighbour step after a witness step, or None; the last follows the last round."""
        times, rounds = len(self.votes.voters), len(self.steps.directions)
        before, now = round_ * times // rounds, (round_ + 1) * times // rounds
        return before if now > before else None

    def drawn(self, code: Tensor, noise: Tensor) -> Tensor:
        """Return the released code: (b, size), noise (b, size) uniform in (0, 1) -> (b, size) float64."""
        if not self.noise:
            return code
        return rounded(code + self.sigma * torch.special.ndtri(noise.double()))

    def compressed(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return released records, standardised by column and rotated to as few numbers as a code has.

        Distances stay the same. Attackers learn from it, so single precision suffices. Records (b, *shape), noise
        (b, size) uniform -> (b, size) float64.
        """
        code, slopes = self.drawn(self.stepped(x.float()).double(), noise), self.record[:-1].double()
        centred = code - code.mean(0)
        spread = (slopes * (centred.T @ centred / len(code) @ slopes)).sum(0).clamp_min(0).sqrt()
        left, scale, _ = torch.linalg.svd(slopes / spread.clamp_min(1e-12), full_matrices=False)
        turned: Tensor = centred @ (left * scale)
        return turned

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return released records (b, *shape); noise (b, size) is uniform in (0, 1)."""
        record = self.record.double()
        # Both factors lie on grids: sums of their products are exact in any order.
        return Release((self.drawn(self.code(x), noise) @ record[:-1] + record[-1]).float().reshape(x.shape))


def rounded(code: Tensor) -> Tensor:
    """Return the code on the grid; unchanged where a gradient is needed, which rounding does not have."""
    return code if code.requires_grad else (code * GRID).round() / GRID


def gridded(record: Tensor) -> Tensor:
    """Return the linear map rounded to few digits, so that its products with codes can be summed without error.

    Digits are relative to the largest entry of each column, since columns may have very different scales.
    """
    largest = record[:-1].double().abs().amax(0)
    place = torch.where(largest > 0, 2.0 ** (largest.log2().ceil() - DIGITS), 1.0)
    slopes = (record[:-1].double() / place).round() * place
    return torch.cat([slopes.float(), record[-1:]])
