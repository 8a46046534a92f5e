"""Whether numbers with 64 bits lose something where they are stored with 32 bits."""

from __future__ import annotations

import numpy as np

DIGITS = (6, 7, 8, 9)  # significant digits with which a 32-bit number is written as text, the shortest that suffices
AT_ONCE = 1 << 18  # numbers
NEAR = 4e-16  # relative difference of two 64-bit numbers that only rounding makes


def loses_digits(numbers: np.ndarray) -> bool:
    """Return whether numbers differ from each other in digits that 32 bits do not hold.

    A decimal number such as 0.1 changes too, but it is the shortest text of its 32-bit number: nothing is lost. The
    same is true where nine digits of a 32-bit number were written.

    Parameters
    ----------
    numbers
        Of any shape and type. NaN is passed over.
    """
    if numbers.dtype.kind not in "fiu" or np.can_cast(numbers.dtype, np.float32):
        return False
    flat = numbers.reshape(-1)
    return any(_loses(flat[start : start + AT_ONCE].astype(np.float64)) for start in range(0, len(flat), AT_ONCE))


def _loses(wide: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        short = wide.astype(np.float32)
    wide, short = (part[(short != wide) & ~np.isnan(wide)] for part in (wide, short))
    if not np.isfinite(short).all() or (short == 0).any():
        return bool(len(wide))
    exact = short.astype(np.float64)
    shift = -np.floor(np.log10(np.abs(exact)))
    same, found = np.zeros(len(wide), bool), np.zeros(len(wide), bool)
    for digits in DIGITS:
        scale = 10.0 ** (digits - 1 + shift)
        text = np.rint(exact * scale) / scale
        suffices = (text.astype(np.float32) == short) & ~found
        same |= (suffices | (digits == DIGITS[-1])) & (np.abs(text - wide) <= NEAR * np.abs(wide))
        found |= suffices
    return not bool(same.all())
