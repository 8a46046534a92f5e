"""The losses of MaSS, first version (2022) and information form (2024).

Shapes: B records in a batch, d dimensions, K classes. Entropies and bounds are in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordine.models.losses import check_tau, cosine, masked_mean, unit

# --------------------------------------------------------------------------------------------- MaSS (first version)


def modify(x: Tensor, change: Tensor) -> Tensor:
    """Return x' = n(x + n(change)) with change = MLP(x): (B, d) of norm 1, (B, d) -> (B, d) of norm 1.

    References
    ----------
    - MaSS (2022), eq. 1
    """
    return unit(x + unit(change))


def similarity_cosine(z_new: Tensor, z_old: Tensor) -> Tensor:
    """Return sim_cos, the cosine of a pretrained model's features of x' and of x: (B, d), (B, d) -> (B,).

    References
    ----------
    - MaSS (2022), eq. 2: the cosine similarity named below it.
    """
    return cosine(z_new, z_old)


def similarity_negative_kl(logits_new: Tensor, logits_old: Tensor) -> Tensor:
    """Return sim_KL, -KL(p_new || p_old) in nats: (B, K), (B, K) -> (B,).

    The paper writes logits. A divergence needs distributions, so both go through a softmax.

    References
    ----------
    - MaSS (2022), eq. 2: the negative divergence named below it.
    """
    new, old = logits_new.log_softmax(-1), logits_old.log_softmax(-1)
    return -(new.exp() * (new - old)).sum(-1)


def similarity_cross_entropy(logits_new: Tensor, labels: Tensor) -> Tensor:
    """Return sim_CE, log p_new[s_x], the negative cross-entropy: (B, K), (B,) -> (B,); 0 where unlabelled.

    Average it with `masked_mean(values, labels)`: else an unlabelled record would count as predicted perfectly.

    References
    ----------
    - MaSS (2022), eq. 2: corrected. As printed, -KL(p_new || one-hot), it is minus infinity for every softmax output;
      the divergence the other way round, KL(one-hot || p_new), is the cross-entropy.
    """
    picked = logits_new.log_softmax(-1).gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    return torch.where(labels >= 0, picked, torch.zeros_like(picked))


def feature_similarity(similarity: Tensor, w: float, labels: Tensor | None = None) -> Tensor:
    """Return w * mean of sim(x', x): similarity (B,), one of the three above; labels (B,) only for sim_CE.

    References
    ----------
    - MaSS (2022), eq. 2
    """
    return w * masked_mean(similarity, labels)


def suppression(similarity: Tensor, entropy: Tensor, w: float, h: float, labels: Tensor | None = None) -> Tensor:
    """Return the loss of one suppressed attribute, w * mean sim(x', x) - h * mean H(p_x'): both (B,).

    The labels mask the similarity only: the entropy of a prediction needs no label.

    References
    ----------
    - MaSS (2022), eq. 3
    """
    return feature_similarity(similarity, w, labels) - h * entropy.mean()


def reconstruction(x_new: Tensor, x: Tensor, w: float) -> Tensor:
    """Return w * mean of |x' - x|, the L2 norm and not its square: (B, ...), (B, ...) -> scalar.

    References
    ----------
    - MaSS (2022), eq. 4
    """
    return w * torch.linalg.vector_norm((x_new - x).flatten(1), dim=1).mean()


def preservation(similarity: Tensor, w: float, labels: Tensor | None = None) -> Tensor:
    """Return the loss of one preserved attribute, -w * mean of sim(x', x): similarity (B,), labels only for sim_CE.

    References
    ----------
    - MaSS (2022), eq. 8
    """
    return -feature_similarity(similarity, w, labels)


# --------------------------------------------------------------------------------------------- MaSS (ICML 2024)


def bound_penalty(violation: Tensor, lambda1: float, lambda2: float) -> Tensor:
    """Return lambda1 * v + lambda2 * v^2 with v = max(violation, 0), elementwise, in any shape.

    Parameters
    ----------
    violation
        By how much a bound on mutual information is exceeded, in nats: I - m for a suppressed attribute, n - I for a
        preserved one. A bound that holds costs nothing and has no gradient.
    lambda1, lambda2
        Weights, not negative.

    References
    ----------
    - MaSS (2024), objective: the penalty of a bound.
    """
    v = violation.relu()
    return lambda1 * v + lambda2 * v * v


def mutual_information_estimate(label_entropy_nats: float, cross_entropy: Tensor) -> Tensor:
    """Return H(s) - CE, in nats, of a classifier co-trained on modified records.

    It is a lower bound of I(X'; s) up to sampling error, as cross-entropy is never below H(s | X'), and can be
    negative.

    References
    ----------
    - MaSS (2024), objective: the estimate of mutual information.
    """
    return label_entropy_nats - cross_entropy


def info_nce(z: Tensor, z_new: Tensor, tau: float) -> Tensor:
    """Return InfoNCE, -mean log softmax over y of cos(z_x, z'_y) / tau at y = x: (B, d), (B, d) -> scalar, nats.

    log B minus it bounds I(X; X') from below. Unlike in eqs. 5 and 6 of the first version, other originals are no
    negatives.

    Raises
    ------
    SordineError
        Where tau is not positive.

    References
    ----------
    - MaSS (2024), objective: the term of unlabelled information.
    """
    check_tau(tau)
    return -(unit(z) @ unit(z_new).T / tau).log_softmax(1).diagonal().mean()
