"""What `protect` leaves to the owner. The command line imports this module when it starts, so it must stay light."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_RECORDS = 3000  # of each side; more make an audit of many attributes take hours


@dataclass(frozen=True)
class ProtectOptions:
    """What `protect` leaves to the owner; None and the empty values leave it to Sordine.

    Parameters
    ----------
    extractor, options
        Extractor and its options; by default the one that suits the source (`features.choice`).
    features
        Feature columns of a table.
    layout, layout_options
        Layout of a media folder.
    skip_bad
        Whether files that cannot be decoded are left out.
    method, settings
        Method and its options.
    records_per_person
        How many records of one person are released: the strength is chosen for so many (`records_per_person`). None:
        the strength that `settings` say.
    key
        Key file; by default one is made in the folder of results.
    max_leakage
        Largest leakage (NAG, 0 to 1). More prevents the release.
    budget
        Budget of the audit: quick, standard or paranoid.
    max_records
        Most records of the fit, and most others, that the attacks use; sampled by keyed id where there are more.
    known
        Shares of the classes of fitted records that an attacker knows; None: those of the budget, (): no such attacker.
    pdf
        Whether the report is written as PDF too.
    """

    extractor: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    features: tuple[str, ...] = ()
    layout: str | None = None
    layout_options: tuple[tuple[str, str], ...] = ()
    skip_bad: bool = False
    method: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    records_per_person: int | None = None
    key: Path | None = None
    max_leakage: float | None = None
    budget: str = "standard"
    max_records: int = MAX_RECORDS
    known: tuple[float, ...] | None = None
    pdf: bool = False
