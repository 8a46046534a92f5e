"""All that the golden test uses of the package. Where a module moves, this file alone changes."""

from __future__ import annotations

from sordine import Key, Policy, Table, audit, extract, fit, load, release, transform
from sordine.attackers.plan import Budget
from sordine.methods import METHODS, make
from sordine.modifier import Modifier
from sordine.recipe import Run
from sordine.reportfile import to_json
from sordine.synthetic.faces import faces
from sordine.synthetic.gaussians import gaussians
from sordine.synthetic.voices import voices
from sordine.transform import transform_file

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
