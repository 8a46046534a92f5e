"""All that the golden test uses of the package. Where a module moves, this file alone changes."""

from __future__ import annotations

from dataclasses import dataclass

from sordine import Key, Policy, Table, audit, extract, load, release, transform
from sordine import fit as fit_method
from sordine.attacks.budget import Budget
from sordine.data.synthetic.faces import faces
from sordine.data.synthetic.gaussians import gaussians
from sordine.data.synthetic.voices import voices
from sordine.evaluation.report_json import to_json
from sordine.methods.base import Method
from sordine.methods.registry import METHODS, make
from sordine.models.modifier import Modifier
from sordine.run import Run as BaseRun
from sordine.workflow.transform import transform_file

__all__ = [
    "METHODS",
    "Budget",
    "Key",
    "Modifier",
    "Policy",
    "Run",
    "Table",
    "audit",
    "extract",
    "faces",
    "fit",
    "gaussians",
    "load",
    "make",
    "release",
    "to_json",
    "transform",
    "transform_file",
    "voices",
]


@dataclass(frozen=True)
class Run(BaseRun):
    """A run with the pool of a case, which `fit` takes as an argument of its own."""

    pool: Table | None = None


def fit(table: Table, policy: Policy, method: Method, *, run: Run) -> Modifier:
    """Fit with the pool of the run."""
    return fit_method(table, policy, method, pool=run.pool, run=run)
