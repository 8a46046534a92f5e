"""One pure function per equation, each naming its paper and number.

Shapes: B records in a batch, d dimensions, K classes, M substitutes. Logarithms are natural: entropies and bounds are
in nats. Labels are int64 with -1 for unlabelled; every mean over labelled records leaves those out.
`docs/equations.md` lists the same functions by paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sordine.errors import SordineError

# --------------------------------------------------------------------------------------------- shared pieces


def unit(v: Tensor) -> Tensor:
    """n(v) of MaSS eq. 1: v / |v| along the last axis, and 0 where v is 0. (..., d) -> (..., d).

    The gradient at a zero row is 0, so that it stays finite. Rows whose squared length is below the smallest normal
    number count as zero: their direction is rounding.
    """
    square = (v * v).sum(-1, keepdim=True)
    zero = square < torch.finfo(v.dtype).tiny
    # The inner `where` keeps sqrt and the division away from 0: a NaN there would survive the outer one's gradient.
    return torch.where(zero, torch.zeros_like(v), v / torch.where(zero, torch.ones_like(square), square).sqrt())


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between rows, 0 where either is a zero vector: (B, d), (B, d) -> (B,)."""
    return (unit(a) * unit(b)).sum(-1)


def masked_mean(values: Tensor, labels: Tensor | None = None) -> Tensor:
    """Mean of `values` (B,) over the records whose label (B,) is not -1; over all of them where labels is None.

    With nothing labelled in the batch it is a 0 that still has a (zero) gradient, so that a loss term drops out.
    """
    if labels is None:
        return values.mean()
    known = labels >= 0
    return torch.where(known, values, torch.zeros_like(values)).sum() / known.sum().clamp_min(1)


def _neg_p_log_p(p: Tensor) -> Tensor:
    # p * log(max(p, tiny)) rather than xlogy: its gradient at p = 0 (softmax underflows at tau = 0.01) is finite.
    return -p * p.clamp_min(torch.finfo(p.dtype).tiny).log()


def _one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    # (B,) -> (B, K) in like's dtype; an unlabelled record is a row of zeros.
    return functional.one_hot(labels.clamp_min(0), classes).to(like.dtype) * (labels >= 0).unsqueeze(1).to(like.dtype)


def _check_tau(tau: float) -> None:
    if not tau > 0:
        raise SordineError(f"tau is a temperature and must be above 0, not {tau}")


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


def entropy_of_predictions(logits: Tensor) -> Tensor:
    """H(p) of eq. 3, in nats: (B, K) -> (B,)."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


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


def nt_xent_pairs(p: Tensor, p_new: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """MaSS eqs. 5 and 6: NT-Xent of the pairs (x, x') and (x', x). (B, d), (B, d) -> l_x (B,), l_x' (B,).

    The denominator for the anchor x holds all y' (its own x' among them) and all y but x itself: 2B - 1 terms.
    Raises SordineError where tau is not positive.
    """
    _check_tau(tau)
    a, b = unit(p), unit(p_new)
    cross = a @ b.T / tau  # (B, B): x against every y'
    itself = torch.eye(len(a), dtype=torch.bool, device=a.device)
    old = (a @ a.T / tau).masked_fill(itself, -math.inf)  # (B, B): x against every other y
    new = (b @ b.T / tau).masked_fill(itself, -math.inf)  # (B, B): x' against every other y'
    own = cross.diagonal()
    return (
        torch.cat([cross, old], dim=1).logsumexp(1) - own,
        torch.cat([cross.T, new], dim=1).logsumexp(1) - own,
    )


def agnostic(p: Tensor, p_new: Tensor, tau: float, w: float) -> Tensor:
    """MaSS eq. 7: w / (2 B) * sum of (l_x + l_x')."""
    l_x, l_new = nt_xent_pairs(p, p_new, tau)
    return w * (l_x + l_new).mean() / 2


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


def simclr(p1: Tensor, p2: Tensor, tau: float) -> Tensor:
    """NT-Xent of two views, mean over all 2B anchors (SimCLR; MaSS B.1): eq. 7 with w = 1 and the views as x and x'."""
    return agnostic(p1, p2, tau, 1.0)


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
    _check_tau(tau)
    return -(unit(z) @ unit(z_new).T / tau).log_softmax(1).diagonal().mean()


# --------------------------------------------------------------------------------------------- PASS (ICML 2025)


def channel_probabilities(f: Tensor, g: Tensor, tau: float, never: Tensor | None = None) -> Tensor:
    """PASS: P(j | x) = softmax over j of cos(f(x), g(x_j)) / tau. (B, d), (M, d) -> (B, M).

    never: (B, M) bool, substitutes that a record must not get (ours; the paper has none). Raises SordineError where tau
    is not positive.
    """
    _check_tau(tau)
    likeness = unit(f) @ unit(g).T / tau
    return (likeness if never is None else likeness.masked_fill(never, -torch.inf)).softmax(-1)


def conditional_index_entropy(p_j_given_x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """PASS: E over P(s) of H(J | s), nats. (B, M), (B,) -> scalar; the objective subtracts it.

    P(j | s) is the mean of P(j | x) over the batch's records of class s, P(s) their share among the labelled ones.
    """
    member = _one_hot(labels, classes, p_j_given_x)  # (B, K)
    count = member.sum(0)  # (K,)
    p_j_given_s = member.T @ p_j_given_x / count.clamp_min(1).unsqueeze(1)  # (K, M); a class not in the batch is zeros
    return (count / count.sum().clamp_min(1)) @ _neg_p_log_p(p_j_given_s).sum(1)


def preserved_match(p_j_given_x: Tensor, pool_labels: Tensor, labels: Tensor, classes: int) -> Tensor:
    """PASS: log|U| * E[-P(U' = u | x)], P(U' = u | x) the mass on substitutes with x's own label. -> scalar.

    p_j_given_x: (B, M); pool_labels: (M,); labels: (B,). An unlabelled substitute matches nothing.
    """
    mass = p_j_given_x @ _one_hot(pool_labels, classes, p_j_given_x)  # (B, K)
    own = mass.gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1)
    return -math.log(classes) * masked_mean(own, labels)


def index_entropy(p_j_given_x: Tensor) -> Tensor:
    """PASS: E H(J | x), nats: (B, M) -> scalar. Low is a nearly deterministic substitution."""
    return _neg_p_log_p(p_j_given_x).sum(-1).mean()


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
