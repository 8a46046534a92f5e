"""The scikit-learn transformer: its manners, and that it is the same modifier underneath."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.estimator import Suppressor
from sordine.keys import Key
from sordine.methods.registry import make
from sordine.policy import Policy
from sordine.run import Run

KEY = Key.of_seed(1)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Records in which the speaker and the word each move half of the columns."""
    rng = np.random.default_rng(0)
    speaker, word = rng.integers(0, 3, 240), rng.integers(0, 2, 240)
    x = rng.normal(size=(240, 8))
    x[:, :4] += 3 * np.eye(4)[speaker]
    x[:, 4:] += 3 * np.eye(4)[word]
    names = {"speaker": np.array(["ann", "bob", "cy"])[speaker], "word": np.array(["yes", "no"])[word]}
    return x.astype(np.float32), names


def leace(**more: Any) -> Suppressor:
    return Suppressor("leace", ["speaker"], ["word"], key=KEY, **more)


def test_parameters_are_stored_untouched_and_cloned() -> None:
    given = {"suppress": ["speaker"], "preserve": ("word",), "settings": {"epochs": 3}, "seed": 5}
    made = Suppressor("mass", **given)  # type: ignore[arg-type]
    assert {k: made.get_params()[k] for k in given} == given
    assert made.get_params()["suppress"] is given["suppress"]
    assert clone(made).get_params() == made.get_params()
    assert made.set_params(seed=6).seed == 6
    with pytest.raises(NotFittedError):
        made.transform(np.zeros((2, 3)))


def test_the_suppressed_attribute_goes_and_the_other_stays(data: Any) -> None:
    x, names = data
    released = leace().fit_transform(x, names)
    assert released.shape == x.shape
    assert released.dtype == np.float32
    before = LogisticRegression(max_iter=500).fit(x, names["speaker"]).score(x, names["speaker"])
    after = LogisticRegression(max_iter=500).fit(released, names["speaker"]).score(released, names["speaker"])
    word = LogisticRegression(max_iter=500).fit(released, names["word"]).score(released, names["word"])
    assert before > 0.9
    assert after < 0.5
    assert word > 0.9


def test_it_is_the_modifier_of_the_method(data: Any) -> None:
    x, names = data
    whole = make("leace").fit(Table.of(x, names), Policy(("speaker",), ("word",), ()), Run(key=KEY))
    ours = leace().fit(x, names)
    ids = np.array([str(i) for i in range(len(x))], dtype=object)
    np.testing.assert_allclose(ours.transform(x), whole.release(x, ids, KEY)[0], atol=1e-5)
    assert ours.modifier_.was_fitted_on(np.array(["no such record"], dtype=object), KEY).sum() == 0
    assert ours.modifier_.card.key == KEY.fingerprint


@pytest.mark.parametrize("kind", ["mapping", "frame", "array", "position", "one"])
def test_attributes_come_in_any_form(data: Any, kind: str) -> None:
    x, names = data
    wanted = leace().fit(x, names).transform(x)
    array = np.stack([names["speaker"], names["word"]], axis=1)
    made, given = {
        "mapping": (leace(), {n: list(v) for n, v in names.items()}),
        "frame": (leace(), pd.DataFrame({**names, "spare": 1})),
        "array": (leace(), array),
        "position": (Suppressor("leace", [1], [0], key=KEY), array[:, ::-1]),
        "one": (Suppressor("leace", "speaker", key=KEY), names["speaker"]),
    }[kind]
    np.testing.assert_array_equal(made.fit(x, given).transform(x), wanted)


def test_the_same_record_gives_the_same_release(data: Any) -> None:
    x, names = data
    made = Suppressor("noise", "speaker", key=KEY).fit(x, names)
    whole = made.transform(x)
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(made.transform(x[order]), whole[order])
    np.testing.assert_array_equal(made.transform(x[:1]), whole[:1])
    assert not np.array_equal(made.transform(x[:1], ids=["another"]), whole[:1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).transform(x), whole)
    other = Suppressor("noise", "speaker", key=Key.of_seed(2)).fit(x, names).transform(x)
    assert not np.array_equal(other, whole)


def test_repeated_records_are_no_trouble(data: Any) -> None:
    x, names = data
    twice = {n: np.concatenate([v, v]) for n, v in names.items()}
    released = leace().fit_transform(np.concatenate([x, x]), twice)
    np.testing.assert_array_equal(released[: len(x)], released[len(x) :])


def test_names_of_columns_are_kept(data: Any) -> None:
    x, names = data
    frame = pd.DataFrame(x, columns=[f"f{i}" for i in range(8)])
    made = leace().fit(frame, names)
    assert made.n_features_in_ == 8
    assert list(made.feature_names_in_) == list(frame.columns)
    assert list(made.get_feature_names_out()) == list(frame.columns)
    shown = made.set_output(transform="pandas").transform(frame)
    assert list(shown.columns) == list(frame.columns)
    assert list(leace().fit(x, names).get_feature_names_out()) == [f"x{i}" for i in range(8)]
    with pytest.raises(ValueError, match="feature names"):
        made.transform(frame[frame.columns[::-1]])


def test_it_works_in_pipelines(data: Any) -> None:
    x, names = data
    line = make_pipeline(leace(), LogisticRegression(max_iter=500))
    line.fit(x, names["word"], suppressor__attributes=names)
    assert line.score(x, names["word"]) > 0.9
    columns = ColumnTransformer([("mute", leace(), list(range(8)))])
    assert columns.fit_transform(x, pd.DataFrame(names)).shape == x.shape


def test_wrong_input_is_refused(data: Any, tmp_path: Path) -> None:
    x, names = data
    made = leace().fit(x, names)
    with pytest.raises(ValueError, match="X has 3 features"):
        made.transform(x[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        made.transform(np.full((2, 8), np.nan))
    with pytest.raises(ValueError, match="ids for"):
        made.transform(x, ids=["a"])
    with pytest.raises(ValueError, match="NaN"):
        leace().fit(np.where(x > 2, np.nan, x), names)
    with pytest.raises(SordineError, match="fit needs the labels"):
        leace().fit(x)
    with pytest.raises(SordineError, match="did you mean 'speaker'"):
        Suppressor("leace", "speeker").fit(x, names)
    with pytest.raises(SordineError, match="did you mean 'leace'"):
        Suppressor("leece", "speaker").fit(x, names)
    with pytest.raises(SordineError, match="columns without names"):
        leace().fit(x, names["speaker"])
    with pytest.raises(SordineError, match="does not exist"):
        Suppressor("leace", "speaker", key=tmp_path / "no.key").fit(x, names)


@pytest.mark.parametrize("names", [[f"f{i}" for i in range(6)], list(range(6))])
def test_columns_of_a_frame_are_matched_by_name(names: list[object]) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 6)), columns=names)
    labels = {"who": rng.integers(0, 2, 60).astype(str)}
    fitted = Suppressor("leace", "who", key=Key.of_seed(0)).fit(frame, labels)
    assert fitted.transform(frame).shape == (60, 6)
    text = isinstance(names[0], str)
    with pytest.raises(ValueError, match="in the same order" if text else "the order differs"):
        fitted.transform(frame[names[::-1]])
    with pytest.raises(ValueError, match="\n- other\n" if text else "column 0 is not in both"):
        fitted.transform(frame.rename(columns={names[0]: "other" if text else 99}))
