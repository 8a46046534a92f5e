"""MaSS, both versions: multi-attribute selective suppression.

Shapes: B records in a batch, d dimensions, K classes. Entropies and bounds are in nats.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.losses import check_tau, cosine, masked_mean, unit

# --------------------------------------------------------------------------------------------- MaSS (first version)


def modify(x: Tensor, change: Tensor) -> Tensor:
    """MaSS eq. 1: x' = n(x + n(change)), change = MLP(x). x: (B, d), already normalised by the caller."""
    return unit(x + unit(change))


def similarity_cosine(z_new: Tensor, z_old: Tensor) -> Tensor:
    """MaSS, sim_cos under eq. 2: cosine of a pretrained model's features of x' and of x. (B, d), (B, d) -> (B,)."""
    return cosine(z_new, z_old)


def similarity_negative_kl(logits_new: Tensor, logits_old: Tensor) -> Tensor:
    """MaSS, sim_KL under eq. 2: -KL(p_new || p_old) in nats. (B, K), (B, K) -> (B,).

    The paper writes logits; a divergence needs distributions, so both go through a softmax.
    """
    new, old = logits_new.log_softmax(-1), logits_old.log_softmax(-1)
    return -(new.exp() * (new - old)).sum(-1)


def similarity_cross_entropy(logits_new: Tensor, labels: Tensor) -> Tensor:
    """MaSS, sim_CE under eq. 2: log p_new[s_x], the negative cross-entropy. (B, K), (B,) -> (B,); 0 where unlabelled.

    As printed, -KL(p_new || one-hot), it is minus infinity for every softmax output: p_new gives mass to classes to
    which the one-hot gives none. The divergence the other way round, KL(one-hot || p_new), is the cross-entropy.
    Average it with `masked_mean(values, labels)`, or an unlabelled record would count as perfectly read.
    """
    picked = logits_new.log_softmax(-1).gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1)
    return torch.where(labels >= 0, picked, torch.zeros_like(picked))


def feature_similarity(similarity: Tensor, w: float, labels: Tensor | None = None) -> Tensor:
    """MaSS eq. 2: w * mean of sim(x', x). similarity: (B,), one of the three above; labels only for sim_CE."""
    return w * masked_mean(similarity, labels)


def suppression(similarity: Tensor, entropy: Tensor, w: float, h: float, labels: Tensor | None = None) -> Tensor:
    """MaSS eq. 3, one suppressed attribute: w * mean sim(x', x) - h * mean H(p_x'). Both (B,).

    labels masks the similarity alone: the entropy of a prediction needs no label.
    """
    return feature_similarity(similarity, w, labels) - h * entropy.mean()


def reconstruction(x_new: Tensor, x: Tensor, w: float) -> Tensor:
    """MaSS eq. 4: w * mean of |x' - x|, the L2 norm and not its square. (B, ...), (B, ...)."""
    return w * torch.linalg.vector_norm((x_new - x).flatten(1), dim=1).mean()


def preservation(similarity: Tensor, w: float, labels: Tensor | None = None) -> Tensor:
    """MaSS eq. 8, one preserved attribute: -w * mean of sim(x', x). similarity: (B,); labels only for sim_CE."""
    return -feature_similarity(similarity, w, labels)


def mass_total(
    suppressions: Iterable[Tensor],
    rec: Tensor | None = None,
    agnostic_term: Tensor | None = None,
    preservations: Iterable[Tensor] = (),
) -> Tensor:
    """MaSS eq. 9: the sum of eq. 3 over suppressed, eq. 4, eq. 7, and eq. 8 over preserved attributes.

    Raises SordineError where there is no term at all.
    """
    terms = [*suppressions, *(t for t in (rec, agnostic_term) if t is not None), *preservations]
    if not terms:
        raise SordineError("MaSS: eq. 9 has no term: nothing is suppressed, kept close or preserved")
    return torch.stack(terms).sum()


# --------------------------------------------------------------------------------------------- MaSS (ICML 2024)


def bound_penalty(violation: Tensor, lambda1: float, lambda2: float) -> Tensor:
    """MaSS (ICML 2024): lambda1 * v + lambda2 * v^2, v = max(violation, 0). Any shape, elementwise.

    violation: by how much a bound on mutual information is passed, in nats: I - m for a suppressed attribute, n - I for
    a preserved one. A bound that holds costs nothing and has no gradient.
    """
    v = violation.relu()
    return lambda1 * v + lambda2 * v * v


def mutual_information_estimate(label_entropy_nats: float, cross_entropy: Tensor) -> Tensor:
    """MaSS (ICML 2024): H(s) - CE, in nats, of a classifier co-trained on modified records.

    A lower bound of I(X'; s) up to sampling error, as cross-entropy is never below H(s | X'); it may come out negative.
    """
    return label_entropy_nats - cross_entropy


def info_nce(z: Tensor, z_new: Tensor, tau: float) -> Tensor:
    """MaSS (ICML 2024): InfoNCE, x finding its own x' among the batch's. (B, d), (B, d) -> scalar, nats.

    -mean log softmax over y of cos(z_x, z'_y) / tau at y = x. log B minus it bounds I(X; X') from below; unlike
    eqs. 5 and 6, other originals are no negatives. Raises SordineError where tau is not positive.
    """
    check_tau(tau)
    return -(unit(z) @ unit(z_new).T / tau).log_softmax(1).diagonal().mean()
