"""Fit the aligned space: choose the records to learn from, then rank, standardise and align the classes."""

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
from sordine.methods.alignment.optimal_transport import consensus, fill_missing, k_means, matches
from sordine.metrics.information import joint
from sordine.models.checkpoints import checkpoint_file, read_checkpoint, write_checkpoint
from sordine.policy import Policy
from sordine.run import Run

MOST, LARGEST = 20_000, 1 << 27  # records, and numbers in all records, that are learned from
CLASS_AXES = 128  # principal axes from which the class of a record is predicted
MATCH_AXES, MATCH_ENTRIES = 24, 200  # components in which records are first matched, and entries of that codebook
FEWEST = 4  # records an entry of a codebook, on average
FOLDS = 5  # of the cross-validation of class probabilities
SHRINKAGE = 1.0  # weight of the common covariance, in records of a class, for every axis
ALIKE = 1e-3  # standard deviation of ranks within a class under which nothing would be left to keep
RIDGE = 1e-3  # of the mean variance, added to every axis, so that an axis without variance is kept as it is


def learnable(
    table: Table, policy: Policy, seed: int, method: str, most: int = MOST
) -> tuple[np.ndarray, Tensor, Tensor]:
    """Return the records that are learned from: fully labelled, at most `most`, and as many as memory allows.

    Returns
    -------
    rows
        (n,) rows of the table.
    x
        (n, width) their records.
    secret
        (n,) their joint suppressed class.

    Raises
    ------
    SordineError
        Where these records are fewer than four, of one class, or all alike.
    """
    usable = np.flatnonzero(joint([table.y[a] for a in (*policy.suppress, *policy.preserve)]) >= 0)
    most = max(1000, min(most, LARGEST // table.width))
    if len(usable) > most:
        usable = np.sort(numpy_rng(seed, "transport").choice(usable, most, replace=False))
    secret = torch.from_numpy(joint([table.y[s][usable] for s in policy.suppress]))
    if len(usable) < 4 or int(secret.max()) < 1:
        named = " and ".join(map(repr, (*policy.suppress, *policy.preserve)))
        raise SordineError(
            f"{table.source}: {method} needs four training records with labels of {named} and at least two suppressed "
            f"classes; it has {len(usable)} records in {len(torch.unique(secret))} classes; label more records"
        )
    x = table.batch(usable).flatten(1)
    if not (x.amax(0) > x.amin(0)).any():
        raise SordineError(f"{table.source}: no feature varies between the records, so that {method} has nothing to do")
    return usable, x, secret


@dataclass(frozen=True)
class Alignment:
    """How the space is learned.

    Parameters
    ----------
    size
        Numbers of a code.
    axes
        Principal components that are aligned.
    rounds
        Rounds of matching and alignment. 0 leaves the first `size` axes as they are, standardised class by class.
    matching, pooled, ridge
        See `Transport`.
    covariances
        Whether the covariances of the classes are made equal first, where there are no rounds.
    """

    size: int = 12
    axes: int = 64
    rounds: int = 12
    matching: float = 0.03
    pooled: float = 100.0
    ridge: float = 0.1
    covariances: bool = False

    def learn(self, table: Table, policy: Policy, run: Run, x: Tensor, secret: Tensor, strata: Tensor) -> Aligned:
        """Return the space: ranks, classes standardised, then rounds of matching and of consensus over the classes.

        Parameters
        ----------
        table, policy, run
            Of the fit; the folder of the run holds finished spaces.
        x
            (n, width) records.
        secret, strata
            (n,) suppressed and preserved class codes. Matches stay within a preserved class.

        Raises
        ------
        SordineError
            Where records do not vary within their classes.
        """
        classes, n = int(secret.max()) + 1, len(x)
        width = x.shape[1]
        axes = min(self.axes, width, n - 1)
        space = Aligned(width, classes, min(CLASS_AXES, width, n - 1), axes, min(self.size, axes))
        fields = asdict(self) | {"seed": run.seed, "suppress": policy.suppress, "preserve": policy.preserve}
        file = checkpoint_file(run.folder, "transport", fields, table, (*policy.suppress, *policy.preserve))
        found = read_checkpoint(file)
        with contextlib.suppress(RuntimeError):  # a file of other sizes is replaced
            if found is not None:
                space.load_state_dict(found)
                return space
        space.ranks.learn(x)
        ranks: Tensor = space.ranks(x)
        if float((standardise(space, ranks, secret) - SPREAD).max()) < ALIKE:
            raise SordineError(
                f"{table.source}: records do not vary within the classes of {' and '.join(policy.suppress)}, so that "
                "nothing would be left; use more features"
            )
        initialise(space, ranks, secret, run.seed)
        if self.covariances:
            equalise_covariances(space, ranks, secret)
        if self.rounds:
            self.align(space, run, ranks, secret, strata)
        write_checkpoint(file, space.state_dict())
        return space

    def align(self, space: Aligned, run: Run, ranks: Tensor, secret: Tensor, strata: Tensor) -> None:
        """Set the map of every class from records that optimal transport matches: ranks (n, width), codes (n,)."""
        classes = int(secret.max()) + 1
        member = functional.one_hot(secret, classes).float()
        part = space.components(ranks, member)
        own = [torch.nonzero(secret == s).flatten() for s in range(classes)]
        scatter = torch.stack([part[rows].T @ part[rows] / len(rows) for rows in own])
        common = scatter.mean(0)
        weight = torch.tensor([len(rows) for rows in own], dtype=torch.float32)[:, None, None]
        scatter = (weight * scatter + self.pooled * common) / (weight + self.pooled)
        scatter = scatter + self.ridge * common.diagonal().mean() * torch.eye(len(common))
        code = part[:, : min(MATCH_AXES, part.shape[1])]
        codebook, owner = codebook_of(code, strata, MATCH_ENTRIES, run.seed)
        for done in range(self.rounds):
            shares = matches([code[r] for r in own], [strata[r] for r in own], codebook, owner, self.matching)
            means = fill_missing(torch.stack([t.T @ part[rows] for t, rows in zip(shares, own, strict=True)]), shares)
            agreed = consensus(means, scatter, space.maps.shape[2])
            target = torch.stack(
                [part[rows].T @ (t @ agreed) / len(codebook) for t, rows in zip(shares, own, strict=True)]
            )
            target = (weight * target + self.pooled * target.mean(0)) / (weight + self.pooled)
            found = torch.linalg.solve(scatter, target)
            space.maps = torch.zeros_like(space.maps)
            space.maps[:, :, : found.shape[2]] = found
            code = space.code(part, member)
            means = torch.stack([t.T @ code[rows] for t, rows in zip(shares, own, strict=True)])
            codebook = fill_missing(means, shares).mean(0)
            run.step("transport", done + 1, self.rounds)


def standardise(space: Aligned, ranks: Tensor, secret: Tensor) -> Tensor:
    """Set mean and deviation of each class: ranks (n, width), classes (n,) -> deviations plus `SPREAD`, (S, width)."""
    member = functional.one_hot(secret, len(space.mean)).float()
    count = member.sum(0)[:, None]
    space.mean = member.T @ ranks / count
    space.spread = (member.T @ (ranks - space.mean[secret]).square() / count).sqrt() + SPREAD
    return space.spread


def initialise(space: Aligned, ranks: Tensor, secret: Tensor, seed: int) -> None:
    """Set class probabilities, principal axes of standardised ranks (n, width), and maps that take the first axes."""
    learn_class_model(space, ranks, secret)
    standard = (ranks - space.mean[secret]) / space.spread[secret]
    space.offset = standard.mean(0)
    space.axes = principal_axes(standard - space.offset, space.axes.shape[1], seed)
    space.axes /= space.components(ranks, functional.one_hot(secret, len(space.mean)).float()).std()
    space.maps = torch.eye(*space.maps.shape[1:]).repeat(len(space.maps), 1, 1)


def equalise_covariances(space: Aligned, ranks: Tensor, secret: Tensor) -> None:
    """Set maps that bring each class to the common covariance with the least movement: ranks (n, width), classes (n,).

    The covariance of a class is shrunk towards the common one, the more the fewer records the class has.
    """
    classes, axes, size = space.maps.shape
    part = space.components(ranks, functional.one_hot(secret, classes).float()).double()
    own = [part[secret == s] for s in range(classes)]
    scatter = torch.stack([(p - p.mean(0)).T @ (p - p.mean(0)) for p in own])
    count = torch.tensor([len(p) for p in own])[:, None, None]
    common = scatter.sum(0) / count.sum()
    shrunk = (scatter + SHRINKAGE * axes * common) / (count + SHRINKAGE * axes)
    ridge = RIDGE * common.diagonal().mean() * torch.eye(axes)
    space.maps = monge(shrunk + ridge, common + ridge)[:, :, :size].float().contiguous()


def monge(covariance: Tensor, target: Tensor) -> Tensor:
    """Return the optimal transport map A between centred normal distributions: symmetric, with A C A = target.

    Parameters
    ----------
    covariance, target
        C (..., d, d) and (d, d), positive definite.

    Returns
    -------
    Tensor
        (..., d, d).

    References
    ----------
    - Optimal mapping (1984), method: the map between normal distributions.
    """
    half, inverse = matrix_power(covariance, 0.5), matrix_power(covariance, -0.5)
    return inverse @ matrix_power(half @ target @ half, 0.5) @ inverse


def matrix_power(matrix: Tensor, exponent: float) -> Tensor:
    """Return a power of symmetric positive definite matrices: (..., d, d) -> (..., d, d)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12).pow(exponent)[..., None, :]) @ vectors.mT


def codebook_of(code: Tensor, strata: Tensor, number: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return a codebook by k-means, where each stratum has its share of entries: (M, d), and their strata (M,)."""
    number = max(1, min(number, len(code) // FEWEST))
    found, owner = [], []
    for v in range(int(strata.max()) + 1):
        rows = torch.nonzero(strata == v).flatten()
        count = max(1, min(len(rows), round(number * len(rows) / len(code))))
        found.append(k_means(code[rows], count, seed))
        owner += [v] * count
    return torch.cat(found), torch.tensor(owner)


def explained_variance(space: Aligned, ranks: Tensor, secret: Tensor) -> float:
    """Return the share (0 to 1) of the variance of standardised axes that is linear in the code: (n, width), (n,)."""
    member = functional.one_hot(secret, len(space.mean)).float()
    part = space.components(ranks, member)
    part = part - part.mean(0)
    code = space.code(part, member)
    rest = part - code @ torch.linalg.lstsq(code, part).solution
    return 1 - float(rest.square().sum() / part.square().sum().clamp_min(1e-12))


def learn_class_model(space: Aligned, ranks: Tensor, secret: Tensor) -> None:
    """Set P(s | x), a logistic regression on principal axes of the ranks: a record to be released needs no label."""
    space.first = principal_axes(ranks - ranks.mean(0), space.first.shape[1], 0)
    inputs = (ranks @ space.first).numpy()
    scale = max(float(inputs.std()), 1e-12)
    # scikit-learn may warn of many small classes or of slow convergence; the figure `uneven` shows the effect of both.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = class_model().fit(inputs / scale, secret.numpy())
    weight, bias = model.coef_ / scale, model.intercept_
    if len(weight) == 1:  # scikit-learn keeps one row for two classes
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    space.reader = torch.from_numpy(np.concatenate([weight.T, bias[None]]).astype(np.float32))


def class_model() -> LogisticRegression:
    """Return the untrained model of P(s | x)."""
    return LogisticRegression(C=0.1, max_iter=300)


def held_out_probabilities(space: Aligned, ranks: Tensor, secret: Tensor, seed: int) -> Tensor:
    """Return P(s | x) of fitted records by models that were not trained on them, as it will be for new records.

    A class with fewer records than folds is predicted by the model of the fit: (n, width), (n,) -> (n, S).
    """
    found = space.class_probabilities(ranks)
    inputs = (ranks @ space.first).numpy()
    inputs /= max(float(inputs.std()), 1e-12)
    many = np.flatnonzero(torch.bincount(secret)[secret].numpy() >= FOLDS)
    if not len(many):
        return found
    y = secret.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, b in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(many, y[many]):
            others = np.setdiff1d(np.arange(len(y)), many[b])
            model = class_model().fit(inputs[others], y[others])
            found[many[b]] = torch.from_numpy(model.predict_proba(inputs[many[b]])).float()
    return found


def principal_axes(x: Tensor, number: int, seed: int) -> Tensor:
    """Return the leading principal axes of centred records: (n, width) -> (width, number)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if min(x.shape) <= 4 * number:
            return torch.linalg.svd(x, full_matrices=False).Vh[:number].T.contiguous()
        return torch.svd_lowrank(x, min(number + 16, min(x.shape)), niter=4)[2][:, :number].contiguous()


def linear_decoder(code: Tensor, x: Tensor) -> Tensor:
    """Return least squares from codes to records: (n, d), (n, width) -> (d + 1, width), the last row constant."""
    mean = code.mean(0)
    centred = code - mean
    slope = torch.linalg.solve(
        centred.T @ centred / len(x) + 1e-4 * torch.eye(code.shape[1]), centred.T @ (x - x.mean(0)) / len(x)
    )
    return torch.cat([slope, (x.mean(0) - mean @ slope)[None]])
