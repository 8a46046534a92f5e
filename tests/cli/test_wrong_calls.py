"""Wrong input ends with code 2, one line, and no new file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.fixtures.voices import changed, voices

Refused = Callable[..., str]


WRONG_TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "one class": ({"speaker": ["ann"] * 240}, "one class only ('ann')"),
    "a class of one record": ({"speaker": ["eve"] + ["ann", "bob"] * 119 + ["ann"]}, "'eve'"),
    "no label": ({"speaker": pa.array([None] * 240, pa.string())}, "no label"),
    "an id twice": ({"id": [f"r{i}" for i in range(239)] + ["r0"]}, "'r0'"),
    "an empty split": ({"split": ["train"] * 240}, "'test'"),
    "a strange split": ({"split": ["train", "valid"] * 120}, "'valid'"),
    "no features": ({"x": None}, "--features"),
    "a column too few": ({"speaker": None}, "no attribute 'speaker' to suppress"),
}


@pytest.mark.parametrize("case", WRONG_TABLES)
def test_fit_refuses_a_table(case: str, table: Path, refused: Refused) -> None:
    columns, token = WRONG_TABLES[case]
    wrong = changed(table, **columns)
    assert token in refused("fit", wrong, "-s", "speaker", "-m", "leace", "-o", table.parent / "m")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(value: float, made: Path, table: Path, refused: Refused) -> None:
    x = voices().flat().copy()
    x[17, 3] = value
    wrong = changed(table, x=pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 8))
    line = refused("fit", wrong, "-s", "speaker", "-m", "leace", "-o", table.parent / "m")
    assert "r17" in line
    assert "r17" in refused("transform", made / "m", wrong, "-o", table.parent / "x.parquet")


def test_fit_refuses_a_call(table: Path, refused: Refused, tmp_path: Path) -> None:
    def fit(*words: object) -> str:
        return refused("fit", table, *words, "-o", tmp_path / "m")

    assert "did you mean 'speaker'" in fit("-s", "speeker")
    assert "'word' is in suppress and in preserve" in fit("-s", "word", "-p", "word")
    assert "did you mean 'leace'" in fit("-s", "speaker", "-m", "leece")
    assert "did you mean 'sigma'" in fit("-s", "speaker", "-m", "noise", "--option", "sigm=1")
    assert "sigma = 'loud'" in fit("-s", "speaker", "-m", "noise", "--option", "sigma=loud")
    assert "NAME=VALUE" in fit("-s", "speaker", "--option", "sigma")
    assert "did you mean '--suppress'" in fit("--supress", "speaker")
    assert "(-s)" in fit("-p", "word", "-m", "leace")
    assert "(-p)" in fit("-s", "speaker", "-m", "masking")
    assert "tpu9" in fit("-s", "speaker", "-m", "leace", "--device", "tpu9")
    assert "'y'" in fit("-s", "speaker", "--features", "y")
    assert "no.key" in fit("-s", "speaker", "-m", "leace", "--key", tmp_path / "no.key")
    assert "no.parquet" in fit("-s", "speaker", "--pool", tmp_path / "no.parquet")
    assert "did you mean 'fit'" in refused("fitt", table)
    assert "--output" in refused("fit", table)
    assert "no.parquet" in refused("fit", tmp_path / "no.parquet", "-s", "a", "-o", tmp_path / "m")
    (tmp_path / "text.parquet").write_text("no table")
    assert "text.parquet" in refused("fit", tmp_path / "text.parquet", "-s", "a", "-o", tmp_path / "m")


def test_an_option_over_a_million_is_printed_in_full(table: Path, tmp_path: Path, refused: Refused) -> None:
    line = refused("fit", table, "-s", "speaker", "-m", "flow", "--option", "rounds=1000001", "-o", tmp_path / "m")
    assert "1000001" in line


def test_fit_names_the_extract_command_for_a_folder(tmp_path: Path, refused: Refused) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "metadata.csv").write_text("file_name,speaker\na.wav,ann\n")
    assert "--extractor logmel" in refused("fit", clips, "-s", "speaker", "-o", tmp_path / "m")
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("age,sex\n" + "31,f\n42,m\n" * 9)
    assert "--extractor columns" in refused("fit", mixed, "-s", "sex", "-o", tmp_path / "m")


def test_outputs_are_checked_before_inputs(made: Path, tmp_path: Path, refused: Refused) -> None:
    m, t, x = made / "m", made / "t.parquet", made / "x.parquet"
    no = tmp_path / "no.parquet"  # checked after the outputs
    there, folder = tmp_path / "there", tmp_path / "folder"
    there.write_text("")
    folder.mkdir()
    (folder / "dear").write_text("")
    assert "--force" in refused("extract", no, "-e", "columns", "-o", there)
    assert "--force" in refused("fit", no, "-s", "speaker", "-o", m)
    assert "--force" in refused("transform", m, no, "-o", there)
    assert "--force" in refused("release", no, "-o", folder)
    assert "--force" in refused("audit", no, no, "-s", "speaker", "--json", there)
    assert "--force" in refused("audit", no, no, "-s", "speaker", "-o", there)
    assert "Sordine did not write" in refused("fit", t, "-s", "speaker", "-o", folder, "--force")
    assert "give the name of a file" in refused("transform", m, t, "-o", folder, "--force")
    assert "an input of this command" in refused("transform", m, t, "-o", t, "--force")
    assert "an input of this command" in refused("fit", t, "-s", "speaker", "-o", made, "--force")
    assert "there is not a folder" in refused("transform", m, t, "-o", there / "x.parquet")
    assert "there is not a folder" in refused("fit", t, "-s", "speaker", "-o", there / "m")
    assert (folder / "dear").exists()
    assert x.exists()


def test_a_strength_is_chosen_in_one_way(table: Path, refused: Refused, tmp_path: Path) -> None:
    fit = ["fit", table, "-s", "speaker", "-o", tmp_path / "m"]
    assert "give one of them" in refused(*fit, "--max-leakage", "0.1", "--records-per-person", "5")
    assert "--records-per-person" in refused(*fit, "--along", "softness=0.5,0.1")
    assert "--records-per-person" in refused(*fit, "--records-per-person", "0")


def test_no_output_lies_in_another(made: Path, tmp_path: Path, refused: Refused) -> None:
    audit = ["audit", made / "t.parquet", made / "x.parquet", "-s", "speaker"]
    page = tmp_path / "j.html"
    assert "j.html (-o)" in refused(*audit, "-o", page, "--json", page / "x.json")
    assert "j.html (--json)" in refused(*audit, "-o", page / "x.html", "--json", page)
    assert "--json and -o both name" in refused(*audit, "-o", page, "--json", page)


def test_transform_refuses_what_does_not_fit(made: Path, table: Path, refused: Refused, tmp_path: Path) -> None:
    m, out = tmp_path / "m", tmp_path / "x.parquet"
    m.mkdir()
    for name in ("modifier.json", "modifier.safetensors"):
        (m / name).write_bytes((made / "m" / name).read_bytes())
    assert "--key" in refused("transform", m, table, "-o", out)
    (tmp_path / "m.key").write_bytes((made / "m.key").read_bytes())
    narrow = changed(table, x=pa.FixedSizeListArray.from_arrays(pa.array(voices().flat()[:, :5].reshape(-1)), 5))
    assert "(5,)" in refused("transform", m, narrow, "-o", out)
    assert "two records have the same id" in refused("transform", m, changed(table, id=["r0"] * 240), "-o", out)
    weights = (m / "modifier.safetensors").read_bytes()
    (m / "modifier.safetensors").write_bytes(weights[:-7])
    assert "modifier.safetensors is truncated or damaged" in refused("transform", m, table, "-o", out)
    (m / "modifier.safetensors").write_bytes(weights)
    card = json.loads((m / "modifier.json").read_text())
    (m / "modifier.json").write_text(json.dumps(card | {"schema": 99}))
    assert "schema 99" in refused("transform", m, table, "-o", out)
    (m / "modifier.json").write_text(json.dumps(card)[:-9])
    assert "modifier.json is damaged" in refused("transform", m, table, "-o", out)
    (m / "modifier.json").unlink()
    assert "modifier.json is missing" in refused("transform", m, table, "-o", out)
    assert "no is not a modifier" in refused("transform", tmp_path / "no", table, "-o", out)
    (tmp_path / "m.key").write_text("no key")
    (m / "modifier.json").write_text(json.dumps(card))
    assert "m.key is not 64" in refused("transform", m, table, "-o", out)


def test_audit_and_release_refuse_a_call(made: Path, refused: Refused, tmp_path: Path) -> None:
    t, x = made / "t.parquet", made / "x.parquet"
    assert "did you mean 'speaker'" in refused("audit", t, x, "-s", "speeker")
    assert "--seed" in refused("audit", t, x, "-s", "speaker", "--seed", "one")
    assert "did you mean 'logistic'" in refused("audit", t, x, "-s", "speaker", "--attack", "logistc")
    assert "'D'" in refused("audit", t, x, "-s", "speaker", "--scenario", "D")
    assert "with -s" in refused("audit", t, t)
    assert "--max-leakage" in refused("audit", t, x, "-s", "speaker", "--max-leakage", "7")
    assert "sordine transform" in refused("release", t, "-o", tmp_path / "out")
    assert "no.parquet" in refused("release", tmp_path / "no.parquet", "-o", tmp_path / "out")
    assert "no.json" in refused("release", x, "-o", tmp_path / "out", "--report", tmp_path / "no.json")


def test_audit_refuses_a_modifier_of_another_shape(made: Path, refused: Refused, tmp_path: Path) -> None:
    wide = voices()
    wide = wide.with_x(np.concatenate([wide.x, wide.x[:, :3]], 1))
    wide.write(tmp_path / "t.parquet")
    wide.write(tmp_path / "x.parquet")
    tables = (tmp_path / "t.parquet", tmp_path / "x.parquet")
    line = refused("audit", *tables, "--modifier", made / "m", "--budget", "quick", "-o", tmp_path / "r.html")
    assert "(11,)" in line
    assert "(8,)" in line


def test_sweep_refuses_a_method_that_does_not_suit_the_policy(table: Path, refused: Refused, tmp_path: Path) -> None:
    assert "(-p)" in refused("sweep", table, "-s", "speaker", "-m", "masking", "-o", tmp_path / "s.html")
