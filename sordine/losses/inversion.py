"""Inversion (Xiao et al.): a decoder rebuilds x from z, a discriminator helps it, and an encoder resists.

Shapes: B records in a batch. Pictures (B, c, h, w) in one scale on both sides, [0, 1] or [-1, 1]. D gives logits.
Where the paper squares a norm of pictures or of feature maps, the mean over elements is taken here, not their sum:
lambda = mu = 1 then means the same at every size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sordine.errors import SordineError
from sordine.losses.shared import check_same_shape, check_weights, cross_entropy, mean_square

# --------------------------------------------------------------------------------------------- the adversary


def pixel_reconstruction(x_hat: Tensor, x: Tensor) -> Tensor:
    """Inversion eqs. 1 and 7: mean over the batch of |x^ - x|^2, per element. (B, ...), (B, ...) -> scalar.

    Printed as the squared norm of a record, a sum; this is it over the number of elements. Eq. 7 prints X1 under the
    decoder's loss; the decoder learns on X2 (figure 2 and the text), only the encoder's eq. 9 is taken on X1.
    Raises SordineError on two shapes.
    """
    return mean_square(x_hat, x)


def decoder_fools(d_logits_fake: Tensor) -> Tensor:
    """Inversion eq. 2, for the decoder to minimise: mean of log(1 - D(x^)). Any shape -> scalar <= 0.

    D = sigmoid(logit). Right as printed; it has no gradient left where D is certain that x^ is false.
    """
    return functional.logsigmoid(-d_logits_fake).mean()


def discriminator_tells(d_logits_real: Tensor, d_logits_fake: Tensor) -> Tensor:
    """Inversion eq. 3 corrected, for D to minimise: -[mean log D(x) + mean log(1 - D(x^))]. Any shapes -> scalar >= 0.

    Printed, D maximises log(1 - D(x)) + log D(x^): it would call rebuilt pictures real, as eq. 2 has the decoder want,
    and there would be no game. The two are exchanged here.
    """
    return -(functional.logsigmoid(d_logits_real).mean() + functional.logsigmoid(-d_logits_fake).mean())


def perceptual_distance(features_hat: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """Inversion eqs. 4 and 8: sum over layers of |g(x^) - g(x)|^2, per element. Two lists of (B, ...) -> scalar.

    One tensor a layer, conv1 to conv5 of VGG in the paper (its depth is not printed; 16 here). Raises SordineError where
    there is no layer, or the lists or two layers' shapes differ.
    """
    if not features or len(features_hat) != len(features):
        raise SordineError(
            f"inversion: a perceptual distance compares the same layers, not {len(features_hat)} with {len(features)}"
        )
    return torch.stack([mean_square(a, b) for a, b in zip(features_hat, features, strict=True)]).sum()


def adversary_total(pixel: Tensor, gan: Tensor | None, perceptual: Tensor | None, mu1: float, mu2: float) -> Tensor:
    """Inversion eq. 5, for the decoder to minimise: L_p + mu1 * L_adv + mu2 * L_perc, scalars.

    None stands for a term that is not used. Table 1's note says "mu1 in (4)": it is in (5).
    Raises SordineError on a weight that is negative, or above 0 for None.
    """
    return _weighted(pixel, [("mu1", mu1, gan), ("mu2", mu2, perceptual)], 1.0)


def feature_attack(m_z: Tensor, c_x: Tensor) -> Tensor:
    """Inversion eq. 10: mean over the batch of |M(z) - C(x)|^2, the squared norm as printed. (B, d), (B, d) -> scalar.

    Raises SordineError on two shapes.
    """
    check_same_shape(m_z, c_x)
    return (m_z - c_x).square().flatten(1).sum(1).mean()


# --------------------------------------------------------------------------------------------- the protector


def task_loss(logits: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """Inversion eq. 6: mean over attributes of the cross-entropy of f(z), nats. Lists of (B, K) and (B,) -> scalar.

    With two logits an attribute it is the paper's binary cross-entropy of their difference. Each attribute's mean is
    over its labelled records; one with none in the batch counts as 0. Raises SordineError where the lists are empty or
    differ in length, the shapes disagree, or a label is no class.
    """
    if not logits or len(logits) != len(labels):
        raise SordineError(
            f"inversion: a task needs logits and labels of each attribute, not {len(logits)} and {len(labels)}"
        )
    return torch.stack([cross_entropy(a, s) for a, s in zip(logits, labels, strict=True)]).mean()


def protector_total(
    task: Tensor, pixel: Tensor | None, perceptual: Tensor | None, lambda1: float, lambda2: float
) -> Tensor:
    """Inversion eq. 9, for encoder and task head to minimise: L_u - lambda1 * L_p - lambda2 * L_perc.

    None stands for a term that is not used. Eq. 15 writes lambda2 inside lambda1's bracket; 9 is the
    one followed. "lambda1 > 0" in the tables means 1. There is no lower bound: only a decoder that ends in a bounded
    activation keeps the loss finite.
    Raises SordineError on a weight that is negative, or above 0 for None.
    """
    return _weighted(task, [("lambda1", lambda1, pixel), ("lambda2", lambda2, perceptual)], -1.0)


def _weighted(first: Tensor, others: Sequence[tuple[str, float, Tensor | None]], sign: float) -> Tensor:
    check_weights({name: weight for name, weight, _ in others})
    total = first
    for name, weight, term in others:
        if term is None and weight > 0:
            raise SordineError(f"inversion: {name} is {weight} and its term is not there")
        # A term with weight 0 is left out, not multiplied: it may be infinite.
        if term is not None and weight > 0:
            total = total + sign * weight * term
    return total
