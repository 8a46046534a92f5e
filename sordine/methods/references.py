"""Read the section `References` of docstrings: which paper and which equation a class or a function implements."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

# The short names of the papers, with their full references.
PAPERS = {
    "MaSS": (
        "Chen et al., MaSS: multi-attribute selective suppression, first version, 2022; and MaSS: multi-attribute "
        "selective suppression for utility-preserving data transformation from an information-theoretic perspective, "
        "ICML 2024."
    ),
    "PASS": "PASS: private attributes protection with stochastic data substitution. ICML 2025.",
    "Inversion": (
        "Xiao et al., Adversarial learning of privacy-preserving and task-oriented representations. AAAI 2020."
    ),
    "Masking": "Gupta et al., Adversarial mask generation for preserving visual privacy. IEEE 2021.",
    "Replacement": (
        "Martinsson et al., Adversarial representation learning for synthetic replacement of private attributes. "
        "arXiv:2006.08039, 2020."
    ),
    "StarGAN": (
        "Choi et al., StarGAN: unified generative adversarial networks for multi-domain image-to-image translation. "
        "CVPR 2018."
    ),
    "LEACE": "Belrose et al., LEACE: perfect linear concept erasure in closed form. NeurIPS 2023.",
    "Sinkhorn distances": "Cuturi, Sinkhorn distances: lightspeed computation of optimal transport. NIPS 2013.",
    "Generalised canonical correlation": (
        "Kettenring, Canonical analysis of several sets of variables. Biometrika 58, 1971."
    ),
    "Optimal mapping": (
        "Knott and Smith, On the optimal mapping of distributions. Journal of Optimization Theory and Applications 43, "
        "1984."
    ),
    "MMD gradient flow": "Arbel et al., Maximum mean discrepancy gradient flow. NeurIPS 2019.",
    "Random features": "Rahimi and Recht, Random features for large-scale kernel machines. NIPS 2007.",
    "Kernel regression": "Nadaraya, On estimating regression. Theory of Probability and its Applications 9, 1964.",
    "Normal order statistics": "Blom, Statistical estimates and transformed beta-variables. Wiley, 1958.",
}
_ENTRY = re.compile(r"- (?P<paper>.+?) \((?P<year>\d{4})\), (?P<place>[^:]+?)(?:: (?P<remark>.+))?$")


class Reference(NamedTuple):
    """One entry of a section `References`."""

    paper: str
    year: int
    place: str
    remark: str


def references(documented: Callable[..., Any] | type) -> list[Reference]:
    """Return the sources that a docstring names in its section `References`, in order.

    Raises
    ------
    ValueError
        Where an entry does not have the form `- PAPER (YEAR), PLACE: remark`.
    """
    lines = (inspect.getdoc(documented) or "").splitlines()
    if "References" not in lines:
        return []
    entries: list[str] = []
    for line in lines[lines.index("References") + 2 :]:
        if line.startswith("- "):
            entries.append(line)
        elif line.startswith("  ") and entries:
            entries[-1] += " " + line.strip()
        else:
            break
    found = []
    for entry in entries:
        match = _ENTRY.match(entry)
        if match is None:
            name = getattr(documented, "__name__", documented)
            raise ValueError(f"{name}: {entry!r} is not of the form '- PAPER (YEAR), PLACE: remark'")
        found.append(Reference(match["paper"], int(match["year"]), match["place"], match["remark"] or ""))
    return found
