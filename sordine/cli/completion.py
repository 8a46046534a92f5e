"""Names that a shell completes.

A registry's names are taken from its source: importing it takes seconds, and a shell completes while the user waits.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

BUDGETS = ("quick", "standard", "paranoid")


def methods(incomplete: str) -> list[str]:
    """Return the methods whose names begin with `incomplete`."""
    return _beginning(incomplete, _registered("sordine.methods.registry", "METHODS"))


def extractors(incomplete: str) -> list[str]:
    """Return the extractors whose names begin with `incomplete`."""
    return _beginning(incomplete, _registered("sordine.features.registry", "EXTRACTORS"))


def budgets(incomplete: str) -> list[str]:
    """Return the budgets whose names begin with `incomplete`."""
    return _beginning(incomplete, list(BUDGETS))


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _registered(module: str, variable: str) -> list[str]:
    """Return the keys of the mapping that a module assigns to a variable, without importing the module."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return []
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            mapping = next((part for part in ast.walk(node) if isinstance(part, ast.Dict)), None)
            keys = [] if mapping is None else mapping.keys
            return [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    return []
