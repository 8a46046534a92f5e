"""Names that a shell completes."""

from __future__ import annotations


def methods(incomplete: str) -> list[str]:
    """Return the methods whose names begin so."""
    from sordine.methods.registry import METHODS

    return _beginning(incomplete, list(METHODS))


def extractors(incomplete: str) -> list[str]:
    """Return the extractors whose names begin so."""
    from sordine.features.registry import EXTRACTORS

    return _beginning(incomplete, list(EXTRACTORS))


def budgets(incomplete: str) -> list[str]:
    """Return the budgets whose names begin so."""
    from typing import get_args

    from sordine.attacks.budget import Level

    return _beginning(incomplete, list(get_args(Level)))


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
