"""Data frames of other libraries become tables and come back."""

from __future__ import annotations

import decimal
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from sordine.data.reading import source
from sordine.data.reading.options import ReadOptions
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

N = 40
RNG = np.random.default_rng(3)
X = RNG.normal(size=(N, 3)).astype(np.float32)
IDS = [f"{i:04d}" for i in RNG.permutation(N)]
COLUMNS = {
    "id": IDS,
    "word": [None if i % 7 == 3 else "uvw"[i % 3] for i in range(N)],
    "code": [None if i % 11 == 5 else i % 4 - 1 for i in range(N)],
    "old": [i % 5 == 0 for i in range(N)],
    "v": X.tolist(),
}
ARROW = pa.table({**COLUMNS, "v": pa.array(COLUMNS["v"], pa.list_(pa.float32()))})


def of_pandas():
    return ARROW.to_pandas()


def of_pandas_arrow_types():
    return ARROW.to_pandas(types_mapper=pd.ArrowDtype)


def of_polars():
    return pytest.importorskip("polars").from_arrow(ARROW)


def of_lazy_polars():
    return of_polars().lazy()


def of_duckdb():
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.register("records", ARROW)
    return connection.sql("select * from records")


def of_datasets():
    return pytest.importorskip("datasets").Dataset(ARROW)


def of_shuffled_datasets():
    """The same order, through indices."""
    back = np.argsort(np.argsort(RNG.permutation(N)))
    turned = ARROW.take(pa.array(back))
    return pytest.importorskip("datasets").Dataset(turned).select(np.argsort(back))


FRAMES = {
    "pyarrow": lambda: ARROW,
    "batch": lambda: ARROW.combine_chunks().to_batches()[0],
    "reader": ARROW.to_reader,
    "chunks": lambda: pa.concat_tables([ARROW.slice(0, 7), ARROW.slice(7)]),
    "mapping": lambda: COLUMNS,
    "pandas": of_pandas,
    "pandas with Arrow types": of_pandas_arrow_types,
    "polars": of_polars,
    "lazy polars": of_lazy_polars,
    "duckdb": of_duckdb,
    "datasets": of_datasets,
    "datasets with indices": of_shuffled_datasets,
}


def labels(table: Table, name: str) -> list[str | None]:
    return [None if c < 0 else table.classes[name][c] for c in table.y[name]]


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_become_tables(kind):
    table = Table.from_frame(FRAMES[kind]())
    assert list(table.ids) == IDS
    assert table.features == ("v",)
    assert np.array_equal(table.x, X)
    assert labels(table, "word") == COLUMNS["word"]
    assert labels(table, "code") == [None if v is None else str(v) for v in COLUMNS["code"]]
    assert labels(table, "old") == [str(v) for v in COLUMNS["old"]]


@pytest.mark.parametrize("kind", ["pyarrow", "polars", "duckdb", "datasets"])
def test_a_released_table_has_ids_order_columns_and_types(kind):
    table = Table.from_frame(FRAMES[kind]())
    key = Key.of_seed(0)
    modifier = fit(table, Policy(("old",), ("word", "code")), make("noise", {"sigma": 1.0}), run=Run(key=key))
    released = transform(modifier, table, key)
    found = released.to_arrow()
    assert found.column_names == ["id", "word", "code", "x"]
    assert found["id"].to_pylist() == IDS
    assert found["word"].to_pylist() == COLUMNS["word"]
    assert found["code"].to_pylist() == COLUMNS["code"]
    assert found.schema.field("code").type == pa.int64()
    assert np.array_equal(np.stack(found["x"].to_pylist()).astype(np.float32), released.x)
    again = Table.from_frame(found)
    assert np.array_equal(again.x, released.x)
    assert again.classes == {n: released.classes[n] for n in ("word", "code")}


def test_polars_takes_a_table():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(Table.from_frame(ARROW))
    assert frame["id"].to_list() == IDS
    assert frame["code"].to_list() == COLUMNS["code"]


def test_duckdb_takes_a_table():
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.register("records", Table.from_frame(ARROW).to_arrow())
    rows = connection.sql("select id, word from records where old").fetchall()
    assert rows == [(i, w) for i, w, o in zip(IDS, COLUMNS["word"], COLUMNS["old"], strict=True) if o]


def test_datasets_takes_a_table():
    datasets = pytest.importorskip("datasets")
    assert datasets.Dataset(Table.from_frame(ARROW).to_arrow())["word"][:] == COLUMNS["word"]


