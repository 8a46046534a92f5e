"""The masks and losses of masking: keep the pixels that the task needs, and make the others uninformative.

Shapes: B pictures in a batch, c channels, h x w pixels, N classes of the task. A mask m is (B, 1, h, w) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.losses import check_same_shape, cross_entropy, shape


def top_share(m: Tensor, share: float) -> Tensor:
    """Return m_topK, with all but the top `share` of each picture's pixels set to 0: (B, 1, h, w) -> same.

    Exactly round(share * h * w) pixels of every picture stay, with their soft values, and only these have a gradient.
    Of equal pixels the first in row order stay.

    Parameters
    ----------
    m
        Masks (B, 1, h, w) in [0, 1].
    share
        K / 100, in [0, 1].

    Raises
    ------
    SordineError
        On another shape, or a share outside [0, 1].

    References
    ----------
    - Masking (2021), sec. II.A: m_topK.
    """
    if m.ndim != 4 or m.shape[1] != 1:
        raise SordineError(f"masking: a mask is (B, 1, h, w), not {shape(m)}")
    if not 0 <= share <= 1:
        raise SordineError(f"masking: the share of kept pixels is {share}; it must be between 0 and 1")
    flat = m.flatten(1)
    kept = round(share * flat.shape[1])
    # A stable sort: topk may choose among equal values differently on another device.
    order = flat.detach().sort(dim=1, descending=True, stable=True).indices[:, :kept]
    keep = torch.zeros_like(flat, dtype=torch.bool).scatter(1, order, True)
    return torch.where(keep, flat, torch.zeros_like(flat)).view_as(m)


def revealed(m_top: Tensor, x: Tensor) -> Tensor:
    """Return x_p = m_topK * x, the input of the predictor: (B, 1, h, w), (B, c, h, w) -> (B, c, h, w).

    Raises
    ------
    SordineError
        Where the masks do not belong to these pictures.

    References
    ----------
    - Masking (2021), sec. II: x_p.
    """
    _check_mask(m_top, x)
    return m_top * x


def withheld(m: Tensor, m_top: Tensor, x: Tensor) -> Tensor:
    """Return x_o = (m - m_topK) * x, the input of the obfuscator; it is 0 on the kept pixels.

    Parameters
    ----------
    m, m_top
        Masks (B, 1, h, w).
    x
        Pictures (B, c, h, w).

    Returns
    -------
    Tensor
        (B, c, h, w).

    Raises
    ------
    SordineError
        Where the masks differ in shape, or do not belong to these pictures.

    References
    ----------
    - Masking (2021), sec. II: x_o. It is not (1 - m) * x: a pixel whose mask is 0 is hidden from both networks.
    """
    check_same_shape(m, m_top)
    _check_mask(m, x)
    return (m - m_top) * x


def predictor_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the prediction from x_p, in nats: (B, N), (B,) -> scalar.

    It moves predictor and masker. Labels of -1 are ignored.

    Raises
    ------
    SordineError
        Where the shapes disagree, or a label is not a class.

    References
    ----------
    - Masking (2021), sec. II.B: L_Predictor.
    """
    return cross_entropy(logits, labels)


def obfuscator_loss(logits: Tensor) -> Tensor:
    """Return the batch mean of -(1 / N) * sum of log y_i, in nats: (B, N) -> scalar, N the number of classes.

    It is the cross-entropy from the uniform distribution, at least log N. It moves the masker alone and needs no label.

    References
    ----------
    - Masking (2021), sec. II.B: L_Obfuscator.
    """
    return -logits.log_softmax(-1).mean()


def _check_mask(m: Tensor, x: Tensor) -> None:
    # Broadcasting would apply the mask of one picture to all pictures.
    if x.ndim != 4 or m.shape != (len(x), 1, *x.shape[2:]):
        raise SordineError(f"masking: a mask {shape(m)} does not belong to pictures {shape(x)}")
