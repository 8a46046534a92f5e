"""Sordine takes chosen attributes out of a data set, leaves the rest useful, and shows what an attacker can still read."""

from __future__ import annotations

from sordine.errors import SordineError
from sordine.keys import Key
from sordine.policy import ALL_OTHERS, Policy
from sordine.table import Table

__version__ = "0.1.0"
__all__ = [
    "ALL_OTHERS",
    "Key",
    "Policy",
    "SordineError",
    "Table",
    "audit",
    "extract",
    "fit",
    "load",
    "release",
    "transform",
]


def __getattr__(name: str) -> object:
    """The verbs are imported when first used: `import sordine` alone stays light."""
    import importlib

    homes = {
        "fit": "sordine.methods",
        "load": "sordine.methods",
        "transform": "sordine.transform",
        "audit": "sordine.audit",
        "release": "sordine.release",
        "extract": "sordine.features",
    }
    if name not in homes:
        raise AttributeError(f"module 'sordine' has no attribute {name!r}")
    return getattr(importlib.import_module(homes[name]), name)
