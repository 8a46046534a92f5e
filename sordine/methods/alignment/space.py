"""Classes of records side by side: which records are learnt from, and the space in which classes are aligned."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import asdict, dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from torch.nn import functional

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.alignment.network import SPREAD, Aligned
from sordine.methods.alignment.optimal_transport import centres, consensus, fill, match
from sordine.metrics.information import joint
from sordine.models.checkpoints import checkpoint_file, read_checkpoint, write_checkpoint
from sordine.policy import Policy
from sordine.run import Run

MOST, LARGEST = 20_000, 1 << 27  # records, and numbers of records, that are learnt from
TOLD = 128  # axes from which a record's own class is told
PLACES, MATCHED = 24, 200  # components in which records are first matched, and to how many cells
FEWEST = 4  # records a cell, on average
APART = 5  # readers, each of which leaves a part out
POOLED = 1.0  # records of all classes, for every axis, that a class's covariance is averaged with
ALIKE = 1e-3  # standard deviations of ranks within a class
LEAST = 1e-3  # of the mean variance, added to every axis, so that one which nothing varies along stays as it is


def learnable(table: Table, policy: Policy, seed: int, method: str) -> tuple[np.ndarray, Tensor, Tensor]:
    """The rows that are learnt from, fully labelled and not more than memory and time allow: (n,), with their records (n, width)
    and joint suppressed class (n,). Raises SordineError where they are too few, of one class, or all alike."""
    usable = np.flatnonzero(joint([table.y[a] for a in (*policy.suppress, *policy.preserve)]) >= 0)
    most = max(1000, min(MOST, LARGEST // table.width))
    if len(usable) > most:
        usable = np.sort(numpy_rng(seed, "transport").choice(usable, most, replace=False))
    secret = torch.from_numpy(joint([table.y[s][usable] for s in policy.suppress]))
    if len(usable) < 4 or int(secret.max()) < 1:
        named = " and ".join(map(repr, (*policy.suppress, *policy.preserve)))
        raise SordineError(
            f"{table.source}: {method} needs four training records with a label of {named}, of two suppressed classes at least; it "
            f"has {len(usable)}, in classes: {len(torch.unique(secret))}; label more"
        )
    x = table.batch(usable).flatten(1)
    if not (x.amax(0) > x.amin(0)).any():
        raise SordineError(
            f"{table.source}: no feature varies between the records: there is nothing for {method} to do"
        )
    return usable, x, secret


@dataclass(frozen=True)
class Alignment:
    """How the space is learnt. size: numbers of a code. axes: principal components that are aligned. rounds: matching and aligning by
    turns; 0 leaves the first `size` axes of the records as they are, standardised class by class. matching, pooled, ridge: see
    `methods.transport`. covariances: whether those of the classes are brought together first, where there are no rounds."""

    size: int = 12
    axes: int = 64
    rounds: int = 12
    matching: float = 0.03
    pooled: float = 100.0
    ridge: float = 0.1
    covariances: bool = False

    def learn(self, table: Table, policy: Policy, run: Run, x: Tensor, secret: Tensor, strata: Tensor) -> Aligned:
        """Ranks, each class standardised, then rounds of matching to cells and of consensus over classes. x: (n, width); secret,
        strata: (n,) class codes, the second of what is preserved: matches stay within it."""
        classes, n = int(secret.max()) + 1, len(x)
        width = x.shape[1]
        axes = min(self.axes, width, n - 1)
        space = Aligned(width, classes, min(TOLD, width, n - 1), axes, min(self.size, axes))
        fields = asdict(self) | {"seed": run.seed, "suppress": policy.suppress, "preserve": policy.preserve}
        file = checkpoint_file(run.folder, "transport", fields, table, (*policy.suppress, *policy.preserve))
        found = read_checkpoint(file)
        with contextlib.suppress(RuntimeError):  # somebody else's file: made again
            if found is not None:
                space.load_state_dict(found)
                return space
        space.ranks.learn(x)
        ranks: Tensor = space.ranks(x)
        if float((standardise(space, ranks, secret) - SPREAD).max()) < ALIKE:
            raise SordineError(
                f"{table.source}: records do not vary within the classes of {' and '.join(policy.suppress)}: nothing would be left to keep"
            )
        start(space, ranks, secret, run.seed)
        if self.covariances:
            level(space, ranks, secret)
        if self.rounds:
            self.agree(space, run, ranks, secret, strata)
        write_checkpoint(file, space.state_dict())
        return space

    def agree(self, space: Aligned, run: Run, ranks: Tensor, secret: Tensor, strata: Tensor) -> None:
        """The maps of every class, from records that optimal transport matches."""
        classes = int(secret.max()) + 1
        member = functional.one_hot(secret, classes).float()
        part = space.components(ranks, member)
        own = [torch.nonzero(secret == s).flatten() for s in range(classes)]
        scatter = torch.stack([part[rows].T @ part[rows] / len(rows) for rows in own])
        common = scatter.mean(0)
        weight = torch.tensor([len(rows) for rows in own], dtype=torch.float32)[:, None, None]
        scatter = (weight * scatter + self.pooled * common) / (weight + self.pooled)
        scatter = scatter + self.ridge * common.diagonal().mean() * torch.eye(len(common))
        code = part[:, : min(PLACES, part.shape[1])]
        cells, owner = cells_of(code, strata, MATCHED, run.seed)
        for done in range(self.rounds):
            shares = [match(code[rows], strata[rows], cells, owner, self.matching) for rows in own]
            means = fill(torch.stack([t.T @ part[rows] for t, rows in zip(shares, own, strict=True)]), shares)
            agreed = consensus(means, scatter, space.maps.shape[2])
            target = torch.stack(
                [part[rows].T @ (t @ agreed) / len(cells) for t, rows in zip(shares, own, strict=True)]
            )
            target = (weight * target + self.pooled * target.mean(0)) / (weight + self.pooled)
            found = torch.linalg.solve(scatter, target)
            space.maps = torch.zeros_like(space.maps)
            space.maps[:, :, : found.shape[2]] = found
            code = space.code(part, member)
            cells = fill(torch.stack([t.T @ code[rows] for t, rows in zip(shares, own, strict=True)]), shares).mean(0)
            if run.progress:
                run.progress("transport", done + 1, self.rounds)


def standardise(space: Aligned, ranks: Tensor, secret: Tensor) -> Tensor:
    """Learns how each class of records is brought to mean 0 and deviation 1: ranks (n, width), classes (n,) -> the deviations (S, width), and a little."""
    member = functional.one_hot(secret, len(space.mean)).float()
    count = member.sum(0)[:, None]
    space.mean = member.T @ ranks / count
    space.spread = (member.T @ (ranks - space.mean[secret]).square() / count).sqrt() + SPREAD
    return space.spread


def start(space: Aligned, ranks: Tensor, secret: Tensor, seed: int) -> None:
    """The reader, and the principal axes of what is standardised; the maps of the classes become those that take the first axes: ranks (n, width)."""
    learn_reader(space, ranks, secret)
    standard = (ranks - space.mean[secret]) / space.spread[secret]
    space.offset = standard.mean(0)
    space.axes = principal(standard - space.offset, space.axes.shape[1], seed)
    space.axes /= space.components(ranks, functional.one_hot(secret, len(space.mean)).float()).std()
    space.maps = torch.eye(*space.maps.shape[1:]).repeat(len(space.maps), 1, 1)


def level(space: Aligned, ranks: Tensor, secret: Tensor) -> None:
    """Maps that bring every class to the covariance of all together, moving records as little as can be: ranks (n, width), classes (n,).
    Only as far as is known: a class's own covariance is averaged with that of all first, the more the fewer records it has."""
    classes, axes, size = space.maps.shape
    part = space.components(ranks, functional.one_hot(secret, classes).float()).double()
    own = [part[secret == s] for s in range(classes)]
    scatter = torch.stack([(p - p.mean(0)).T @ (p - p.mean(0)) for p in own])
    count = torch.tensor([len(p) for p in own])[:, None, None]
    common = scatter.sum(0) / count.sum()
    found = (scatter + POOLED * axes * common) / (count + POOLED * axes)
    least = LEAST * common.diagonal().mean() * torch.eye(axes)
    space.maps = monge(found + least, common + least)[:, :, :size].float().contiguous()


