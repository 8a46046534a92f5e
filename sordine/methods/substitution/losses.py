"""PASS (ICML 2025): stochastic data substitution.

Shapes: B records in a batch, d dimensions, K classes, M substitutes. Entropies are in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sordine.models.losses import check_tau, masked_mean, neg_p_log_p, one_hot, unit


def channel_probabilities(f: Tensor, g: Tensor, tau: float, never: Tensor | None = None) -> Tensor:
    """PASS: P(j | x) = softmax over j of cos(f(x), g(x_j)) / tau. (B, d), (M, d) -> (B, M).

    never: (B, M) bool, substitutes that a record must not get (ours; the paper has none). Raises SordineError where tau
    is not positive.
    """
    check_tau(tau)
    likeness = unit(f) @ unit(g).T / tau
    return (likeness if never is None else likeness.masked_fill(never, -torch.inf)).softmax(-1)


def conditional_index_entropy(p_j_given_x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """PASS: E over P(s) of H(J | s), nats. (B, M), (B,) -> scalar; the objective subtracts it.

    P(j | s) is the mean of P(j | x) over the batch's records of class s, P(s) their share among the labelled ones.
    """
    member = one_hot(labels, classes, p_j_given_x)  # (B, K)
    count = member.sum(0)  # (K,)
    p_j_given_s = member.T @ p_j_given_x / count.clamp_min(1).unsqueeze(1)  # (K, M); a class not in the batch is zeros
    return (count / count.sum().clamp_min(1)) @ neg_p_log_p(p_j_given_s).sum(1)


def preserved_match(p_j_given_x: Tensor, pool_labels: Tensor, labels: Tensor, classes: int) -> Tensor:
    """PASS: log|U| * E[-P(U' = u | x)], P(U' = u | x) the mass on substitutes with x's own label. -> scalar.

    p_j_given_x: (B, M); pool_labels: (M,); labels: (B,). An unlabelled substitute matches nothing.
    """
    mass = p_j_given_x @ one_hot(pool_labels, classes, p_j_given_x)  # (B, K)
    own = mass.gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1)
    return -math.log(classes) * masked_mean(own, labels)


def index_entropy(p_j_given_x: Tensor) -> Tensor:
    """PASS: E H(J | x), nats: (B, M) -> scalar. Low is a nearly deterministic substitution."""
    return neg_p_log_p(p_j_given_x).sum(-1).mean()


def substitution_total(
    index_entropies: Sequence[Tensor],
    matches: Sequence[Tensor],
    record_entropy: Tensor,
    preserve_weight: float | None = None,
    entropy_weight: float | None = None,
) -> Tensor:
    """PASS: sum of -E H(J | s) + lambda * sum of `preserved_match` + mu * E H(J | x).

    index_entropies: `conditional_index_entropy` per suppressed attribute; matches: `preserved_match` per preserved one.
    preserve_weight (lambda) is by default suppressed / preserved attributes, entropy_weight (mu) 0.2 * suppressed.
    """
    suppressed, preserved = len(index_entropies), len(matches)
    if preserve_weight is None:
        preserve_weight = suppressed / max(preserved, 1)
    if entropy_weight is None:
        entropy_weight = 0.2 * suppressed
    total = entropy_weight * record_entropy
    for entropy in index_entropies:
        total = total - entropy
    for match in matches:
        total = total + preserve_weight * match
    return total