def test_classes_of_datasets_have_their_names():
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features(
        {"v": datasets.List(datasets.Value("float32")), "sex": datasets.ClassLabel(names=["f", "m"])}
    )
    made = datasets.Dataset.from_dict({"v": X.tolist(), "sex": [0, 1] * (N // 2)}, features=kinds)
    assert labels(Table.from_frame(made), "sex") == ["f", "m"] * (N // 2)
    assert labels(Table.from_frame(made.select(range(1, N))), "sex")[0] == "m"
    with pytest.raises(SordineError, match="several data sets"):
        Table.from_frame(datasets.DatasetDict({"train": made, "test": made}))
    with pytest.raises(SordineError, match="without streaming"):
        Table.from_frame(made.to_iterable_dataset())


def test_arrays_of_a_pandas_column():
    table = Table.from_pandas(pd.DataFrame({"v": list(X), "a": ["u", "v"] * (N // 2)}))
    assert np.array_equal(table.x, X)
    assert table.to_pandas()["a"].tolist() == ["u", "v"] * (N // 2)


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, pd.NA, 0, 1], "Int64"),
        pd.Series([1, pd.NA, 0, 1], dtype=object),
        pd.Series([1.0, np.nan, 0.0, 1.0]),
        [decimal.Decimal(1), None, decimal.Decimal(0), decimal.Decimal(1)],
        pd.Categorical([1, None, 0, 1]),
    ],
)
def test_labels_with_gaps(values):
    table = Table.from_pandas(pd.DataFrame({"f": [0.5, 1.5, 2.5, 3.5], "a": values}))
    assert table.features == ("f",)
    assert table.y["a"].tolist() == [1, -1, 0, 1]
    assert table.classes["a"] == ("0", "1")


@pytest.mark.parametrize("values", [[torch.tensor(i % 2) for i in range(4)], torch.arange(4) % 2])
def test_tensors_are_labels(values):
    assert Table.of(torch.ones(4, 2), {"a": values}).classes["a"] == ("0", "1")
    frame = pd.DataFrame({"f": [0.5, 1.5, 2.5, 3.5], "a": list(values)})
    assert Table.from_pandas(frame).classes["a"] == ("0", "1")


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(source, "_stated", set())
    caplog.set_level(logging.INFO, logger="sordine")
    return caplog


def test_what_becomes_a_feature_is_stated(lines):
    frame = pd.DataFrame({"f0": [0.5, 1.5], "sex": [0.0, 1.0], "f1": [2.5, 3.5]})
    table = Table.from_pandas(frame)
    assert table.features == ("f0", "f1")
    assert table.attributes == ("sex",)
    messages = [r.message for r in lines.records]
    assert any("the features are the columns f0, f1" in m for m in messages)
    assert any("whole numbers: sex" in m for m in messages)
    assert Table.from_pandas(frame, ["f0", "sex"]).features == ("f0", "sex")


def test_values_of_several_types_are_text(lines):
    table = Table.from_pandas(pd.DataFrame({"f": [0.5] * 4, "a": [1, "1", None, "b"]}))
    assert table.classes["a"] == ("1", "b")
    assert any(r.levelno == logging.WARNING and "'a'" in r.message for r in lines.records)
    Table.of(X[:4], {"a": [1, "1", None, "b"]})
    assert any("look alike" in r.message for r in lines.records)


def test_options_hold_for_frames():
    frame = pd.DataFrame({"f": [0.5] * 4, "sex": ["M", "m ", "f", "F"], "group": list("abab"), "t": ["p|q", "q"] * 2})
    options = ReadOptions(normalise_labels=True, rename=(("group", "cohort"),), multi_label=("t",))
    table = Table.from_frame(frame, options=options)
    assert table.classes["sex"] == ("f", "m")
    assert table.group is None
    assert table.attributes == ("sex", "cohort", "t:p", "t:q")


def test_continuous_columns_stay_out_of_x():
    frame = pd.DataFrame({"f": [0.5] * 4, "age": [20, 30, 40, 50], "height": [1.5, 1.6, 1.7, 1.8]})
    table = Table.from_frame(frame, continuous=["age", "height"])
    assert table.features == ("f",)
    assert table.targets["age"].tolist() == [20, 30, 40, 50]
    with pytest.raises(SordineError, match="did you mean 'height'"):
        Table.from_frame(frame, continuous=["heigt"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Table.from_frame([1, 2]), "is list; give a data frame"),
        (lambda: Table.from_frame(None), "is NoneType; give a data frame"),
        (lambda: Table.from_frame(pd.DataFrame({"a": ["u"]})), "name the feature columns with features="),
        (lambda: Table.from_frame(pd.DataFrame([[1.5, 2.5]], columns=["a", "a"])), "'a' occurs twice"),
        (lambda: Table.from_frame(pd.DataFrame({"f": [0.5, 1.5], "a": [[1], "b"]})), "'a' mixes lists"),
        (lambda: Table.from_frame(pd.DataFrame({"f": []}), ["f"]), "no records"),
        (lambda: Table.read(3), "path is int"),
        (lambda: Table.of(X, ["a"]), "attributes is list"),
        (lambda: Table.of(X, {"a": 5}), "'a' is int"),
        (lambda: Table.of(X, {}, ids=5), "'id' is int"),
        (lambda: Table.of(X, {"a": ["u"]}), "'a' has 1 values for 40 records"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(SordineError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
