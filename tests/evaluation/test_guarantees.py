"""What a report says is proved: by method, and no more."""

from __future__ import annotations

import pytest

from sordine.attacks.budget import Budget
from sordine.evaluation.audit import audit
from sordine.evaluation.guarantees import proved
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.base import NO_GUARANTEE
from sordine.methods.fit import fit
from sordine.methods.registry import METHODS, make
from sordine.metrics.information import optimal_accuracy_bound
from sordine.metrics.percent import percent
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform
from tests.fixtures.clusters import clusters

KEY = Key.of_seed(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transport", "leace", "mass"])
def test_a_report_says_what_is_proved(name):
    table, policy = clusters(400), Policy(("person",), ("word",))
    fast = {
        "transport": {"parts": 1, "cells": 12, "rounds": 2},
        "mass": {"epochs": 1, "classifier_epochs": 1, "agnostic_epochs": 1},
    }
    modifier = fit(table, policy, make(name, fast.get(name, {})), run=Run(key=KEY))
    budget = Budget(families=("logistic",), settings=("A",), person=(), cloud=0)
    report = audit(
        table,
        transform(modifier, table, KEY),
        policy,
        modifier=modifier,
        key=KEY,
        budget=budget,
        options=AuditOptions(pretrained=False),
    )
    if name == "transport":
        # The kept column leaves beside the record, and who reads both reads more: that is what is bounded.
        (unseen,) = (e for e in report.exact if e.on == "unseen" and e.kept)
        bound = percent(optimal_accuracy_bound(unseen.accuracy, unseen.records))
        for part in (f"above {bound}", "`person`", "with `word` beside it"):
            assert part in report.proved[0]
        assert f"total variation of {modifier.card.fit['uneven']:.3f}" in report.proved[1]
        assert "several records of one person" in report.proved[-1]
    elif name == "leace":
        assert report.proved == (METHODS["leace"].guarantee,)
    else:
        assert report.proved == (NO_GUARANTEE,)
    assert len(proved(None, ())) == 1
