"""The main job on real clips, from folder to verdict; minutes long."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.features.extract import extract
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

DATA = os.environ.get("SORDINE_DATA")


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
def test_spoken_digits_lose_their_speaker_and_keep_the_digit(tmp_path: Path) -> None:
    extract(Path(str(DATA)) / "fsdd", "logmel", tmp_path / "fsdd.parquet")
    table, key = Table.read(tmp_path / "fsdd.parquet"), Key.of_seed(0)
    policy = Policy(("speaker",), ("digit",), ())
    modifier = fit(table, policy, run=Run(key=key))  # the method is Sordine's own choice
    assert modifier.card.method == "transport"
    budget = Budget(families=("logistic", "trees", "mlp"), settings=("A",), person=(), known=())
    report = audit(table, transform(modifier, table, key), policy, modifier=modifier, key=key, budget=budget)
    speaker, digit = report.headlines
    assert speaker.before > 0.98
    assert speaker.nag is not None
    assert speaker.nag <= 0.05
    assert digit.nag is not None
    assert digit.nag >= 0.95
    assert report.verdict.level == "unclear", "none of these attacks looks for planted leaks"
    unseen = next(e for e in report.exact if e.on == "unseen" and not e.kept)
    assert unseen.accuracy <= unseen.permuted_high + 0.03  # no more than label-permuted data show


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
def test_linear_erasure_of_age_hides_it_from_linear_attackers_only(tmp_path: Path) -> None:
    adult = pq.read_table(Path(str(DATA)) / "adult" / "adult.parquet").slice(0, 6000)
    numbers = adult["age"].cast(pa.float64())
    pq.write_table(adult.set_column(adult.column_names.index("age"), "age", numbers), tmp_path / "adult.parquet")
    extract(tmp_path / "adult.parquet", "columns", tmp_path / "t.parquet", {"labels": "age,income"})
    table, key = Table.read(tmp_path / "t.parquet", named=("age",)), Key.of_seed(0)
    policy = Policy(("age",), ("income",), ())
    modifier = fit(table, policy, "leace", run=Run(key=key))
    budget = Budget(families=("logistic",), settings=("A",), person=(), cloud=0)
    report = audit(table, transform(modifier, table, key), policy, modifier=modifier, key=key, budget=budget)
    (age,) = (f for f in report.sections["continuous"] if f.attribute == "age")
    others = {kind: (before, after) for kind, before, after in age.others}
    assert 0.3 < others["ridge"][0] < 0.6
    assert abs(others["ridge"][1]) < 0.05
    assert age.after > 0.3
    assert age.attacker_after in ("kernel", "trees")
    assert report.verdict.level == "leaks"
