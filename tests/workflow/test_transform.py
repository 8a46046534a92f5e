from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sordine.data.table import Table
from sordine.data.table_io import read_note
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.models.modifier import BLOCK
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import TransformOptions, transform_file
from tests.fixtures.clusters import clusters

KEY = Key.of_seed(0)
POLICY = Policy(("person",), ("word",))


@pytest.fixture(scope="module")
def table() -> Table:
    return clusters(2 * BLOCK + 300)


@pytest.fixture(scope="module")
def modifier(table: Table):
    settings = {"epochs": 2, "batch": 256, "hidden": 32, "size": 16, "substitutes": 64}
    return fit(table, POLICY, make("substitution", settings), run=Run(key=KEY))


def rows_by_id(path) -> dict[str, bytes]:
    table = pq.read_table(path)
    x = np.stack(table["x"].to_numpy())
    return {i: row.tobytes() for i, row in zip(table["id"].to_pylist(), x, strict=True)}


def test_no_bit_depends_on_order_batches_or_workers(tmp_path, table, modifier):
    table.write(tmp_path / "a.parquet")
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = table.take(order)
    pq.write_table(
        pa.table(
            {
                "id": shuffled.ids.tolist(),
                "word": [f"w{c}" for c in shuffled.y["word"]],
                "x": pa.array(list(shuffled.x)),
            }
        ),
        tmp_path / "b.parquet",
        row_group_size=777,
    )
    one = transform_file(modifier, tmp_path / "a.parquet", tmp_path / "a1.parquet", key=KEY, run=Run(workers=1))
    transform_file(modifier, tmp_path / "a.parquet", tmp_path / "a3.parquet", key=KEY, run=Run(workers=3))
    transform_file(modifier, tmp_path / "b.parquet", tmp_path / "b2.parquet", key=KEY, run=Run(workers=2))
    transform_file(
        modifier,
        tmp_path / "a.parquet",
        tmp_path / "other.parquet",
        key=Key.of_seed(1),
        options=TransformOptions(fit_key=KEY),
    )
    assert one.rows == len(table)
    first = rows_by_id(tmp_path / "a1.parquet")
    assert first == rows_by_id(tmp_path / "a3.parquet") == rows_by_id(tmp_path / "b2.parquet")
    assert (tmp_path / "a1.parquet").read_bytes() == (tmp_path / "a3.parquet").read_bytes()
    assert first != rows_by_id(tmp_path / "other.parquet")


def test_what_is_kept_and_what_never_is(tmp_path, table, modifier):
    table.write(tmp_path / "a.parquet")
    transform_file(modifier, tmp_path / "a.parquet", tmp_path / "t.parquet", key=KEY)
    out = pq.read_table(tmp_path / "t.parquet")
    assert out.column_names == ["id", "split", "word", "x"]
    split = table.with_split(POLICY, KEY).split
    assert (np.array(out["split"].to_pylist()) == np.where(split, "train", "test")).all()
    assert read_note(tmp_path / "t.parquet", "sordine.transform")["policy"]["suppress"] == ["person"]
    transform_file(
        modifier, tmp_path / "a.parquet", tmp_path / "u.parquet", key=KEY, options=TransformOptions(keep=("sex",))
    )
    assert pq.read_schema(tmp_path / "u.parquet").names == ["id", "split", "sex", "x"]
    with pytest.raises(SordineError, match="'person' is suppressed"):
        transform_file(
            modifier,
            tmp_path / "a.parquet",
            tmp_path / "v.parquet",
            key=KEY,
            options=TransformOptions(keep=("person",)),
        )
    lines: list[str] = []
    transform_file(
        modifier, tmp_path / "a.parquet", tmp_path / "w.parquet", key=Key.of_seed(1), run=Run(log=lines.append)
    )
    assert "split" not in pq.read_schema(tmp_path / "w.parquet").names
    assert "key of the fit" in lines[0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, ids: x.__setitem__((BLOCK + 5, 2), np.nan), "contains NaN"),
        (lambda x, ids: ids.__setitem__(-1, ids[0]), "same id"),
    ],
)
def test_bad_records_leave_nothing_behind(tmp_path, table, modifier, spoil, message):
    x, ids = table.x.copy(), table.ids.copy()
    spoil(x, ids)
    pq.write_table(pa.table({"id": ids.tolist(), "x": pa.array(list(x))}), tmp_path / "a.parquet")
    with pytest.raises(SordineError, match=message):
        transform_file(modifier, tmp_path / "a.parquet", tmp_path / "t.parquet", key=KEY)
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]
    with pytest.raises(SordineError, match=r"nowhere\.parquet does not exist"):
        transform_file(modifier, tmp_path / "nowhere.parquet", tmp_path / "t.parquet", key=KEY)


def test_an_existing_output_is_refused_before_any_work(tmp_path, table, modifier):
    (tmp_path / "t.parquet").write_text("mine")
    with pytest.raises(SordineError, match=r"t\.parquet exists; use --force"):
        transform_file(modifier, tmp_path / "a.parquet", tmp_path / "t.parquet", key=KEY)
    assert (tmp_path / "t.parquet").read_text() == "mine"
