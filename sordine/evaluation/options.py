"""Options of an audit, and the layer that still accepts them as separate keywords."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sordine.attacks.tail import TailRecords
from sordine.data.table import Table
from sordine.run import accepts_old_keywords


@dataclass(frozen=True)
class AuditOptions:
    """What an audit looks at beside the attacks of its budget.

    Parameters
    ----------
    max_leakage
        Limit on leakage (NAG), 0 to 1. None: the verdict uses 5 % and nothing passes or fails.
    person
        Attribute that names the person of a record. None: see `sordine.evaluation.sections.sample.unit_of`.
    match_by_order
        Whether row i of both tables is the same record where a table has no ids.
    kept
        Columns that the optimal attack has beside the record. None: the preserved attributes that are released.
    originals
        Whether the report may show original records.
    pretrained
        Whether to measure classifiers that are never retrained.
    final
        Whether the table is released as it is, with its ids and its order.
    sections
        Names of the report sections to run. None runs all of them.
    more
        Labelled originals that the attacker alone has. They need the modifier.
    memory
        Cache of predictions on the originals, for further audits of the same table.
    tail
        Receives the scores of single records, with their ids, for each suppressed attribute (section `tail`). They are
        in no report.
    source
        Facts about the inputs that the report repeats in its part `made`.
    """

    max_leakage: float | None = None
    person: str | None = None
    match_by_order: bool = False
    kept: Sequence[str] | None = None
    originals: bool = True
    pretrained: bool = True
    final: bool = False
    sections: Sequence[str] | None = None
    more: Table | None = None
    memory: MutableMapping[Any, Any] | None = None
    tail: list[TailRecords] | None = None
    source: Mapping[str, Any] | None = None


OPTION_NAMES = tuple(field.name for field in fields(AuditOptions))

accepts_option_keywords = accepts_old_keywords("options", AuditOptions, OPTION_NAMES)
