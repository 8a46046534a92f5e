"""Entropic optimal transport: shares of records over cells whose marginals are given, the prices that bring it about, and what
classes can agree on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sordine.errors import SordineError

TOLERANCE = 1e-3  # largest relative error of a cell's share at which the iteration stops


def sinkhorn(cost: Tensor, softness: float, *, most: int = 1000) -> tuple[Tensor, Tensor]:
    """Cuturi (NeurIPS 2013), in the log domain: the plan that minimises <plan, cost> - softness * H(plan) where every
    record weighs 1/n and every cell 1/m.

    cost: (n, m). softness: in units of the cost. most: iterations.
    -> plan (n, m), its rows summing to 1/n and its columns to 1/m up to the tolerance, or as far as `most` iterations came; prices (m,): a row of the plan
    is softmax(prices - cost / softness) / n, so that a new record is placed by the prices alone.
    Raises SordineError where softness is not positive.
    """
    if not softness > 0:
        raise SordineError(f"transport: softness is {softness}; it must be above 0")
    n, m = cost.shape
    score = -cost.double() / softness
    row = -math.log(n)
    column = -math.log(m)
    prices = torch.zeros(m, dtype=torch.double)
    for done in range(1, most + 1):
        weight = row - torch.logsumexp(score + prices, 1)  # rows are exact after this, columns after the next line
        given = torch.logsumexp(score + weight[:, None], 0)
        error = (given + prices - column).abs().max() if done % 10 == 0 else torch.inf
        if error < TOLERANCE:
            break
        prices = column - given
    plan = torch.exp(score + prices + (row - torch.logsumexp(score + prices, 1))[:, None])
    return plan.float(), prices.float()


def balanced(
    cost: Tensor, softness: float, groups: Tensor, member: Tensor, *, most: int = 300
) -> tuple[Tensor, Tensor]:
    """Prices that let every group fill every cell alike, where a record pays what it is believed to be of.

    P(j | x_i) = softmax over j of (member_i @ prices)_j - cost_ij / softness; the mean of it over each group's records is
    brought towards 1/m by Sinkhorn's step on the group's own prices, which is his iteration where belief is certain. Where
    belief errs, even prices need not exist, and what is reached after `most` steps is given: measure it.

    cost: (n, m). groups: (n,) codes. member: (n, S), what each record is believed to be of, rows summing to 1; a class that
    no record here is of pays the mean of the others' prices. -> P (n, m); prices (S, m), of mean 0.
    """
    n, m = cost.shape
    own = torch.zeros(n, member.shape[1], dtype=torch.double)
    own[torch.arange(n), groups] = 1
    count = own.sum(0)
    there = count > 0
    believed, score = member.double(), -cost.double() / softness
    prices = torch.zeros(member.shape[1], m, dtype=torch.double)
    plan = torch.softmax(score, 1)
    for _ in range(most):
        given = (own.T @ plan)[there] / count[there, None] * m  # 1 where balanced
        if float((given - 1).abs().max()) < TOLERANCE:
            break
        prices[there] -= given.clamp_min(1e-12).log()
        prices[~there] = prices[there].mean(0)
        prices -= prices.mean(1, keepdim=True)
        plan = torch.softmax(score + believed @ prices, 1)
    return plan.float(), prices.float()


def centres(codes: Tensor, count: int, seed: int, *, passes: int = 20) -> Tensor:
    """k-means (Lloyd) from records drawn at random: (n, d) -> (count, d). A centre that nothing is near stays where it was."""
    generator = torch.Generator().manual_seed(seed)
    found = codes[torch.randperm(len(codes), generator=generator)[:count]].clone()
    for _ in range(passes):
        nearest = torch.cdist(codes, found).argmin(1)
        number = torch.bincount(nearest, minlength=count)
        mean = torch.zeros_like(found).index_add_(0, nearest, codes) / number.clamp_min(1)[:, None]
        found = torch.where(number[:, None] > 0, mean, found)
    return found


def consensus(means: Tensor, scatter: Tensor, size: int) -> Tensor:
    """MAXVAR generalised canonical correlation (Kettenring, Biometrika 1971): the directions over cells that every class
    can be brought to by a linear map of its own.

    means: (S, m, d), class s's mean record in each cell. scatter: (S, d, d), E x x^T of class s's records, ridge included.
    -> (m, size): columns of mean 0, each of norm sqrt(m) times the root of how well classes agree on it (0 to 1).
    """
    classes, m, _ = means.shape
    part = means / math.sqrt(m)
    agree = torch.einsum("smd,snd->mn", part, torch.linalg.solve(scatter, part.mT).mT) / classes
    mean = torch.full((m, 1), 1 / math.sqrt(m))
    agree = agree - mean @ (mean.T @ agree)
    agree = agree - (agree @ mean) @ mean.T  # what is the same in all cells tells nothing
    values, vectors = torch.linalg.eigh((agree + agree.T) / 2)
    values, vectors = values.flip(0)[:size], vectors.flip(1)[:, :size]
    return vectors * math.sqrt(m) * values.clamp_min(0).sqrt()


def match(code: Tensor, strata: Tensor, cells: Tensor, owner: Tensor, softness: float) -> Tensor:
    """Of each cell, how much of it every record of one class is: (n, M), columns summing to 1, or 0 where the class has no
    record of the cell's stratum."""
    share = torch.zeros(len(code), len(cells))
    scale = torch.cdist(code, cells).square().mean().clamp_min(1e-12)
    for v in range(int(owner.max()) + 1):
        rows, here = torch.nonzero(strata == v).flatten(), torch.nonzero(owner == v).flatten()
        if len(rows):
            plan, _ = sinkhorn(torch.cdist(code[rows], cells[here]).square() / scale, softness, most=60)
            share[rows[:, None], here] = plan / plan.sum(0).clamp_min(1e-12)
    return share


def fill(means: Tensor, shares: list[Tensor]) -> Tensor:
    """A class's mean record in a cell of a stratum that it lacks is the mean over those that have it: (S, M, d) -> same."""
    there = torch.stack([(t.sum(0) > 0).float() for t in shares])[:, :, None]
    return torch.where(there > 0, means, means.sum(0) / there.sum(0).clamp_min(1))


def flows(secret: Tensor, strata: Tensor, even: float) -> Tensor:
    """Where records go so that suppressed classes differ less in their shares of the preserved ones: (n,), (n,) codes ->
    (S, V, V), rows summing to 1. `even` of the difference to the mean share is taken away, and no more records move than must."""
    share = torch.zeros(int(secret.max()) + 1, int(strata.max()) + 1)
    share.index_put_((secret, strata), torch.ones(len(secret)), accumulate=True)
    share = share / share.sum(1, keepdim=True)
    wanted = (1 - even) * share + even * share.mean(0)
    stays = torch.where(share > 0, torch.minimum(share, wanted) / share.clamp_min(1e-12), 1.0)
    lacks = (wanted - share).clamp_min(0)
    to = lacks / lacks.sum(1, keepdim=True).clamp_min(1e-12)
    moved = torch.diag_embed(stays) + (1 - stays)[:, :, None] * to[:, None, :]
    return torch.where(lacks.sum(1)[:, None, None] > 1e-9, moved, torch.eye(share.shape[1]))
