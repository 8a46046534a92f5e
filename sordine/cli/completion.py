"""Names that a shell completes.

Importing a registry takes seconds, and a shell completes while the user waits. The names are therefore stored in the
cache folder, and taken from the registry again only where its file has changed.
"""

from __future__ import annotations

import contextlib
import json
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sordine.data.cache import open_cache
from sordine.data.files import atomic, cache_folder

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
    """Return the names in a registry, from the cache folder where they are there."""
    spec = find_spec(module)
    state = Path(spec.origin).stat() if spec is not None and spec.origin is not None else None
    mark = f"{spec.origin} {state.st_mtime_ns} {state.st_size}" if spec is not None and state is not None else ""
    cache = cache_folder() / f"completion-{variable.lower()}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(cache.read_text(encoding="utf-8"))
        if found["mark"] == mark:
            return [str(name) for name in found["names"]]
    names = list(getattr(import_module(module), variable))
    # Completion works without a cache, too.
    with contextlib.suppress(Exception), atomic(open_cache() / cache.name) as temporary:
        temporary.write_text(json.dumps({"mark": mark, "names": names}), encoding="utf-8")
    return names
