"""Transport: every record is carried to a cell that all suppressed classes fill alike, and what is released is the cell.

Nothing need be known of the tasks to come. Three steps, none of them adversarial:

    align    z(x): ranks, standardised class by class, and a linear map a class, such that records of all classes that optimal
             transport matches have the same code (generalised canonical correlation, and matching again, by turns);
    balance  P(j | x) = softmax over cells j of (sum over s of P(s | x) prices[s, j] - |z(x) - z_j|^2 / softness), the prices
             such that on the records of the fit every class fills every cell to the same share, as nearly as what is told
             of a record's class allows: what is left is measured, and kept in the card (`uneven`);
    draw     j from P(. | x), and release what stands for cell j: the mean of its records, or some of them.

What is to be preserved is read by a classifier first; a record then goes to a cell of the class read, and balance is made
within it, by the labels of the fit. The method is ours; its parts are Cuturi's Sinkhorn iteration and Kettenring's MAXVAR (see `sordine.balance`).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from sordine.balance import balanced, centres, consensus, fill, flows, match
from sordine.classifiers import Classifier, checkpoint, train_classifier
from sordine.errors import SordineError
from sordine.files import atomic
from sordine.information import joint
from sordine.keys import numpy_rng
from sordine.methods.transport_modifier import TransportModifier, uneven
from sordine.modifier import Card, Modifier
from sordine.nets.aligned import SPREAD, Aligned
from sordine.policy import Policy
from sordine.recipe import Run, input_of
from sordine.table import Table

MOST, LARGEST = 20_000, 1 << 27  # records, and numbers of records, that are learnt from
TOLD = 128  # axes from which a record's own class is told
PLACES = 24  # components in which records are first matched
FEWEST = 4  # records a cell, on average
SHARPEST, LARGEST_FIELD = 1e-4, 1e6
UNEVEN, ALONE = 0.05, 1.5  # what is said of a fit: cells filled so unevenly, cells that stand for so few records
NAMED, UNKNOWN = 0.1, 0.015  # softness: what is named is read first, and pooled records then tell less of who they are


@dataclass(frozen=True)
class Transport:
    """cells: how many things can be released, at most a quarter of the training records; 0 releases the code itself, brought
    back to a record (deterministic: nothing is balanced, only aligned). softness: of the balanced channel, in units of the
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
        for name, value in asdict(self).items():
            if not math.isfinite(value):
                raise SordineError(f"transport: {name} is {value}; it must be a number")
            if value > LARGEST_FIELD:
                raise SordineError(f"transport: {name} is {value:g}; it must be at most {LARGEST_FIELD:g}")
        if 0 < self.softness < SHARPEST:
            raise SordineError(f"transport: softness is {self.softness:g}; it must be 0 or at least {SHARPEST:g}")
        for name in ("size", "axes", "rounds", "matching", "ridge"):
            if not getattr(self, name) > 0:
                raise SordineError(f"transport: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("cells", "softness", "records", "pooled"):
            if not getattr(self, name) >= 0:
                raise SordineError(f"transport: {name} is {getattr(self, name)}; it must be at least 0")
        if not 0 <= self.even <= 1:
            raise SordineError(f"transport: even is {self.even}; it must be from 0 to 1")

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Align, balance, and choose what stands for each cell. On the CPU, in closed forms but for the readers of what is
        preserved; records that lack a suppressed or a preserved label take no part."""
        named = [table.y[a] for a in (*policy.suppress, *policy.preserve)]
        usable = np.flatnonzero(joint(named) >= 0)
        most = max(1000, min(MOST, LARGEST // table.width))
        if len(usable) > most:
            usable = np.sort(numpy_rng(run.seed, "transport").choice(usable, most, replace=False))
        secret = torch.from_numpy(joint([table.y[s][usable] for s in policy.suppress]))
        if len(usable) < 4 or int(secret.max()) < 1:
            raise SordineError(
                f"{table.source}: transport needs records of at least two suppressed classes, fully labelled"
            )
        if self.records * FEWEST > len(usable):
            raise SordineError(
                f"transport: records is {self.records}: so many a cell cannot be drawn from {len(usable):,} records"
            )
        x = table.batch(usable).flatten(1)
        if not (x.amax(0) > x.amin(0)).any():
            raise SordineError(f"{table.source}: no feature varies between the records: there is nothing to transport")
        kept = (
            joint([table.y[u][usable] for u in policy.preserve]) if policy.preserve else np.zeros(len(usable), np.int64)
        )
        strata = torch.from_numpy(kept)
        space = self.align(table, policy, run, x, secret, strata)
        readers = [
            train_classifier(table, u, seed=run.seed, device=run.device, folder=run.folder, progress=run.progress).cpu()
            for u in policy.preserve
        ]
        modifier = self.balance(space, readers, x, secret, strata)
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
                "outputs": len(modifier.substitutes) if self.cells else 0,
                "softness": modifier.softness,
                "uneven": round(uneven(modifier.eval(), x, secret), 4) if self.cells else None,
            },
            notes=[],
        )
        modifier.card.notes += self.notes(modifier, len(usable))
        return modifier.eval()

    # ------------------------------------------------------------------------------------------------ align

    def align(self, table: Table, policy: Policy, run: Run, x: Tensor, secret: Tensor, strata: Tensor) -> Aligned:
        """The space z: ranks, each class standardised, then rounds of matching to cells and of consensus over classes."""
        classes, n = int(secret.max()) + 1, len(x)
        width = x.shape[1]
        axes = min(self.axes, width, n - 1)
        space = Aligned(width, classes, min(TOLD, width, n - 1), axes, min(self.size, axes))
        fields = {name: v for name, v in asdict(self).items() if name not in ("cells", "softness", "even", "records")}
        fields |= {"seed": run.seed, "suppress": policy.suppress, "preserve": policy.preserve}
        file = checkpoint(run.folder, "transport", fields, table, (*policy.suppress, *policy.preserve))
        if file is not None and file.is_file():
            space.load_state_dict(safetensors.torch.load_file(file))
            return space
        space.ranks.learn(x)
        ranks = space.ranks(x)
        learn_reader(space, ranks, secret)
        member = functional.one_hot(secret, classes).float()
        count = member.sum(0)[:, None]
        space.mean = member.T @ ranks / count
        space.spread = (member.T @ (ranks - space.mean[secret]).square() / count).sqrt() + SPREAD
        standard = (ranks - space.mean[secret]) / space.spread[secret]
        space.offset = standard.mean(0)
        space.axes = principal(standard - space.offset, space.axes.shape[1], run.seed)
        part = space.components(ranks, member)
        space.axes /= part.std()
        part /= part.std()
        own = [torch.nonzero(secret == s).flatten() for s in range(classes)]
        scatter = torch.stack([part[rows].T @ part[rows] / len(rows) for rows in own])
        common = scatter.mean(0)
        weight = torch.tensor([len(rows) for rows in own], dtype=torch.float32)[:, None, None]
        scatter = (weight * scatter + self.pooled * common) / (weight + self.pooled)
        scatter = scatter + self.ridge * common.diagonal().mean() * torch.eye(len(common))
        code = part[:, : min(PLACES, part.shape[1])]
        cells, owner = self.cells_of(code, strata, 200, run.seed)
        for done in range(self.rounds):
            shares = [match(code[rows], strata[rows], cells, owner, self.matching) for rows in own]
            means = fill(torch.stack([t.T @ part[rows] for t, rows in zip(shares, own, strict=True)]), shares)
            agreed = consensus(means, scatter, space.maps.shape[2])
            target = torch.stack(
                [part[rows].T @ (t @ agreed) / len(cells) for t, rows in zip(shares, own, strict=True)]
            )
            target = (weight * target + self.pooled * target.mean(0)) / (weight + self.pooled)
            found = torch.linalg.solve(scatter, target)
            space.maps = torch.zeros(classes, *space.maps.shape[1:])
            space.maps[:, :, : found.shape[2]] = found
            code = space.code(part, member)
            cells = fill(torch.stack([t.T @ code[rows] for t, rows in zip(shares, own, strict=True)]), shares).mean(0)
            if run.progress:
                run.progress("transport", done + 1, self.rounds)
        if file is not None:
            with atomic(file, force=True) as temporary:
                safetensors.torch.save_file({k: v.contiguous() for k, v in space.state_dict().items()}, temporary)
        return space

    def cells_of(self, code: Tensor, strata: Tensor, number: int, seed: int) -> tuple[Tensor, Tensor]:
        """Cells by k-means, each stratum as many as its share of the records: (M, d) and the stratum of each, (M,)."""
        number = max(1, min(number, len(code) // FEWEST))
        found, owner = [], []
        for v in range(int(strata.max()) + 1):
            rows = torch.nonzero(strata == v).flatten()
            some = max(1, min(len(rows), round(number * len(rows) / len(code))))
            found.append(centres(code[rows], some, seed))
            owner += [v] * some
        return torch.cat(found), torch.tensor(owner)

    # ------------------------------------------------------------------------------------------------ balance

    def balance(
        self, space: Aligned, readers: list[Classifier], x: Tensor, secret: Tensor, strata: Tensor
    ) -> TransportModifier:
        """Cells in the aligned space, the prices that let every class fill them alike, and what stands for each."""
        ranks, classes = space.ranks(x), len(space.mean)
        member = functional.one_hot(secret, classes).float()
        code = space.code(space.components(ranks, member), member)
        if not self.cells:
            modifier = TransportModifier(space, readers, 0, int(strata.max()) + 1, code.shape[1] + 1, 1.0)
            modifier.substitutes = back(code, x)
            return modifier
        cells, owner = self.cells_of(code, strata, self.cells, 0)
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
        if not self.cells:
            return [
                "What is released is a code of few numbers, brought back to a record: nothing is drawn, and nothing is proved; "
                "the audit says what can be read."
            ]
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


def learn_reader(space: Aligned, ranks: Tensor, secret: Tensor) -> None:
    """P(s | x): logistic regression on principal axes of the ranks, so that no label is asked of a record to be released."""
    space.first = principal(ranks - ranks.mean(0), space.first.shape[1], 0)
    seen = (ranks @ space.first).numpy()
    scale = max(float(seen.std()), 1e-12)
    # It may warn of many classes of few records, or not quite converge: `uneven` shows what comes of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=0.1, max_iter=300).fit(seen / scale, secret.numpy())
    weight, bias = model.coef_ / scale, model.intercept_
    if len(weight) == 1:  # scikit-learn keeps one row for two classes
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    space.reader = torch.from_numpy(np.concatenate([weight.T, bias[None]]).astype(np.float32))


def principal(x: Tensor, number: int, seed: int) -> Tensor:
    """The leading principal axes of centred records: (n, width) -> (width, number)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if min(x.shape) <= 4 * number:
            return torch.linalg.svd(x, full_matrices=False).Vh[:number].T.contiguous()
        return torch.svd_lowrank(x, min(number + 16, min(x.shape)), niter=4)[2][:, :number].contiguous()


def effective(shares: Tensor) -> Tensor:
    """Of how many records each cell's mean is, in effect (Kish): (n, M), columns summing to 1 -> (M,)."""
    return 1 / shares.square().sum(0).clamp_min(1e-12)


def back(code: Tensor, x: Tensor) -> Tensor:
    """Least squares from codes to records: (n, d), (n, width) -> (d + 1, width), the last row constant."""
    mean = code.mean(0)
    centred = code - mean
    slope = torch.linalg.solve(
        centred.T @ centred / len(x) + 1e-4 * torch.eye(code.shape[1]), centred.T @ (x - x.mean(0)) / len(x)
    )
    return torch.cat([slope, (x.mean(0) - mean @ slope)[None]])


def typical(shares: Tensor, x: Tensor, each: int) -> Tensor:
    """The records that fill each cell most: (n, M), (n, width) -> (M * each, width)."""
    return x[shares.topk(each, dim=0).indices.T.flatten()]
