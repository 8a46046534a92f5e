"""Provenance: what an audit was made of and with, so that another person can repeat it.

It names no path, no record and no label. Digests are SHA-256, in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from sordine.data.table import Table, blocks_of
from sordine.models.modifier import Modifier, versions

PACKAGES = ("scipy", "scikit-learn", "pyarrow")  # beside those of `sordine.models.modifier.versions`


def provenance(original: Table, released: Table, modifier: Modifier | None) -> dict[str, Any]:
    """Return what a report states of its inputs.

    Returns
    -------
    dict
        `date`: now, in UTC. `original`, `released`: `table_digest` of the tables. `modifier`: file name -> digest of
        the modifier's files, where it was opened or saved. `system`: operating system and processor.
    """
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "original": table_digest(original),
        "released": table_digest(released),
    }
    files = getattr(modifier, "files", None)
    if files:
        found["modifier"] = dict(files)
    return {**found, "system": f"{platform.system()} {platform.machine()}"}


def table_digest(table: Table) -> str:
    """Return a digest of a table's content: ids, records, classes and split, in the order of the rows.

    It depends on neither the file nor its format, and not on the order of named feature columns. Attributes that were
    not loaded do not count.
    """
    digest = hashlib.sha256()
    order = np.argsort(np.array(table.features))
    named = len(order) > 1 and table.shape[:1] == (len(order),)
    head = {
        "records": len(table),
        "shape": list(table.shape),
        "dtype": np.dtype(table.x.dtype).str,
        "features": sorted(table.features),
        "classes": {name: list(table.classes[name]) for name in sorted(table.y)},
    }
    digest.update(json.dumps(head, ensure_ascii=False, sort_keys=True).encode())
    digest.update(json.dumps([str(i) for i in table.ids], ensure_ascii=False).encode())
    for name in sorted(table.y):
        digest.update(np.ascontiguousarray(table.y[name], dtype="<i8").data)
    if table.split is not None:
        digest.update(np.ascontiguousarray(table.split, dtype=np.uint8).data)
    for block in blocks_of(table.x):
        digest.update(np.ascontiguousarray(block[:, order] if named else block).data)
    return digest.hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute an audit."""
    found = versions()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
