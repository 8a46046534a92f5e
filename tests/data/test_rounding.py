"""Whether numbers with 64 bits lose digits with 32: in arrays, data frames and files, and what the audit notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sordine import Policy, Table, audit
from sordine.attacks.budget import Budget
from sordine.data.rounding import loses_digits
from sordine.evaluation.audit import ROUNDED
from sordine.evaluation.options import AuditOptions

RNG = np.random.default_rng(0)
WIDE = RNG.standard_normal((60, 3)) * 10.0 ** RNG.integers(-6, 7, (60, 3))
NARROW = WIDE.astype(np.float32)


def hidden(bit: np.ndarray) -> np.ndarray:
    """Numbers with a bit below the digits that 32 bits hold."""
    return NARROW.astype(np.float64) * (1 + 1e-10 * bit[:, None])


@pytest.mark.parametrize(
    ("numbers", "loses"),
    [
        (WIDE, True),
        (NARROW, False),
        (NARROW.astype(np.float64), False),
        (NARROW.astype(str).astype(np.float64), False),
        (np.array([float(f"{v:.9g}") for v in NARROW.ravel()]), False),
        (np.array([[0.1, np.nan], [0.0, 1e-3]]), False),
        (np.array([0.1, 0.1 + 1e-12]), True),
        (np.array([1e300]), True),
        (np.array([1e-300]), True),
        (np.array([1 << 24, -3]), False),
        (np.array([(1 << 24) + 1]), True),
        (np.arange(5, dtype=np.uint8), False),
        (np.arange(5, dtype=np.float16), False),
        (np.empty(0), False),
    ],
)
def test_digits_that_32_bits_do_not_hold(numbers: np.ndarray, loses: bool) -> None:
    assert loses_digits(numbers) == loses


@pytest.mark.parametrize("wide", [True, False])
def test_a_table_says_whether_it_was_rounded(wide: bool, tmp_path: Path) -> None:
    x = WIDE if wide else NARROW
    frame = pd.DataFrame(x, columns=list("abc"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    lists = pd.DataFrame({"x": list(x)})
    lists.to_parquet(tmp_path / "lists.parquet")
    tables = [
        Table.of(x, {}),
        Table.from_pandas(frame),
        Table.read(tmp_path / "t.csv", ("a", "b", "c")),
        Table.read(tmp_path / "t.parquet", ("a", "b", "c")),
        Table.read(tmp_path / "lists.parquet"),
    ]
    assert [t.rounded for t in tables] == [wide] * len(tables)
    assert tables[0].take(np.arange(3)).rounded == wide
    tables[0].write(tmp_path / "written.parquet")
    assert not Table.read(tmp_path / "written.parquet").rounded


@pytest.mark.parametrize("wide", [True, False])
def test_the_audit_notes_what_it_does_not_test(wide: bool) -> None:
    secret = np.arange(60) % 2
    ids = [f"r{i}" for i in range(60)]
    original = Table.of(NARROW, {"secret": secret}, ids=ids)
    released = Table.of(hidden(secret) if wide else NARROW + 1, {}, ids=ids)
    budget = Budget(("neighbours",), ("B",), person=(), known=(), risks=False, utility=False, tail=False, plants=0)
    report = audit(original, released, Policy(("secret",)), budget=budget, options=AuditOptions(pretrained=False))
    assert report.made["notes"].count(ROUNDED) == int(wide)
