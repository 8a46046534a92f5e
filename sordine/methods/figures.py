"""Figures of a fit that several methods store in a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

EPOCHS = 20  # whose loss terms are stored


def sampled_terms(history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the loss terms of about 20 epochs, evenly spaced.

    Parameters
    ----------
    history
        Term -> value, of every epoch.

    Returns
    -------
    dict
        `epochs`, numbers from 1, and `terms`, term -> values at these epochs.
    """
    rows = sorted({round(i) for i in np.linspace(0, len(history) - 1, min(EPOCHS, len(history)))})
    terms = {term: [history[i][term] for i in rows] for term in (history[0] if history else ())}
    return {"epochs": [i + 1 for i in rows], "terms": terms}
