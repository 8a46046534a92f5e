"""Transport: every record is carried to a cell that all suppressed classes fill alike, and what is released is the cell.

Nothing need be known of the tasks to come. Three steps, none of them adversarial:

    align    z(x): ranks, standardised class by class, and a linear map a class, such that records of all classes that optimal
             transport matches have the same code (generalised canonical correlation, and matching again, by turns);
    balance  P(j | x) = softmax over cells j of (sum over s of P(s | x) prices[s, j] - |z(x) - z_j|^2 / softness), the prices
             such that on the records of the fit every class fills every cell to the same share, as nearly as what is told
             of a record's class allows: what is left is measured, and kept in the card (`uneven`);
    draw     j from P(. | x), and release what stands for cell j: the mean of its records, or some of them.

What is to be preserved is read by a classifier first; a record then goes to a cell of the class read, and balance is made
within it, by the labels of the fit. The method is ours; its parts are Cuturi's Sinkhorn iteration and Kettenring's MAXVAR (see `sordine.methods.alignment.optimal_transport`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.alignment.network import Aligned
from sordine.methods.alignment.optimal_transport import balanced, flows
from sordine.methods.alignment.space import FEWEST, Alignment, cells_of, learnable
from sordine.methods.base import check_fields, input_of
from sordine.methods.transport.modifier import TransportModifier, uneven
from sordine.metrics.information import joint
from sordine.models.classifier import Classifier, train_classifier
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

SHARPEST = 1e-4
UNEVEN, ALONE = 0.05, 1.5  # what is said of a fit: cells filled so unevenly, cells that stand for so few records
NAMED, UNKNOWN = 0.1, 0.015  # softness: what is named is read first, and pooled records then tell less of who they are


@dataclass(frozen=True)
class Transport:
    """cells: how many things can be released, at most a quarter of the training records. softness: of the balanced channel, in units of the
    mean squared distance between codes and cells; 0 means 0.1 where something is preserved, else 0.015. even: how much of what
    preserved attributes tell of suppressed ones is taken away, from 0 to 1: records are read as another class, as few as
    will do, until the shares of preserved classes differ by so much less between suppressed ones. records: 0 releases a cell's mean over all classes, r > 0 one of its r
    most typical real records. size: numbers of a code. axes: principal components that are aligned. rounds: matching and
    aligning by turns. matching: softness of the matches. pooled: of how many records' weight all classes' common moments
    are in each class's own map. ridge: added to the components' moments, in units of their mean variance.
    """

    cells: int = 256
    softness: float = 0.0
    even: float = 0.5
    records: int = 0
    size: int = 12
    axes: int = 64
    rounds: int = 12
    matching: float = 0.03
    pooled: float = 100.0
    ridge: float = 0.1

    suppresses: ClassVar[bool] = True
    preserves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields("transport", asdict(self), ("softness", "even", "records", "pooled"))
        if 0 < self.softness < SHARPEST:
            raise SordineError(f"transport: softness is {self.softness:g}; it must be 0 or at least {SHARPEST:g}")
        if self.even > 1:
            raise SordineError(f"transport: even is {self.even}; it must be from 0 to 1")

    @property
    def alignment(self) -> Alignment:
        """How the space is learnt."""
        return Alignment(self.size, self.axes, self.rounds, self.matching, self.pooled, self.ridge)

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Align, balance, and choose what stands for each cell. On the CPU, in closed forms but for the readers of what is
        preserved; records that lack a suppressed or a preserved label take no part."""
        usable, x, secret = learnable(table, policy, run.seed, "transport")
        if self.records * FEWEST > len(usable):
            raise SordineError(
                f"transport: records is {self.records}: so many a cell cannot be drawn from {len(usable):,} records"
            )
        kept = (
            joint([table.y[u][usable] for u in policy.preserve]) if policy.preserve else np.zeros(len(usable), np.int64)
        )
        strata = torch.from_numpy(kept)
        space = self.alignment.learn(table, policy, run, x, secret, strata)
        readers = [train_classifier(table, u, run=run).cpu() for u in policy.preserve]
        modifier = self.balance(space, readers, x, secret, strata)
        if self.cells > len(usable) // FEWEST:
            run.log(
                f"transport: {len(modifier.codes)} cells, a quarter of the training records, in place of {self.cells}"
            )
        for number, u in enumerate(policy.preserve):
            first = [int(np.flatnonzero(kept == v)[0]) for v in range(int(kept.max()) + 1)]
            modifier.strata[:, number] = torch.from_numpy(table.y[u][usable][first])
        modifier.card = Card(
            "transport",
            asdict(self),
            {r: list(n) for r, n in policy.roles()},
            input_of(table),
            fit={
                "cells": len(modifier.codes),
                "outputs": len(modifier.substitutes),
                "softness": modifier.softness,
                "uneven": round(uneven(modifier.eval(), x, secret), 4),
            },
            notes=[],
        )
        modifier.card.notes += self.notes(modifier, len(usable))
        return modifier.eval()

    # ------------------------------------------------------------------------------------------------ balance

    def balance(
        self, space: Aligned, readers: list[Classifier], x: Tensor, secret: Tensor, strata: Tensor
    ) -> TransportModifier:
        """Cells in the aligned space, the prices that let every class fill them alike, and what stands for each."""
        ranks, classes = space.ranks(x), len(space.mean)
        member = functional.one_hot(secret, classes).float()
        code = space.code(space.components(ranks, member), member)
        cells, owner = cells_of(code, strata, self.cells, 0)
        each = max(1, self.records)
        softness = self.softness or (NAMED if readers else UNKNOWN)
        modifier = TransportModifier(space, readers, len(cells), int(strata.max()) + 1, len(cells) * each, softness)
        modifier.codes, modifier.stratum = cells, owner
        modifier.flow = flows(secret, strata, self.even)
        modifier.scale = torch.cdist(code, cells).square().mean().clamp_min(1e-12)
        shares = torch.zeros(len(x), len(cells))  # of a class's mass in a cell, how much is each record's
        for v in range(int(strata.max()) + 1):
            here = torch.nonzero(owner == v).flatten()
            rows = [torch.nonzero((secret == s) & (strata == v)).flatten() for s in range(classes)]
            seen = [s for s in range(classes) if len(rows[s])]
            told = space.told(ranks[strata == v])
            # As they will be released: by what is told of their class, not by its label.
            code = space.code(space.components(ranks[strata == v], told), told)
            cost = torch.cdist(code, cells[here]).square() / modifier.scale
            plan, prices = balanced(cost, softness, secret[strata == v], told)
            modifier.prices[:, here] = prices
            for s in seen:
                inside = secret[strata == v] == s
                shares[rows[s][:, None], here] = plan[inside] / plan[inside].sum(0).clamp_min(1e-12)
        present = torch.stack([shares[secret == s].sum(0) > 0 for s in range(classes)]).sum(0)
        modifier.weight = effective(shares / present)
        modifier.substitutes = typical(shares, x, each) if self.records else shares.T @ x / present[:, None]
        return modifier

    def notes(self, modifier: TransportModifier, records: int) -> list[str]:
        """What the owner must know before the modifier or a release leaves the house."""
        cells, said = len(modifier.codes), []
        if self.records:
            said.append(
                f"This modifier holds {len(modifier.substitutes)} real records; what are released are copies of them."
            )
        else:
            said.append(
                f"What is released is one of {cells} means of records ({records / cells:.0f} records a cell on average), not the "
                "records themselves."
            )
            alone = int((modifier.weight < ALONE).sum())
            if alone:
                said.append(
                    f"{alone} of the cells stand for hardly more than one record each: fewer cells (--set cells=) help."
                )
        left = modifier.card.fit["uneven"]
        if left > UNEVEN:
            said.append(
                f"Suppressed classes fill the cells unevenly even on the records of the fit (a total variation of up to {left:.2f}): "
                "a record's class is told with errors, or what is preserved tells of it (--set even=1 takes that away)."
            )
        return said

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """See `recipe.Method`."""
        classes, axes, size = tensors["space.maps"].shape
        width, first = tensors["space.first"].shape
        recipe = Transport(**card.fields)
        readers: list[Classifier] = []
        while f"readers.{len(readers)}.projector.weight" in tensors:
            readers.append(Classifier(width, len(tensors[f"readers.{len(readers)}.projector.weight"])))
        return TransportModifier(
            Aligned(width, classes, first, axes, size),
            readers,
            len(tensors["codes"]),
            len(tensors["strata"]),
            len(tensors["substitutes"]),
            recipe.softness or (NAMED if readers else UNKNOWN),
        )


def effective(shares: Tensor) -> Tensor:
    """Of how many records each cell's mean is, in effect (Kish): (n, M), columns summing to 1 -> (M,)."""
    return 1 / shares.square().sum(0).clamp_min(1e-12)


def typical(shares: Tensor, x: Tensor, each: int) -> Tensor:
    """The records that fill each cell most: (n, M), (n, width) -> (M * each, width)."""
    return x[shares.topk(each, dim=0).indices.T.flatten()]
