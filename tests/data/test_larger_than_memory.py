"""A table that does not fit in memory goes the same way, to the same bits: it is mapped, and read in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.attacks.budget import Budget
from sordine.data.synthetic.faces import faces
from sordine.data.table import Rows, Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import METHODS, make
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform, transform_file
from tests.fixtures.clusters import clusters
from tests.methods.test_methods import FAST, ON_PICTURES, TASK

POLICY = Policy(("person",), ("word",), ())
KEY = Key.of_seed(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_mapped_and_in_memory_agree(name, tmp_path, monkeypatch):
    given = faces(120, 0, size=16, people=4) if name in ON_PICTURES else clusters(400)
    given.write(tmp_path / "t.parquet")
    here = Table.read(tmp_path / "t.parquet")
    monkeypatch.setenv("SORDINE_MEMORY", "1000")
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    mapped = Table.read(tmp_path / "t.parquet")
    assert isinstance(mapped.take(np.arange(5)).x, Rows)
    policy = TASK if name in ON_PICTURES else POLICY
    settings = FAST[name] if name != "substitution" else FAST[name] | {"epochs": 5}
    one, other = (fit(t, policy, make(name, settings), run=Run(key=KEY)) for t in (here, mapped))
    a, b = transform(one, here, KEY), transform(other, mapped, KEY)
    assert np.allclose(a.x, b.x, rtol=1e-5, atol=1e-5)
    transform_file(other, tmp_path / "t.parquet", tmp_path / "r.parquet", key=KEY)
    released = Table.read(tmp_path / "r.parquet")
    assert isinstance(released.x, np.memmap)
    assert (np.asarray(released.x) == b.x).all()
    report = audit(
        mapped,
        released,
        policy,
        modifier=other,
        key=KEY,
        budget=Budget.named("quick", families=("neighbours",), settings=("A",), cloud=20),
        options=AuditOptions(pretrained=False),
    )
    assert {h.attribute for h in report.headlines} >= {*policy.suppress, *policy.preserve}