def monge(covariance: Tensor, target: Tensor) -> Tensor:
    """The symmetric map A of least movement between centred normal distributions, A C A = target: (..., d, d), (d, d) ->
    (..., d, d), both positive definite (Knott and Smith, 1984)."""
    half, inverse = power(covariance, 0.5), power(covariance, -0.5)
    return inverse @ power(half @ target @ half, 0.5) @ inverse


def power(matrix: Tensor, exponent: float) -> Tensor:
    """Of symmetric positive definite matrices: (..., d, d) -> (..., d, d)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12).pow(exponent)[..., None, :]) @ vectors.mT


def cells_of(code: Tensor, strata: Tensor, number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Cells by k-means, each stratum as many as its share of the records: (M, d) and the stratum of each, (M,)."""
    number = max(1, min(number, len(code) // FEWEST))
    found, owner = [], []
    for v in range(int(strata.max()) + 1):
        rows = torch.nonzero(strata == v).flatten()
        some = max(1, min(len(rows), round(number * len(rows) / len(code))))
        found.append(centres(code[rows], some, seed))
        owner += [v] * some
    return torch.cat(found), torch.tensor(owner)


def held(space: Aligned, ranks: Tensor, secret: Tensor) -> float:
    """The share of the variance of the standardised axes that the code holds, linearly: ranks (n, width), classes (n,) -> 0 to 1."""
    member = functional.one_hot(secret, len(space.mean)).float()
    part = space.components(ranks, member)
    part = part - part.mean(0)
    code = space.code(part, member)
    rest = part - code @ torch.linalg.lstsq(code, part).solution
    return 1 - float(rest.square().sum() / part.square().sum().clamp_min(1e-12))


def learn_reader(space: Aligned, ranks: Tensor, secret: Tensor) -> None:
    """P(s | x): logistic regression on principal axes of the ranks, so that no label is asked of a record to be released."""
    space.first = principal(ranks - ranks.mean(0), space.first.shape[1], 0)
    seen = (ranks @ space.first).numpy()
    scale = max(float(seen.std()), 1e-12)
    # It may warn of many classes of few records, or not quite converge: `uneven` shows what comes of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = told_by().fit(seen / scale, secret.numpy())
    weight, bias = model.coef_ / scale, model.intercept_
    if len(weight) == 1:  # scikit-learn keeps one row for two classes
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    space.reader = torch.from_numpy(np.concatenate([weight.T, bias[None]]).astype(np.float32))


def told_by() -> LogisticRegression:
    """The reader of a record's own class."""
    return LogisticRegression(C=0.1, max_iter=300)


def told_apart(space: Aligned, ranks: Tensor, secret: Tensor, seed: int) -> Tensor:
    """P(s | x) of the records of the fit by readers that have not seen them, as of records to come: (n, width), (n,) -> (n, S).
    What has too few records of its class to be left out is told by the reader that has seen it."""
    found = space.told(ranks)
    seen = (ranks @ space.first).numpy()
    seen /= max(float(seen.std()), 1e-12)
    many = np.flatnonzero(torch.bincount(secret)[secret].numpy() >= APART)
    if not len(many):
        return found
    y = secret.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, b in StratifiedKFold(APART, shuffle=True, random_state=seed).split(many, y[many]):
            others = np.setdiff1d(np.arange(len(y)), many[b])
            model = told_by().fit(seen[others], y[others])
            found[many[b]] = torch.from_numpy(model.predict_proba(seen[many[b]])).float()
    return found


def principal(x: Tensor, number: int, seed: int) -> Tensor:
    """The leading principal axes of centred records: (n, width) -> (width, number)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if min(x.shape) <= 4 * number:
            return torch.linalg.svd(x, full_matrices=False).Vh[:number].T.contiguous()
        return torch.svd_lowrank(x, min(number + 16, min(x.shape)), niter=4)[2][:, :number].contiguous()


def back(code: Tensor, x: Tensor) -> Tensor:
    """Least squares from codes to records: (n, d), (n, width) -> (d + 1, width), the last row constant."""
    mean = code.mean(0)
    centred = code - mean
    slope = torch.linalg.solve(
        centred.T @ centred / len(x) + 1e-4 * torch.eye(code.shape[1]), centred.T @ (x - x.mean(0)) / len(x)
    )
    return torch.cat([slope, (x.mean(0) - mean @ slope)[None]])
