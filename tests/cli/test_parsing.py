"""Text of options as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from sordine.cli import parsing
from sordine.errors import SordineError


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        *((value, f"needs a number between 0 and 1, not '{value}'") for value in ("0", "1.5", "nan", "low")),
        ("speaker=0.1", "no limit for the suppressed attribute 'gender'"),
        ("speaker=0.1,gendr=0.1", "'gendr' is not suppressed; did you mean 'gender'"),
        ("speaker=0.1,speaker=0.1", "'speaker' is given twice"),
        ("speaker=,gender=1", "needs a number between 0 and 1, not ''"),
    ],
)
def test_wrong_limits_are_refused(given: str, wrong: str) -> None:
    with pytest.raises(SordineError, match=f"^--max-leakage.* {wrong}"):
        parsing.leakage_limits(given, ("speaker", "gender"))


def test_limits_are_for_all_attributes_or_by_name() -> None:
    assert parsing.leakage_limits("0.05", ("a", "b")) == {"a": 0.05, "b": 0.05}
    assert parsing.leakage_limits("b=0.2, a=0.1", ("a", "b")) == {"a": 0.1, "b": 0.2}
    assert parsing.leakage_limits("a=b=0.1,c=0.2", ("a=b", "c")) == {"a=b": 0.1, "c": 0.2}
    with pytest.raises(SordineError, match="name them with -s"):
        parsing.leakage_limits("0.1", ())


def test_assignments_are_a_mapping() -> None:
    assert parsing.assignments(["a-b=1", "c = x=y "]) == {"a_b": "1", "c": "x=y"}
    assert parsing.assignments(None) == {}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (["a"], "needs NAME=VALUE, not 'a'"),
        (["=1"], "needs NAME=VALUE, not '=1'"),
        (["a=1", "a=2"], "a is given twice"),
    ],
)
def test_wrong_assignments_are_refused(given: list[str], wrong: str) -> None:
    with pytest.raises(SordineError, match=f"^--layout-option {wrong}"):
        parsing.assignments(given, "--layout-option")


def test_values_along_an_option() -> None:
    assert parsing.values_along("entropy-weight=0.1, 0.2") == ("entropy_weight", ("0.1", "0.2"))
    for wrong in ("sigma", "=1", "sigma="):
        with pytest.raises(SordineError, match=f"^--along needs NAME=VALUE,.* not '{wrong}'$"):
            parsing.values_along(wrong)


def test_whole_numbers() -> None:
    assert parsing.integers(["0,1", "2"], "--seed") == (0, 1, 2)
    with pytest.raises(SordineError, match="--seed needs whole numbers, not 'one'"):
        parsing.integers(["one"], "--seed")


def test_none_is_no_name() -> None:
    assert parsing.names(["none"]) == ()
    assert parsing.names([""]) == ()
    assert parsing.names(None) == ()
    assert parsing.names(["a, b", "c"], Path("no-such-table.parquet")) == ("a", "b", "c")


def test_each_method_gets_the_options_it_has() -> None:
    made = parsing.options_by_method({"sigma": "1"}, ("noise", "leace"))
    assert made == {"noise": {"sigma": "1"}, "leace": {}}
    with pytest.raises(SordineError, match="'sigm' of noise; did you mean 'sigma'"):
        parsing.options_by_method({"sigm": "1"}, ("noise",))
    with pytest.raises(SordineError, match="did you mean 'noise'"):
        parsing.options_by_method({}, ("noize",))
