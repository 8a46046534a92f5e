"""Entropic optimal transport, codebooks, and generalised canonical correlation: the closed forms behind `transport`.

Shapes: n records, m or M entries of a codebook, d numbers of a code, S suppressed classes, V preserved classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sordine.errors import SordineError

RIDGE, LONGEST = 1e-3, 1.0  # of Newton's steps: relative to the mean curvature, and the largest change of a potential
LARGEST_FACTOR = 60.0  # logarithm of a factor from which the potentials take it up
PATIENCE, SLOW = 10, 0.99  # Newton's steps end where so many have not brought the difference below this share
LEAST = 1e-30  # smallest sum that is divided by
TOGETHER = 20_000  # records whose iterations run together, at most
TOLERANCE = 1e-3  # largest relative error of a column's marginal at which the iteration stops


def sinkhorn(cost: Tensor, temperature: float, *, most: int = 1000) -> tuple[Tensor, Tensor]:
    """Return the plan that minimises <plan, cost> - temperature * H(plan), in the log domain.

    Every record has mass 1/n and every entry of the codebook 1/m.

    Parameters
    ----------
    cost
        (n, m).
    temperature
        Above 0, in units of the cost.
    most
        Largest number of iterations.

    Returns
    -------
    plan
        (n, m); rows sum to 1/n, columns to 1/m up to the tolerance or what `most` iterations reach.
    potentials
        (m,), the dual potentials: a row of the plan is softmax(potentials - cost / temperature) / n, so that a new
        record is assigned by the potentials alone.

    Raises
    ------
    SordineError
        Where the temperature is not positive.

    References
    ----------
    - Sinkhorn distances (2013), alg. 1: here in the log domain.
    """
    return sinkhorns([cost], temperature, most=most)[0]


def sinkhorns(costs: Sequence[Tensor], temperature: float, *, most: int = 1000) -> list[tuple[Tensor, Tensor]]:
    """Return what `sinkhorn` returns for several costs (n_k, m) with the same entries.

    Costs of similar numbers of records are iterated together.

    Raises
    ------
    SordineError
        Where the temperature is not positive.
    """
    if not temperature > 0:
        raise SordineError(f"transport: the temperature is {temperature}; it must be above 0")
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for some in _alike([len(cost) for cost in costs]):
        most_rows = max(len(costs[k]) for k in some)
        score = torch.zeros(len(some), most_rows, costs[0].shape[1])
        there = torch.zeros(len(some), most_rows)  # 1 for a record, 0 for what fills up
        for place, k in enumerate(some):
            score[place, : len(costs[k])] = -costs[k] / temperature
            there[place, : len(costs[k])] = 1
        plans, potentials = _iterated(score, there, most)
        for place, k in enumerate(some):
            found[k] = plans[place, : len(costs[k])], potentials[place]
    return [found[k] for k in range(len(costs))]


def _alike(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield the positions of sizes that are at most twice as large as another, at most `TOGETHER` in all."""
    order = sorted(range(len(sizes)), key=lambda k: sizes[k])
    while order:
        largest = max(1, 2 * sizes[order[0]])
        some = [k for k in order if sizes[k] <= largest][: max(1, TOGETHER // largest)]
        yield some
        order = order[len(some) :]


def _iterated(score: Tensor, there: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return plans (k, n, m) and potentials (k, m): scores (k, n, m), and (k, n) of 1 for records, 0 for others."""
    m, number = score.shape[2], there.sum(1, keepdim=True)
    outside = torch.where(there > 0, 0.0, -torch.inf)[:, :, None]
    # The first update.
    potentials = -torch.logsumexp(score - torch.logsumexp(score, 2, keepdim=True) + outside, 1)
    done, found = 1, False
    while done < most and not found:
        # Products of factors are quick, but leave the range of numbers: then the potentials take them up.
        kernel = torch.softmax(score + potentials[:, None], 2) * (there / number)[:, :, None]
        factors = torch.ones_like(potentials)
        while done < most and float(factors.log().abs().max()) < LARGEST_FACTOR:
            done += 1
            rows = there / (kernel @ factors[:, :, None])[:, :, 0].clamp_min(LEAST)
            # Rows are exact, columns after the next update.
            filled = (rows[:, None] @ kernel)[:, 0] / number
            if done % 10 == 0 and float((filled * factors * m).log().abs().max()) < TOLERANCE:
                found = True
                break
            factors = 1 / (m * filled.clamp_min(LEAST))
        potentials = potentials + factors.log()
    plans = torch.softmax(score + potentials[:, None], 2) * (there / number)[:, :, None]
    return plans, potentials


def balanced(
    cost: Tensor, temperature: float, groups: Tensor, member: Tensor, *, most: int = 300
) -> tuple[Tensor, Tensor]:
    """Return the dual potentials with which every group fills every entry of the codebook alike.

    P(j | x_i) = softmax over j of (member_i @ potentials)_j - cost_ij / temperature. Sinkhorn's update of the
    potentials of each group moves its mean of P towards 1/m. Where class probabilities are certain, it is Sinkhorn's
    iteration. Where they err, potentials that balance all groups need not exist, and the result is what `most` updates
    reach; measure it.

    Parameters
    ----------
    cost
        (n, m).
    temperature
        Above 0, in units of the cost.
    groups
        (n,) class codes.
    member
        (n, S), class probabilities of each record; rows sum to 1. A class without a record here gets the mean
        potentials.
    most
        Largest number of updates.

    Returns
    -------
    plan
        P, (n, m).
    potentials
        (S, m), of mean 0.

    References
    ----------
    - Sinkhorn distances (2013), alg. 1: one column update a group; the mixture over classes is ours.
    """
    m = cost.shape[1]
    count = torch.bincount(groups, minlength=member.shape[1]).float()
    present = count > 0
    score = -cost / temperature
    potentials = torch.zeros(member.shape[1], m)
    plan = torch.softmax(score, 1)
    for _ in range(most):
        filled = torch.zeros_like(potentials).index_add_(0, groups, plan)
        fill_rate = filled[present] / count[present, None] * m  # 1 where balanced
        if float((fill_rate - 1).abs().max()) < TOLERANCE:
            break
        potentials[present] -= fill_rate.clamp_min(1e-12).log()
        potentials[~present] = potentials[present].mean(0)
        potentials -= potentials.mean(1, keepdim=True)
        plan = torch.softmax(torch.addmm(score, member, potentials), 1)
    return plan, potentials


def smooth_functions(codebook: Tensor, count: int) -> Tensor:
    """Return the smoothest functions over the entries of a codebook: (m, d) -> (m, count or fewer), orthonormal.

    They are the leading eigenvectors of a Gaussian kernel, whose width is the median distance of two entries.
    """
    apart = torch.cdist(codebook.double(), codebook.double()).square()
    width = apart[apart > 0].median() if (apart > 0).any() else torch.ones((), dtype=torch.double)
    return torch.linalg.eigh(torch.exp(-apart / width))[1][:, -count:]


def smoothly_balanced(
    cost: Tensor, temperature: float, groups: Tensor, member: Tensor, functions: Tensor, *, most: int = 300
) -> tuple[Tensor, Tensor]:
    """Return dual potentials, made of few functions, with which these functions have one mean in every group.

    `balanced` sets a potential for every entry and group. With few records of a group to each entry it fits their
    chance, which does not hold for other records. Here potentials are sums of smooth functions over the codebook.

    Parameters
    ----------
    cost, temperature, groups, member, most
        As in `balanced`.
    functions
        (m, r) orthonormal functions over the entries, from `smooth_functions`.

    Returns
    -------
    plan
        P, (n, m).
    potentials
        (S, m).
    """
    functions = functions.double()
    count = torch.bincount(groups, minlength=member.shape[1]).double()
    present = count > 0
    weights = torch.zeros(member.shape[1], functions.shape[1], dtype=torch.double)  # of the functions in potentials
    score, basis = -cost / temperature, functions.float()
    plan, left = torch.softmax(score, 1), []
    for _ in range(most):
        means = plan @ basis
        filled = torch.zeros_like(weights).index_add_(0, groups, means.double())[present] / count[present, None]
        away = filled - filled.mean(0)
        left.append(float(away.abs().max()))
        # Errors of the predicted classes can leave a difference that no potentials remove.
        stuck = min(left[-PATIENCE:]) > SLOW * min(left[:-PATIENCE], default=math.inf)
        if stuck or left[-1] < TOLERANCE / math.sqrt(cost.shape[1]):
            break
        # Newton's step, with the variances of the functions within the P of a record; a long one is shortened.
        scatter = (means.T @ means).double() / len(plan)
        curve = functions.T @ (plan.mean(0).double()[:, None] * functions) - scatter
        ridge = RIDGE * curve.diagonal().mean() * torch.eye(len(curve), dtype=torch.double)
        step = torch.linalg.solve(curve + ridge, away.T).T
        longest = (step @ functions.T).abs().amax(1, keepdim=True)
        weights[present] -= step * (LONGEST / longest.clamp_min(LONGEST))
        weights[~present] = weights[present].mean(0)
        plan = torch.softmax(torch.addmm(score, member @ weights.float(), basis.T), 1)
    return plan, (weights @ functions.T).float()


def k_means(codes: Tensor, count: int, seed: int, *, passes: int = 20) -> Tensor:
    """Return `count` centres by Lloyd's algorithm from records drawn at random: (n, d) -> (count, d).

    A centre without a nearest record keeps its place.
    """
    generator = torch.Generator().manual_seed(seed)
    found = codes[torch.randperm(len(codes), generator=generator)[:count]].clone()
    for _ in range(passes):
        nearest = torch.cdist(codes, found).argmin(1)
        number = torch.bincount(nearest, minlength=count)
        mean = torch.zeros_like(found).index_add_(0, nearest, codes) / number.clamp_min(1)[:, None]
        found = torch.where(number[:, None] > 0, mean, found)
    return found


def consensus(means: Tensor, scatter: Tensor, size: int) -> Tensor:
    """Return the directions over the codebook that a linear map of each class reaches best (MAXVAR).

    Parameters
    ----------
    means
        (S, m, d), the mean record of each class at each entry of the codebook.
    scatter
        (S, d, d), E x x^T of the records of each class, ridge included.
    size
        Number of directions.

    Returns
    -------
    Tensor
        (m, size): columns of mean 0, each of norm sqrt(m) times the root of how well the classes agree on it (0 to 1).

    References
    ----------
    - Generalised canonical correlation (1971), method: MAXVAR.
    """
    classes, m, _ = means.shape
    part = means / math.sqrt(m)
    agree = torch.einsum("smd,snd->mn", part, torch.linalg.solve(scatter, part.mT).mT) / classes
    mean = torch.full((m, 1), 1 / math.sqrt(m))
    agree = agree - mean @ (mean.T @ agree)
    agree = agree - (agree @ mean) @ mean.T  # a constant over the codebook carries no information
    values, vectors = torch.linalg.eigh((agree + agree.T) / 2)
    values, vectors = values.flip(0)[:size], vectors.flip(1)[:, :size]
    return vectors * math.sqrt(m) * values.clamp_min(0).sqrt()


def matches(
    codes: Sequence[Tensor], strata: Sequence[Tensor], codebook: Tensor, owner: Tensor, temperature: float
) -> list[Tensor]:
    """Return by how much each record of a class makes up each entry of the codebook, matched within strata.

    Parameters
    ----------
    codes, strata
        For each class (n_s, d) codes and (n_s,) strata of its records.
    codebook, owner
        (M, d) entries and (M,) the stratum of each.
    temperature
        Of the match, in units of the mean squared distance of the class.

    Returns
    -------
    list of Tensor
        For each class (n_s, M); columns sum to 1, or to 0 where the class has no record of the entry's stratum.
    """
    shares = [torch.zeros(len(code), len(codebook)) for code in codes]
    scales = [torch.cdist(code, codebook).square().mean().clamp_min(1e-12) for code in codes]
    for v in range(int(owner.max()) + 1):
        here = torch.nonzero(owner == v).flatten()
        rows = [torch.nonzero(own == v).flatten() for own in strata]
        some = [s for s in range(len(codes)) if len(rows[s])]
        costs = [torch.cdist(codes[s][rows[s]], codebook[here]).square() / scales[s] for s in some]
        for s, (plan, _) in zip(some, sinkhorns(costs, temperature, most=60), strict=True):
            shares[s][rows[s][:, None], here] = plan / plan.sum(0).clamp_min(1e-12)
    return shares


def fill_missing(means: Tensor, shares: list[Tensor]) -> Tensor:
    """Replace the mean record of a class that an entry lacks by the mean over the other classes: (S, M, d) -> same."""
    present = torch.stack([(t.sum(0) > 0).float() for t in shares])[:, :, None]
    return torch.where(present > 0, means, means.sum(0) / present.sum(0).clamp_min(1))


def stratum_moves(secret: Tensor, strata: Tensor, even: float) -> Tensor:
    """Return probabilities of moves between strata, so that suppressed classes differ less in their strata.

    Parameters
    ----------
    secret, strata
        (n,) suppressed and preserved class codes.
    even
        Share of the difference to the mean distribution that is removed, 0 to 1. As few records as possible move.

    Returns
    -------
    Tensor
        (S, V, V); rows sum to 1.
    """
    share = torch.zeros(int(secret.max()) + 1, int(strata.max()) + 1)
    share.index_put_((secret, strata), torch.ones(len(secret)), accumulate=True)
    share = share / share.sum(1, keepdim=True)
    wanted = (1 - even) * share + even * share.mean(0)
    stays = torch.where(share > 0, torch.minimum(share, wanted) / share.clamp_min(1e-12), 1.0)
    lacks = (wanted - share).clamp_min(0)
    to = lacks / lacks.sum(1, keepdim=True).clamp_min(1e-12)
    moved = torch.diag_embed(stays) + (1 - stays)[:, :, None] * to[:, None, :]
    return torch.where(lacks.sum(1)[:, None, None] > 1e-9, moved, torch.eye(share.shape[1]))
