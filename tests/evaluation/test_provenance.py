"""What a report states of its inputs, so that another person can repeat the audit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.inputs import read_pair
from sordine.evaluation.page.page import to_html
from sordine.evaluation.provenance import provenance, table_digest
from sordine.evaluation.report_json import to_json
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import load, make
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.report_example import example

HEX = re.compile(r"[0-9a-f]{64}")


def records(n: int = 80) -> Table:
    rng = np.random.default_rng(5)
    codes = np.arange(n) % 2
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return Table.of(
        x,
        {"secret": np.array(["no", "yes"])[codes].tolist()},
        ids=[f"r{i:03d}" for i in range(n)],
        split=["test" if i % 4 == 0 else "train" for i in range(n)],
    )


def other_number(table: Table) -> Table:
    x = table.x.copy()
    x[3, 2] = np.nextafter(x[3, 2], np.float32(9))
    return replace(table, x=x)


def other_label(table: Table) -> Table:
    codes = table.y["secret"].copy()
    codes[0] = -1
    return replace(table, y={"secret": codes})


def other_id(table: Table) -> Table:
    ids = table.ids.copy()
    ids[7] = "another"
    return replace(table, ids=ids)


CHANGES: list[Callable[[Table], Table]] = [
    other_number,
    other_label,
    other_id,
    lambda t: t.take(np.arange(len(t) - 1)),
    lambda t: t.take(np.arange(len(t))[::-1]),
    lambda t: replace(t, split=~t.split),
    lambda t: replace(t, classes={"secret": ("no", "perhaps")}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_changes_with_the_table(change: Callable[[Table], Table]) -> None:
    assert table_digest(change(records())) != table_digest(records())


def test_the_digest_does_not_depend_on_file_format_or_compression(tmp_path: Path) -> None:
    table = records()
    table.write(tmp_path / "a.parquet")
    (tmp_path / "far" / "away").mkdir(parents=True)
    pq.write_table(pq.read_table(tmp_path / "a.parquet"), tmp_path / "far" / "away" / "b.parquet", compression="gzip")
    files = [tmp_path / "a.parquet", tmp_path / "far" / "away" / "b.parquet"]
    assert files[0].read_bytes() != files[1].read_bytes()
    found = {table_digest(Table.read(path)) for path in files}
    assert len(found) == 1
    assert HEX.fullmatch(found.pop())


def test_the_order_of_named_columns_makes_no_difference() -> None:
    table = replace(records(), features=("a", "b", "c", "d"))
    turned = replace(table, x=table.x[:, ::-1], features=("d", "c", "b", "a"))
    assert table_digest(turned) == table_digest(table)


def test_the_files_of_a_pair_are_named_by_their_digests(tmp_path: Path) -> None:
    records().write(tmp_path / "a.parquet")
    records().write(tmp_path / "b.parquet")
    about = read_pair(tmp_path / "a.parquet", tmp_path / "b.parquet").about
    for field, name in (("original_sha256", "a.parquet"), ("released_sha256", "b.parquet")):
        assert about[field] == sha256((tmp_path / name).read_bytes()).hexdigest()


def test_the_files_of_a_modifier_are_those_on_disk(tmp_path: Path) -> None:
    table, key = records(), Key.of_seed(1)
    made = fit(table, Policy(("secret",)), make("noise", {"sigma": "1"}), run=Run(key=key))
    assert "modifier" not in provenance(table, table, made)
    made.save(tmp_path / "m")
    wanted = {path.name: sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "m").iterdir()}
    assert provenance(table, table, made)["modifier"] == wanted
    assert provenance(table, table, load(tmp_path / "m"))["modifier"] == wanted


def test_an_audit_states_its_provenance_without_ids_and_paths(tmp_path: Path) -> None:
    table = records()
    table.write(tmp_path / "table.parquet")
    read = Table.read(tmp_path / "table.parquet")
    report = audit(read, read, Policy(("secret",)), budget=Budget.named("quick"))
    made = json.loads(to_json(report))["made"]
    assert made["provenance"]["original"] == made["provenance"]["released"] == table_digest(table)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["provenance"]["date"])
    assert {"python", "sordine", "torch", "numpy", "scipy"} <= set(made["versions"])
    text = json.dumps(made)
    assert str(tmp_path) not in text
    assert not any(str(name) in text for name in table.ids)


def test_the_page_shows_every_digest() -> None:
    report = example()
    page = to_html(report)
    found = report.made["provenance"]
    for digest in (found["original"], found["released"], *found["modifier"].values(), report.made["released_sha256"]):
        assert digest in page
    assert "2026-02-03 04:05:06" in page
