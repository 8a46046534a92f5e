"""What the losses of several papers are made of: angles, means over labelled records, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping

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

    With nothing labelled in the batch it is a 0 that still has a (zero) gradient, so that a loss term drops out.
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
        raise SordineError(
            f"losses: logits (B, K) and labels (B,) are compared, not {shape(logits)} and {shape(labels)}"
        )
    if labels.numel() and int(labels.max()) >= logits.shape[1]:
        raise SordineError(f"losses: label {int(labels.max())} is none of the {logits.shape[1]} classes of the logits")
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
    """Mean over every element of (a - b)^2: two tensors of one shape -> scalar. Raises SordineError on two shapes."""
    check_same_shape(a, b)
    return (a - b).square().mean()


# --------------------------------------------------------------------------------------------- refusals


def shape(v: Tensor) -> tuple[int, ...]:
    """A tensor's shape as a plain tuple, to be printed."""
    return tuple(v.shape)


def check_tau(tau: float) -> None:
    """Raises SordineError where a temperature is not positive."""
    if not tau > 0:
        raise SordineError(f"tau is a temperature and must be above 0, not {tau}")


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises SordineError naming the first weight that is negative or not finite."""
    for name, weight in weights.items():
        if not (weight >= 0 and math.isfinite(weight)):
            raise SordineError(f"losses: {name} must be 0 or more and finite, not {weight}")


def check_same_shape(a: Tensor, b: Tensor) -> None:
    """Raises SordineError on two shapes: broadcasting would compare every record with every other, and say nothing."""
    if a.shape != b.shape:
        raise SordineError(f"losses: two tensors of one shape are compared, not {shape(a)} and {shape(b)}")
