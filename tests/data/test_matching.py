"""Which features of two tables are the same: by name, never by position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sordine.attacks.budget import Budget
from sordine.cli.app import app
from sordine.data.matching import column_order, same_columns
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.inputs import read_pair
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit as fit_table
from sordine.methods.registry import make
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import TransformOptions, transform, transform_file
from tests.fixtures.clusters import clusters

POLICY = Policy(("person",), ("word",), ())
KEY = Key.of_seed(3)
NAMES = [f"f{i}" for i in range(12)]
FAST = Budget.named("quick", families=("logistic",), settings=("A",), cloud=0)


def frame(seed: int = 0, n: int = 240) -> pd.DataFrame:
    t = clusters(n, seed=seed)
    made = pd.DataFrame(t.x, columns=NAMES)
    for name in ("person", "word"):
        made[name] = [t.classes[name][c] for c in t.y[name]]
    made.insert(0, "id", t.ids)
    return made


def turned(made: pd.DataFrame) -> pd.DataFrame:
    """The same table, its columns in another order."""
    return made[[*reversed(made.columns)]]


@pytest.fixture(scope="module")
def fitted() -> Modifier:
    return fit_table(Table.from_pandas(frame()), POLICY, make("leace"), run=Run(key=KEY))


def csv(folder: Path, name: str, made: pd.DataFrame) -> Path:
    made.to_csv(folder / name, index=False)
    return folder / name


def test_columns_in_another_order_are_put_right_and_said(tmp_path: Path, fitted: Modifier) -> None:
    right, other = csv(tmp_path, "a.csv", frame()), csv(tmp_path, "b.csv", turned(frame()))
    said: list[str] = []
    transform_file(
        fitted, right, tmp_path / "a.parquet", key=KEY, options=TransformOptions(("f*",)), run=Run(log=said.append)
    )
    assert said == []
    transform_file(
        fitted, other, tmp_path / "b.parquet", key=KEY, options=TransformOptions(("f*",)), run=Run(log=said.append)
    )
    assert len(said) == 1
    transform_file(fitted, other, tmp_path / "c.parquet", key=KEY)  # found by the card alone
    first, second, third = (pq.read_table(tmp_path / f"{n}.parquet")["x"] for n in "abc")
    assert first == second == third
    in_memory: list[str] = []
    made = transform(fitted, Table.from_pandas(turned(frame())), KEY, run=Run(log=in_memory.append))
    assert np.array_equal(made.x, transform(fitted, Table.from_pandas(frame()), KEY).x)
    assert len(in_memory) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda f: f.drop(columns="f3"), "f3"),
        (lambda f: f.rename(columns={"f3": "f99"}), "f3"),
        (lambda f: f.assign(f99=0.5), "f99"),
    ],
)
def test_a_missing_or_additional_column_is_refused_by_name(
    tmp_path: Path, fitted: Modifier, change: Any, named: Any
) -> None:
    wrong = change(frame())
    with pytest.raises(SordineError, match=f"'{named}'"):
        transform_file(
            fitted,
            csv(tmp_path, "t.csv", wrong),
            tmp_path / "o.parquet",
            key=KEY,
            options=TransformOptions(("f*",)),
            force=True,
        )
    assert not (tmp_path / "o.parquet").exists()
    with pytest.raises(SordineError, match=f"'{named}'"):
        transform(fitted, Table.from_pandas(wrong), KEY)


def test_lists_without_names_compare_by_shape_alone(fitted: Modifier) -> None:
    t = Table.from_pandas(frame())
    nameless = replace(t, features=("x",))
    assert np.array_equal(transform(fitted, nameless, KEY).x, transform(fitted, t, KEY).x)
    assert column_order(("x",), NAMES, "a", "b") is None
    assert column_order(NAMES, ("x",), "a", "b") is None
    with pytest.raises(SordineError):
        transform(fitted, replace(nameless, x=t.x[:, :11]), KEY)


def test_channels_are_matched_by_name_too() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    t = replace(Table.of(x, {}), features=("c", "a", "b"))
    assert np.array_equal(same_columns(t, ("a", "b", "c"), "other").x, x[:, [1, 2, 0]])


@pytest.mark.slow
def test_the_audit_matches_columns_by_name(tmp_path: Path) -> None:
    t = Table.from_pandas(frame())
    hidden = frame()
    hidden[NAMES] += np.random.default_rng(0).normal(size=(240, 12)).astype(np.float32)
    said: list[str] = []
    right = audit(t, Table.from_pandas(hidden), POLICY, budget=FAST)
    other = audit(t, Table.from_pandas(turned(hidden)), POLICY, budget=FAST, run=Run(log=said.append))
    assert (right.headlines, right.pretrained, right.distortion) == (
        other.headlines,
        other.pretrained,
        other.distortion,
    )
    assert sum("order" in line for line in said) == 1
    pair = read_pair(
        csv(tmp_path, "a.csv", frame()),
        csv(tmp_path, "b.csv", turned(hidden)),
        features=("f*",),
        named=("person", "word"),
        run=Run(log=said.append),
    )
    assert pair.transformed.features == pair.original.features
    assert np.allclose(pair.transformed.x, hidden[NAMES].to_numpy(), atol=1e-5)
    assert sum("order" in line for line in said) == 2
    with pytest.raises(SordineError, match="'f3'"):
        audit(t, Table.from_pandas(hidden.rename(columns={"f3": "f99"})), POLICY, budget=FAST)
    narrow = audit(t, Table.from_pandas(hidden.drop(columns="f3")), POLICY, budget=FAST)
    assert "width" in {f.code for f in narrow.flaws}


def test_the_modifier_of_an_audit_sees_its_own_columns(fitted: Modifier) -> None:
    t, other = Table.from_pandas(frame()), Table.from_pandas(turned(frame()))
    more = Table.from_pandas(turned(frame(seed=1)).assign(id=[f"m{i}" for i in range(240)]))
    released = transform(fitted, t, KEY)
    given = {"modifier": fitted, "key": KEY, "budget": FAST, "pretrained": False}
    right = audit(t, released, POLICY, options=AuditOptions(more=more), **given)  # type: ignore[arg-type]
    found = audit(other, released, POLICY, options=AuditOptions(more=more), **given)  # type: ignore[arg-type]
    assert found.headlines == right.headlines


def test_a_pool_is_matched_by_name(tmp_path: Path) -> None:
    t, pool = frame(), frame(seed=1).assign(id=[f"m{i}" for i in range(240)])
    method = make("substitution", {"substitutes": 20, "epochs": 1})

    def made(of: pd.DataFrame) -> np.ndarray:
        fit = fit_table(Table.from_pandas(t), POLICY, method, pool=Table.from_pandas(of), run=Run(key=KEY))
        return transform(fit, Table.from_pandas(t), KEY).x

    assert np.array_equal(made(pool), made(turned(pool)))
    with pytest.raises(SordineError, match="'f99'"):
        made(pool.assign(f99=0.5))
    own, theirs = csv(tmp_path, "t.csv", t), csv(tmp_path, "p.csv", pool.drop(columns="f3"))
    words = ["fit", own, "-s", "person", "-p", "word", "--features", "f*", "-m", "substitution", "--pool", theirs]
    done = CliRunner().invoke(app, [*map(str, words), "-o", str(tmp_path / "m")])
    assert isinstance(done.exception, SordineError)
    assert not (tmp_path / "m").exists()
