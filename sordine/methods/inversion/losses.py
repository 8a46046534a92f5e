"""The losses of inversion that no other method uses; the others are in `sordine.models.losses`.

Where the paper squares a norm of pictures or of feature maps, the mean over elements is used, not their sum, so that
lambda = mu = 1 means the same at every size. The totals, eqs. 5 and 9, are summed in `Protecting.round`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.losses import cross_entropy


def task_loss(logits: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """Return the mean over attributes of the cross-entropy of f(z), in nats.

    Parameters
    ----------
    logits, labels
        (B, K) and (B,) of each attribute. The mean of an attribute is over its labelled records, 0 where there are
        none.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    SordineError
        Where the lists are empty or differ in length, the shapes disagree, or a label is not a class.

    References
    ----------
    - Inversion (2020), eq. 6: with two logits it is the paper's binary cross-entropy of their difference.
    """
    if not logits or len(logits) != len(labels):
        raise SordineError(
            f"inversion: there are logits of {len(logits)} and labels of {len(labels)} attributes; give both of each "
            f"attribute"
        )
    return torch.stack([cross_entropy(a, s) for a, s in zip(logits, labels, strict=True)]).mean()
