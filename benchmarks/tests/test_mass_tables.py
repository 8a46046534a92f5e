"""The MaSS paper's printed figures: the same configuration on the same data is printed alike wherever it stands."""

from __future__ import annotations

from benchmarks.mass.cases import CASES, STAND_INS
from benchmarks.mass.checks import near, overlap, rising
from benchmarks.mass.page import rows_of
from benchmarks.mass.paper import TABLES, Config


def test_every_table_of_the_paper_is_there() -> None:
    assert sorted(TABLES) == [2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    assert {n for case in STAND_INS.values() for n in case.tables} == set(TABLES)


def test_the_same_fit_is_printed_alike() -> None:
    seen: dict[tuple[str, str], tuple[float | None, ...]] = {}
    for table in TABLES.values():
        for row in table.rows:
            if isinstance(row.config, Config) and "preset" not in row.config.fields:
                first = seen.setdefault((table.data, row.config.name), row.paper)
                assert row.paper == first, f"table {table.number}: {row.label}"
    assert len(seen) > 20


def test_rows_shrink_to_the_attributes_there_are() -> None:
    labels = [row.label for row in rows_of(TABLES[14], CASES["fsdd"])]
    assert labels == ["Original", "with L_r*", "without L_r*"]
    names = [row.config.name for row in rows_of(TABLES[3], CASES["fsdd"]) if isinstance(row.config, Config)]
    assert len(names) == len(set(names)) == 5


def judged(after: float, before: float = 1.0, records: int = 400) -> dict:
    told = {"before": before, "after": after, "guess": 0.3, "records": records}
    return {"judged": {"light_side": told, "light_subset": dict(told), "person": dict(told)}}


def test_a_fall_beyond_the_intervals_is_no_rise() -> None:
    case, rows = CASES["yale_b"], TABLES[9].rows
    values = (0.8, 0.82, 0.81, 0.9, 0.95)
    assert all(
        v.startswith("reproduced") for v in rising(case, [(r, judged(v)) for r, v in zip(rows, values, strict=True)])
    )
    values = (0.8, 0.82, 0.6, 0.9, 0.95)
    assert all(
        v.startswith("**not reproduced**")
        for v in rising(case, [(r, judged(v)) for r, v in zip(rows, values, strict=True)])
    )
    assert overlap([judged(0.80), judged(0.82)], "light_side")
    assert not overlap([judged(0.80), judged(0.95)], "light_side")


def test_a_preserved_attribute_may_lose_what_the_paper_lost() -> None:
    table, case = TABLES[11], CASES["yale_b"]
    row = table.rows[-1]  # the paper's age falls from 89.1 to 83.8: 5.3 points
    assert next(near(table, case, row, judged(0.95))).startswith("reproduced")
    assert next(near(table, case, row, judged(0.94))).startswith("**not reproduced**")
