"""An audit does not describe records by a modifier that did not make them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sordine.attacks.budget import Budget
from sordine.attacks.output_distribution import made_otherwise
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import Report
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform
from tests.fixtures.clusters import clusters

KEY, POLICY = Key.of_seed(3), Policy(("person",))
BUDGET = Budget(families=("logistic",), settings=("A",), person=(), cloud=0, risks=False, plants=0, tail=False)
TITLE = "attackers that have the modifier"


def fitted(method: str, **options: float) -> tuple[Table, Modifier, Table]:
    table = clusters(300).with_split(POLICY, KEY)
    modifier = fit(table, POLICY, make(method, options), run=Run(key=KEY))
    return table, modifier, transform(modifier, table, KEY)


def changed(released: Table, records: int) -> Table:
    """The release with another number in some records, in each of two parts of the table."""
    x = np.array(released.x)
    x[: records // 2, 0] += 1
    x[len(x) - (records - records // 2) :, 0] += 1
    return replace(released, x=x)


def audited(table: Table, released: Table, modifier: Modifier) -> Report:
    options = AuditOptions(pretrained=False)
    return audit(table, released, POLICY, modifier=modifier, key=KEY, budget=BUDGET, options=options)


def test_records_that_are_no_output_of_the_modifier_are_audited_without_it() -> None:
    table, modifier, released = fitted("transport", cells=12, size=4, rounds=2, parts=1)
    own, other = audited(table, released, modifier), audited(table, changed(released, 20), modifier)
    assert own.exact
    assert own.modifier is not None
    assert TITLE not in own.verdict.title
    assert other.verdict.sentences[0].startswith("The modifier did not make 20 of 300 tested released records.")
    assert (other.verdict.level, other.exact, other.modifier) == ("unclear", (), None)
    assert other.verdict.title.endswith(TITLE)
    assert other.made["left_out"][-1] == TITLE
    assert other.proved == ("Nothing is proved of this release: without its modifier, only its records are known.",)
    knows = {f.knows for f in other.sections["partial_knowledge"]}
    assert knows == {"outputs"}


@pytest.mark.parametrize(("method", "options"), [("transport", {"cells": 12, "size": 4, "rounds": 2}), ("noise", {})])
def test_what_the_modifier_made_is_recognised(method: str, options: dict[str, float]) -> None:
    table, modifier, released = fitted(method, **options)

    def others(found: Table, key: Key | None = KEY) -> int:
        return made_otherwise(modifier, table, np.asarray(found.x, np.float32), key)

    rounded = replace(released, x=np.array([[float(f"{v:.7g}") for v in row] for row in released.x], np.float32))
    assert others(released) == 0
    assert others(changed(released, 0)) == 0
    assert others(changed(released, len(table))) == len(table)
    if method == "noise":
        assert others(rounded) == 0
        # Without its key, noise can be anything.
        assert others(changed(released, len(table)), None) == 0
        assert others(changed(released, len(table)), Key.of_seed(4)) == 0
    else:
        assert others(changed(released, 7), None) == 7


def test_a_deterministic_modifier_needs_no_key() -> None:
    table, modifier, released = fitted("leace")
    x = np.asarray(released.x, np.float32)
    assert made_otherwise(modifier, table, x, None) == 0
    assert made_otherwise(modifier, table, x + 1, None) == len(table)
