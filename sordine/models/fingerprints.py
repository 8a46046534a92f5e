"""Fingerprints of records: the same bits give the same number, wherever they are computed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PART = 1000  # records at a time


def fingerprints(x: Tensor) -> Tensor:
    """Return 64 bits of every record: equal for records that are equal to the last bit, else almost surely not.

    Records (b, *shape) -> (b,) int64.
    """
    # 0 and -0 are the same number with different bits.
    words = (x.detach().flatten(1).float() + 0.0).contiguous().view(torch.int32)
    # NumPy's streams do not change between versions: the fingerprints of a fit must stay the same wherever it is
    # loaded.
    drawn = np.random.Generator(np.random.PCG64(0)).integers(-(2**62), 2**62, words.shape[1]) | 1
    weights = torch.from_numpy(drawn).to(words.device)
    return torch.cat([(part.long() * weights).sum(1) for part in words.split(PART)])
