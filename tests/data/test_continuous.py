"""Continuous attributes: their quantile classes, their files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sordine import Policy, SordineError, Table
from sordine.data.continuous import quantile_classes
from sordine.workflow.inspection import inspect


def people(n: int = 400, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 90, n)
    age[:5] = np.nan
    x = rng.standard_normal((n, 4)).astype(np.float32)
    table = Table.of(x, {"word": rng.integers(0, 3, n)}, ids=[f"p{i}" for i in range(n)])
    return table.with_continuous({"age": age, "voice": rng.standard_normal((n, 3))})


def test_quantile_classes_are_of_equal_size_and_keep_the_order() -> None:
    values = np.random.default_rng(0).uniform(18, 90, 1000).astype(np.float32)
    made = quantile_classes(values)
    codes = made.codes(values)
    assert np.bincount(codes).tolist() == pytest.approx([100] * 10, abs=1)
    assert (np.diff(codes[np.argsort(values)]) >= 0).all()
    assert made.names[0].startswith(f"{values.min():.4g} to below ")
    assert len(set(made.names)) == 10
    shuffled = quantile_classes(np.random.default_rng(1).permutation(values))
    assert np.array_equal(made.edges, shuffled.edges)
    assert made.codes(np.array([np.nan, -1e9, 1e9])).tolist() == [-1, 0, 9]


def test_few_records_and_repeated_values_give_fewer_classes() -> None:
    assert len(quantile_classes(np.arange(60.0)).names) == 3
    assert len(quantile_classes(np.arange(4.0)).names) == 2
    mostly_zero = np.zeros(1000)
    mostly_zero[:40] = np.arange(1, 41)
    made = quantile_classes(mostly_zero)
    assert np.bincount(made.codes(mostly_zero)).min() >= 2
    assert len(made.names) == 2
    lonely = np.zeros(100)
    lonely[0] = 5
    assert len(quantile_classes(lonely).names) == 1
    assert quantile_classes(np.full(9, np.nan)).names == ()
    close = 1e6 + np.arange(200) * 1e-3
    assert len(set(quantile_classes(close).names)) == 10


def test_an_embedding_is_cut_into_clusters_whatever_the_order_of_records() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.standard_normal((10, 3))
    values = centres[np.repeat(np.arange(10), 30)] + rng.standard_normal((300, 3))
    made = quantile_classes(values)
    assert len(made.names) == 10
    order = rng.permutation(300)
    again = quantile_classes(values[order])
    assert np.array_equal(made.codes(values)[order], again.codes(values[order]))
    values[0, 1] = np.nan
    assert made.codes(values)[0] == -1


def test_parts_of_a_table_keep_the_classes_of_the_whole() -> None:
    table = people()
    part = table.take(np.flatnonzero(table.targets["age"] < 44))
    assert part.classes["age"] == table.classes["age"]
    assert part.targets["age"].max() < 44
    assert set(np.unique(part.y["age"])) == {0, 1, 2, 3}
    assert table.attributes == ("word", "age", "voice")
    assert (table.y["age"] == -1).sum() == 5
    other = people(300, seed=5).with_classes_of(table)
    assert other.classes["age"] == table.classes["age"]
    assert np.array_equal(other.y["age"], table.quantiles["age"].codes(other.targets["age"]))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_named_column_of_decimal_numbers_is_continuous(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.standard_normal(50), "b": rng.standard_normal(50), "age": rng.uniform(18, 90, 50).tolist()}
    columns["age"][3] = None
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        pyarrow.csv.write_csv(pa.table(columns), path)
    else:
        pq.write_table(pa.table(columns), path)
    plain = Table.read(path, ("a", "b"))
    assert plain.attributes == ()
    assert any("'age'" in note for note in plain.notes)
    table = Table.read(path, ("a", "b"), named=("age",))
    assert table.attributes == ("age",)
    assert np.isnan(table.targets["age"][3])
    assert table.targets["age"][4] == pytest.approx(columns["age"][4])
    assert table.notes == ()
    assert table.require(Policy(("age",))).suppress == ("age",)


def test_tables_are_written_and_read_again(tmp_path: Path) -> None:
    table = people()
    table.write(tmp_path / "t.parquet")
    again = Table.read(tmp_path / "t.parquet", ("x",), named=("age", "voice"))
    for name in ("age", "voice"):
        assert np.array_equal(again.targets[name], table.targets[name], equal_nan=True)
        assert np.array_equal(again.y[name], table.y[name])
        assert again.classes[name] == table.classes[name]
    assert pq.read_schema(tmp_path / "t.parquet").field("age").type == pa.float32()


def test_data_frames() -> None:
    frame = pd.DataFrame({"a": np.arange(40) / 7, "age": np.arange(40), "word": ["x", "y"] * 20})
    table = Table.from_pandas(frame, continuous=("age",))
    assert table.features == ("a",)
    assert table.targets["age"].tolist() == list(range(40))
    assert set(table.attributes) == {"word", "age"}


def test_what_cannot_be_a_continuous_attribute(tmp_path: Path) -> None:
    table = people(100)
    for values in (np.full(100, 3.0), np.full(100, np.nan)):
        with pytest.raises(SordineError) as error:
            table.with_continuous({"age": values}).require(Policy(("age",)))
        assert "\n" not in str(error.value)
        assert "'age'" in str(error.value)
    endless = np.arange(100.0)
    endless[7] = np.inf
    with pytest.raises(SordineError, match="row 7"):
        table.with_continuous({"age": endless})
    with pytest.raises(SordineError):
        table.with_continuous({"age": np.arange(99.0)})
    with pytest.raises(SordineError):
        table.with_continuous({"age": np.zeros((100, 2, 2))})
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": np.arange(100.0), "b": np.arange(100.0) % 7, "age": endless}), path)
    with pytest.raises(SordineError, match="row 7"):
        Table.read(path, ("a", "b"), named=("age",))
    found = inspect(path, Policy(("age",)), features=("a", "b"), measure=False)
    assert "row 7" in found.refusal


def test_inspection_shows_range_and_mean(tmp_path: Path) -> None:
    table = people()
    table.write(tmp_path / "t.parquet")
    found = inspect(tmp_path / "t.parquet", Policy(("age",), ("word",), ()), features=("x",), measure=False)
    (age,) = [a for a in found.attributes if a.name == "age"]
    assert (age.role, age.classes, age.labelled) == ("suppress", 10, 395)
    assert any("`age` (suppress): 395 labelled records, continuous, 18" in line for line in found.lines())
    assert not found.refusal
