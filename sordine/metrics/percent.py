"""Write a share as text."""

from __future__ import annotations


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage: 0.179 is '17.9 %'. A negative share, which only chance gives, is '0.0 %'."""
    return f"{100 * max(0.0, share):.{digits}f} %"
