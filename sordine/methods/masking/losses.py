"""Masking (Gupta et al.): keep the pixels that the task needs, and let the others say nothing.

Shapes: B pictures in a batch, c channels, h x w pixels, N classes of the task. A mask m is (B, 1, h, w) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.losses import check_same_shape, cross_entropy, shape


def top_share(m: Tensor, share: float) -> Tensor:
    """Masking, section II.A: m_topK, all but the top `share` of each picture's pixels zeroed. (B, 1, h, w) -> same.

    share: K / 100, in [0, 1]. Exactly round(share * h * w) pixels of every picture stay, with their soft values, and
    only these have a gradient; of equal ones the first in reading order stay. Raises SordineError on another shape or
    a share outside [0, 1].
    """
    if m.ndim != 4 or m.shape[1] != 1:
        raise SordineError(f"masking: a mask is (B, 1, h, w), not {shape(m)}")
    if not 0 <= share <= 1:
        raise SordineError(f"masking: the share of pixels kept lies between 0 and 1, not at {share}")
    flat = m.flatten(1)
    kept = round(share * flat.shape[1])
    # A stable sort: topk may choose among equal values as it likes, and differently on another device.
    order = flat.detach().sort(dim=1, descending=True, stable=True).indices[:, :kept]
    keep = torch.zeros_like(flat, dtype=torch.bool).scatter(1, order, True)
    return torch.where(keep, flat, torch.zeros_like(flat)).view_as(m)


def revealed(m_top: Tensor, x: Tensor) -> Tensor:
    """Masking, section II: x_p = m_topK * x, what the predictor sees. (B, 1, h, w), (B, c, h, w) -> (B, c, h, w).

    Raises SordineError where the mask is not one of these pictures.
    """
    _check_mask(m_top, x)
    return m_top * x


def withheld(m: Tensor, m_top: Tensor, x: Tensor) -> Tensor:
    """Masking, section II: x_o = (m - m_topK) * x, what the obfuscator sees. -> (B, c, h, w).

    m, m_top: (B, 1, h, w); x: (B, c, h, w). Not (1 - m) * x: a pixel that the masker gives 0
    is hidden from both. On the pixels kept it is 0.
    Raises SordineError where the masks differ in shape or are not of these pictures.
    """
    check_same_shape(m, m_top)
    _check_mask(m, x)
    return (m - m_top) * x


def predictor_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Masking, section II.B, L_Predictor: mean cross-entropy of the prediction from x_p, nats. (B, N), (B,) -> scalar.

    Moves predictor and masker. -1 is left out. Raises SordineError where the shapes disagree or a label is no class.
    """
    return cross_entropy(logits, labels)


def obfuscator_loss(logits: Tensor) -> Tensor:
    """Masking, section II.B, L_Obfuscator: batch mean of -(1 / N) * sum of log y_i, nats. (B, N) -> scalar.

    The cross-entropy from the uniform distribution: at least log N, which it has where every class is as likely.
    N is the number of classes, not of records. Moves the masker alone; needs no label.
    """
    return -logits.log_softmax(-1).mean()


def _check_mask(m: Tensor, x: Tensor) -> None:
    # Broadcasting would lay one picture's mask over all of them.
    if x.ndim != 4 or m.shape != (len(x), 1, *x.shape[2:]):
        raise SordineError(f"masking: a mask {shape(m)} does not belong to pictures {shape(x)}")
