"""Inversion (Xiao et al.): a decoder rebuilds x from z, a discriminator helps it, and an encoder resists.

Shapes: B records in a batch. Pictures (B, c, h, w) in one scale on both sides, [0, 1] or [-1, 1]. D gives logits.
Where the paper squares a norm of pictures or of feature maps, the mean over elements is taken here, not their sum:
lambda = mu = 1 then means the same at every size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.losses import check_weights, cross_entropy


def adversary_total(pixel: Tensor, gan: Tensor | None, perceptual: Tensor | None, mu1: float, mu2: float) -> Tensor:
    """Inversion eq. 5, for the decoder to minimise: L_p + mu1 * L_adv + mu2 * L_perc, scalars.

    None stands for a term that is not used. Table 1's note says "mu1 in (4)": it is in (5).
    Raises SordineError on a weight that is negative, or above 0 for None.
    """
    return _weighted(pixel, [("mu1", mu1, gan), ("mu2", mu2, perceptual)], 1.0)


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
