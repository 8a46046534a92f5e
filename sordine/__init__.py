"""Sordine removes chosen attributes from a data set, keeps the rest useful, and reports what can still be inferred."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget
    from sordine.data.reading.options import ReadOptions, reading
    from sordine.data.table import Table
    from sordine.errors import SordineError
    from sordine.estimator import Suppressor
    from sordine.evaluation.audit import audit
    from sordine.evaluation.comparison import compare
    from sordine.evaluation.report import Report
    from sordine.evaluation.report_json import read_report, write_report
    from sordine.features.extract import extract
    from sordine.keys import Key
    from sordine.methods.fit import fit
    from sordine.methods.registry import load
    from sordine.methods.registry import make as make_method
    from sordine.models.modifier import Modifier
    from sordine.policy import ALL_OTHERS, Policy
    from sordine.run import Run
    from sordine.workflow.leakage_limit import fit_under as fit_under_limit
    from sordine.workflow.release.table import release
    from sordine.workflow.sweep import sweep
    from sordine.workflow.transform import transform

    __version__: str

# Public name -> (module, name in it). A name is imported when it is first used, so that `import sordine` stays light.
_HOMES = {
    "ALL_OTHERS": ("sordine.policy", "ALL_OTHERS"),
    "Budget": ("sordine.attacks.budget", "Budget"),
    "Key": ("sordine.keys", "Key"),
    "Modifier": ("sordine.models.modifier", "Modifier"),
    "Policy": ("sordine.policy", "Policy"),
    "ReadOptions": ("sordine.data.reading.options", "ReadOptions"),
    "Report": ("sordine.evaluation.report", "Report"),
    "Run": ("sordine.run", "Run"),
    "SordineError": ("sordine.errors", "SordineError"),
    "Suppressor": ("sordine.estimator", "Suppressor"),
    "Table": ("sordine.data.table", "Table"),
    "audit": ("sordine.evaluation.audit", "audit"),
    "compare": ("sordine.evaluation.comparison", "compare"),
    "extract": ("sordine.features.extract", "extract"),
    "fit": ("sordine.methods.fit", "fit"),
    "fit_under_limit": ("sordine.workflow.leakage_limit", "fit_under"),
    "load": ("sordine.methods.registry", "load"),
    "make_method": ("sordine.methods.registry", "make"),
    "read_report": ("sordine.evaluation.report_json", "read_report"),
    "reading": ("sordine.data.reading.options", "reading"),
    "release": ("sordine.workflow.release.table", "release"),
    "sweep": ("sordine.workflow.sweep", "sweep"),
    "transform": ("sordine.workflow.transform", "transform"),
    "write_report": ("sordine.evaluation.report_json", "write_report"),
}
__all__ = [
    "ALL_OTHERS",
    "Budget",
    "Key",
    "Modifier",
    "Policy",
    "ReadOptions",
    "Report",
    "Run",
    "SordineError",
    "Suppressor",
    "Table",
    "audit",
    "compare",
    "extract",
    "fit",
    "fit_under_limit",
    "load",
    "make_method",
    "read_report",
    "reading",
    "release",
    "sweep",
    "transform",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("sordine")
    if name not in _HOMES:
        raise AttributeError(f"module 'sordine' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    found = getattr(importlib.import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
