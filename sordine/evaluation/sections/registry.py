"""The sections of a report, in the order of the page. A new section is one line here, or one call of `register`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sordine.data.registry import Registry
from sordine.evaluation.sections.attacks import Attacks
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.continuous import Continuous
from sordine.evaluation.sections.distortion import Distortion
from sordine.evaluation.sections.entanglement import Entangled
from sordine.evaluation.sections.gallery import GallerySection
from sordine.evaluation.sections.guarantees import Guarantees
from sordine.evaluation.sections.linkability import Linkability
from sordine.evaluation.sections.linking import Linking
from sordine.evaluation.sections.membership import Membership
from sordine.evaluation.sections.optimal import Optimal
from sordine.evaluation.sections.partial_knowledge import PartialKnowledge
from sordine.evaluation.sections.person import Persons
from sordine.evaluation.sections.power import Power
from sordine.evaluation.sections.pretrained import Pretrained
from sordine.evaluation.sections.projection import Projection
from sordine.evaluation.sections.queries import Queries
from sordine.evaluation.sections.reconstruction import Reconstructions
from sordine.evaluation.sections.reconstruction_of_x import ReconstructionOfRecords
from sordine.evaluation.sections.release_flaws import ReleaseFlaws
from sordine.evaluation.sections.sheets import Sheets
from sordine.evaluation.sections.singling_out import SinglingOut
from sordine.evaluation.sections.tail import Tail
from sordine.evaluation.sections.tradeoff import Tradeoff
from sordine.evaluation.sections.utility import Utility
from sordine.evaluation.sections.verification import Verifications
from sordine.evaluation.sections.warm_start import WarmStart

SECTIONS: Registry[Section] = Registry(
    "report section",
    {
        "sheets": Sheets,
        "reconstruction": Reconstructions,
        "gallery": GallerySection,
        "flaws": ReleaseFlaws,
        "attacks": Attacks,
        "continuous": Continuous,
        "tradeoff": Tradeoff,
        "tail": Tail,
        "optimal": Optimal,
        "power": Power,
        "guarantees": Guarantees,
        "person": Persons,
        "partial_knowledge": PartialKnowledge,
        "warm_start": WarmStart,
        "queries": Queries,
        "singling_out": SinglingOut,
        "linking": Linking,
        "membership": Membership,
        "reconstruction_of_x": ReconstructionOfRecords,
        "linkability": Linkability,
        "verification": Verifications,
        "projection": Projection,
        "entanglement": Entangled,
        "utility": Utility,
        "distortion": Distortion,
        "pretrained": Pretrained,
    },
    has_options=False,
)


def sections(names: Sequence[str] | None = None) -> list[Section]:
    """Return one instance of each registered section, in the order of the page.

    Parameters
    ----------
    names
        Names of the sections wanted. None: all.

    Raises
    ------
    SordineError
        For a name that is not registered.
    """
    for name in names or ():
        SECTIONS.find(name)
    made = []
    for name in SECTIONS:
        if names is None or name in names:
            section = SECTIONS.make(name)
            section.name = name
            made.append(section)
    return made


def findings(data: AuditData, names: Sequence[str]) -> dict[str, Any]:
    """Run some sections on an audit's data, and return their findings by name."""
    return {section.name: section.run(data) for section in sections(names)}
