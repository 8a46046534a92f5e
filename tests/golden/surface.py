"""All that the golden test uses of the package. Where a module moves, this file alone changes."""

from __future__ import annotations

from sordine import Key, Policy, Table, audit, extract, fit, load, release, transform
from sordine.attacks.budget import Budget
from sordine.data.synthetic.faces import faces
from sordine.data.synthetic.gaussians import gaussians
from sordine.data.synthetic.voices import voices
from sordine.evaluation.report_json import to_json
from sordine.methods.registry import METHODS, make
from sordine.models.modifier import Modifier
from sordine.run import Run
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
