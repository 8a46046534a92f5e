"""Terms that the losses of several papers share: angles, means over labelled records, and checks of arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sordine.errors import SordineError


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

    Where no record is labelled it is 0 with a zero gradient, so that a loss term has no effect.
    """
    if labels is None:
        return values.mean()
    known = labels >= 0
    return torch.where(known, values, torch.zeros_like(values)).sum() / known.sum().clamp_min(1)


def entropy_of_predictions(logits: Tensor) -> Tensor:
    """H(p) of MaSS eq. 3 and of Replacement, in nats: (B, K) -> (B,)."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over labelled records of -log softmax(logits)[label], in nats: (B, K), (B,) -> scalar >= 0.

    Raises SordineError where the shapes disagree or a label is not a class of the logits.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise SordineError(f"losses: logits must be (B, K) and labels (B,), not {shape(logits)} and {shape(labels)}")
    if labels.numel() and int(labels.max()) >= logits.shape[1]:
        raise SordineError(
            f"losses: label {int(labels.max())} is not one of the {logits.shape[1]} classes of the logits"
        )
    values = functional.cross_entropy(logits, labels.clamp_min(0), reduction="none")
    return masked_mean(values, labels)


def neg_p_log_p(p: Tensor) -> Tensor:
    """-p log p, elementwise, and 0 at p = 0, in nats. Any shape."""
    # p * log(max(p, tiny)) rather than xlogy: its gradient at p = 0 (softmax underflows at tau = 0.01) is finite.
    return -p * p.clamp_min(torch.finfo(p.dtype).tiny).log()


def one_hot(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """(B,) -> (B, K) in the type of `like`; an unlabelled record is a row of zeros."""
    return functional.one_hot(labels.clamp_min(0), classes).to(like.dtype) * (labels >= 0).unsqueeze(1).to(like.dtype)


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Mean over every element of (a - b)^2: two tensors of one shape -> scalar. Raises SordineError for two shapes."""
    check_same_shape(a, b)
    return (a - b).square().mean()


# --------------------------------------------------------------------------------------------- checks


def shape(v: Tensor) -> tuple[int, ...]:
    """Return a tensor's shape as a plain tuple, for messages."""
    return tuple(v.shape)


def check_tau(tau: float) -> None:
    """Raise SordineError where a temperature is not positive."""
    if not tau > 0:
        raise SordineError(f"tau is a temperature and must be above 0, not {tau}")


def check_weights(weights: Mapping[str, float]) -> None:
    """Raise SordineError with the first weight that is negative or not finite."""
    for name, weight in weights.items():
        if not (weight >= 0 and math.isfinite(weight)):
            raise SordineError(f"losses: {name} must be 0 or more and finite, not {weight}")


def check_same_shape(a: Tensor, b: Tensor) -> None:
    """Raise SordineError where the shapes differ: broadcasting would compare every record with every other."""
    if a.shape != b.shape:
        raise SordineError(f"losses: both tensors must have the same shape, not {shape(a)} and {shape(b)}")


# --------------------------------------------------------------------------------------------- the adversary


def pixel_reconstruction(x_hat: Tensor, x: Tensor) -> Tensor:
    """Inversion eqs. 1 and 7: mean over the batch of |x^ - x|^2, per element. (B, ...), (B, ...) -> scalar.

    The paper prints the squared norm of a record, a sum; here it is divided by the number of elements. Eq. 7 prints X1
    under the decoder's loss; the decoder learns on X2 (figure 2 and the text), and only the encoder's eq. 9 uses X1.
    Raises SordineError where the shapes differ.
    """
    return mean_square(x_hat, x)


def decoder_fools(d_logits_fake: Tensor) -> Tensor:
    """Inversion eq. 2, for the decoder to minimise: mean of log(1 - D(x^)). Any shape -> scalar <= 0.

    D = sigmoid(logit). As printed; the gradient vanishes where D is certain that x^ is false.
    """
    return functional.logsigmoid(-d_logits_fake).mean()


def discriminator_tells(d_logits_real: Tensor, d_logits_fake: Tensor) -> Tensor:
    """Inversion eq. 3 corrected, for D to minimise: -[mean log D(x) + mean log(1 - D(x^))]. Any shapes -> scalar >= 0.

    As printed, D maximises log(1 - D(x)) + log D(x^). Then it would call rebuilt pictures real, as the decoder wants by
    eq. 2, and the two would not compete. The two terms are exchanged here.
    """
    return -(functional.logsigmoid(d_logits_real).mean() + functional.logsigmoid(-d_logits_fake).mean())


def perceptual_distance(features_hat: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """Inversion eqs. 4 and 8: sum over layers of |g(x^) - g(x)|^2, per element. Two lists of (B, ...) -> scalar.

    One tensor a layer: conv1 to conv5 of VGG in the paper (which does not print its depth; 16 here).
    Raises SordineError where there is no layer, or the lists or two layers' shapes differ.
    """
    if not features or len(features_hat) != len(features):
        raise SordineError(
            "inversion: a perceptual distance needs the same layers on both sides, "
            f"not {len(features_hat)} and {len(features)}"
        )
    return torch.stack([mean_square(a, b) for a, b in zip(features_hat, features, strict=True)]).sum()


def feature_attack(m_z: Tensor, c_x: Tensor) -> Tensor:
    """Inversion eq. 10: mean over the batch of |M(z) - C(x)|^2, the squared norm as printed. (B, d), (B, d) -> scalar.

    Raises SordineError where the shapes differ.
    """
    check_same_shape(m_z, c_x)
    return (m_z - c_x).square().flatten(1).sum(1).mean()


def nt_xent_pairs(p: Tensor, p_new: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """MaSS eqs. 5 and 6: NT-Xent of the pairs (x, x') and (x', x). (B, d), (B, d) -> l_x (B,), l_x' (B,).

    The denominator for the anchor x holds all y' (its own x' among them) and all y but x itself: 2B - 1 terms.
    Raises SordineError where tau is not positive.
    """
    check_tau(tau)
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


def simclr(p1: Tensor, p2: Tensor, tau: float) -> Tensor:
    """NT-Xent of two views, mean over all 2B anchors (SimCLR; MaSS B.1): eq. 7 with w = 1 and the views as x and x'."""
    return agnostic(p1, p2, tau, 1.0)
