"""PASS: the terms of stochastic data substitution.

Shapes: B records in a batch, d dimensions, K classes, M substitutes. Entropies are in nats.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sordine.models.losses import check_tau, masked_mean, neg_p_log_p, one_hot, unit


def substitution_probabilities(f: Tensor, g: Tensor, tau: float, never: Tensor | None = None) -> Tensor:
    """Return P(j | x) = softmax over j of cos(f(x), g(x_j)) / tau.

    Parameters
    ----------
    f, g
        (B, d) embeddings of records and (M, d) of substitutes.
    tau
        Temperature, above 0.
    never
        (B, M) bool, substitutes that a record must not get; ours, the paper has none.

    Returns
    -------
    Tensor
        (B, M); rows sum to 1.

    Raises
    ------
    SordineError
        Where tau is not positive.

    References
    ----------
    - PASS (2025), method: the substitution probability.
    """
    check_tau(tau)
    likeness = unit(f) @ unit(g).T / tau
    return (likeness if never is None else likeness.masked_fill(never, -torch.inf)).softmax(-1)


def conditional_index_entropy(p_j_given_x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the mean of H(J | s) over P(s), in nats, which the objective subtracts: (B, M), (B,) -> scalar.

    P(j | s) is the mean of P(j | x) over the records of class s in the batch, P(s) their share of the labelled ones.

    References
    ----------
    - PASS (2025), objective: first term.
    """
    member = one_hot(labels, classes, p_j_given_x)  # (B, K)
    count = member.sum(0)  # (K,)
    p_j_given_s = member.T @ p_j_given_x / count.clamp_min(1).unsqueeze(1)  # (K, M); a class not in the batch is zeros
    return (count / count.sum().clamp_min(1)) @ neg_p_log_p(p_j_given_s).sum(1)


def preserved_match(p_j_given_x: Tensor, pool_labels: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return log|U| * E[-P(U' = u | x)], with P(U' = u | x) the probability of a substitute with the record's label.

    Parameters
    ----------
    p_j_given_x
        (B, M).
    pool_labels, labels
        (M,) and (B,) class codes. An unlabelled substitute matches no record.
    classes
        Number of classes.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    - PASS (2025), objective: second term.
    """
    mass = p_j_given_x @ one_hot(pool_labels, classes, p_j_given_x)  # (B, K)
    own = mass.gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1)
    return -math.log(classes) * masked_mean(own, labels)


def index_entropy(p_j_given_x: Tensor) -> Tensor:
    """Return the mean of H(J | x) in nats: (B, M) -> scalar. It is low where the substitution is nearly deterministic.

    References
    ----------
    - PASS (2025), objective: third term.
    """
    return neg_p_log_p(p_j_given_x).sum(-1).mean()
