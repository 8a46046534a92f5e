"""Sordine takes chosen attributes out of a data set, leaves the rest useful, and shows what an attacker can still read."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sordine.audit import audit
    from sordine.errors import SordineError
    from sordine.features import extract
    from sordine.keys import Key
    from sordine.methods import fit, load
    from sordine.policy import ALL_OTHERS, Policy
    from sordine.release import release
    from sordine.table import Table
    from sordine.transform import transform

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

_HOMES = {
    "ALL_OTHERS": "sordine.policy",
    "Key": "sordine.keys",
    "Policy": "sordine.policy",
    "SordineError": "sordine.errors",
    "Table": "sordine.table",
    "audit": "sordine.audit",
    "extract": "sordine.features",
    "fit": "sordine.methods",
    "load": "sordine.methods",
    "release": "sordine.release",
    "transform": "sordine.transform",
}


class _Surface(ModuleType):
    """Each public name is imported when first used, so that `import sordine` stays light; and `sordine.audit` is the verb
    even after the import system has bound the module of the same name."""

    def __getattr__(self, name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'sordine' has no attribute {name!r}")
        found = getattr(importlib.import_module(_HOMES[name]), name)
        super().__setattr__(name, found)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Surface
