"""Text of options as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from sordine.cli import parsing
from sordine.errors import SordineError


@pytest.mark.parametrize(
    "given",
    ["0", "1.5", "nan", "low", "speaker=0.1", "speaker=0.1,gendr=0.1", "speaker=0.1,speaker=0.1", "speaker=,gender=1"],
)
def test_wrong_limits_are_refused(given: str) -> None:
    with pytest.raises(SordineError, match="--max-leakage"):
        parsing.leakage_limits(given, ("speaker", "gender"))


def test_limits_are_for_all_attributes_or_by_name() -> None:
    assert parsing.leakage_limits("0.05", ("a", "b")) == {"a": 0.05, "b": 0.05}
    assert parsing.leakage_limits("b=0.2, a=0.1", ("a", "b")) == {"a": 0.1, "b": 0.2}
    assert parsing.leakage_limits("a=b=0.1,c=0.2", ("a=b", "c")) == {"a=b": 0.1, "c": 0.2}
    with pytest.raises(SordineError, match="-s"):
        parsing.leakage_limits("0.1", ())


def test_assignments_are_a_mapping() -> None:
    assert parsing.assignments(["a-b=1", "c = x=y "]) == {"a_b": "1", "c": "x=y"}
    assert parsing.assignments(None) == {}


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a=1", "a=2"]])
def test_wrong_assignments_are_refused(given: list[str]) -> None:
    with pytest.raises(SordineError, match="--layout-option"):
        parsing.assignments(given, "--layout-option")


def test_values_along_an_option() -> None:
    assert parsing.values_along("entropy-weight=0.1, 0.2") == ("entropy_weight", ("0.1", "0.2"))
    for wrong in ("sigma", "=1", "sigma="):
        with pytest.raises(SordineError, match="--along"):
            parsing.values_along(wrong)


def test_whole_numbers() -> None:
    assert parsing.integers(["0,1", "2"], "--seed") == (0, 1, 2)
    with pytest.raises(SordineError, match="--seed"):
        parsing.integers(["one"], "--seed")


def test_none_is_no_name() -> None:
    assert parsing.names(["none"]) == ()
    assert parsing.names([""]) == ()
    assert parsing.names(None) == ()
    assert parsing.names(["a, b", "c"], Path("no-such-table.parquet")) == ("a", "b", "c")


def test_each_method_gets_the_options_it_has() -> None:
    made = parsing.options_by_method({"sigma": "1"}, ("noise", "leace"))
    assert made == {"noise": {"sigma": "1"}, "leace": {}}
    with pytest.raises(SordineError, match="sigma"):
        parsing.options_by_method({"sigm": "1"}, ("noise",))
    with pytest.raises(SordineError, match="noise"):
        parsing.options_by_method({}, ("noize",))
