"""Read the section `References` of docstrings: which paper and which equation a class or a function implements."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

# The short names of the papers, with their full references.
PAPERS = {
    "MaSS": "Chen et al., MaSS: multi-attribute selective suppression. First version, 2022; ICML version, 2024.",
    "PASS": "Stochastic data substitution for multi-attribute suppression. ICML 2025.",
    "Inversion": "Xiao et al., Learning of privacy-preserving and task-oriented representations. AAAI 2020.",
    "Masking": "Gupta et al., Adversarial mask generation for preserving visual privacy. FG 2021.",
    "Replacement": "Martinsson et al., Representation learning for synthetic replacement of private attributes.",
    "StarGAN": "Choi et al., StarGAN: unified generative adversarial networks for multi-domain translation. CVPR 2018.",
    "LEACE": "Belrose et al., LEACE: perfect linear concept erasure in closed form. NeurIPS 2023.",
    "Sinkhorn distances": "Cuturi, Sinkhorn distances: lightspeed computation of optimal transport. NeurIPS 2013.",
    "Generalised canonical correlation": "Kettenring, Canonical analysis of sets of variables. Biometrika 1971.",
    "Optimal mapping": "Knott and Smith, On the optimal mapping of distributions. JOTA 1984.",
    "MMD gradient flow": "Arbel et al., Maximum mean discrepancy gradient flow. NeurIPS 2019.",
    "Random features": "Rahimi and Recht, Random features for large-scale kernel machines. NIPS 2007.",
    "Kernel regression": "Nadaraya, On estimating regression. Theory of Probability and its Applications 1964.",
    "Normal order statistics": "Blom, Statistical estimates and transformed beta-variables. 1958.",
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
