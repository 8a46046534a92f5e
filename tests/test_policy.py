from __future__ import annotations

import pytest

from sordine.errors import SordineError
from sordine.policy import ALL_OTHERS, Policy


def test_overlaps_are_refused():
    with pytest.raises(SordineError, match="'a' is in suppress and in preserve"):
        Policy(("a",), ("a",))
    with pytest.raises(SordineError, match="'a' is twice in suppress"):
        Policy(("a", "a"))


@pytest.mark.parametrize("wrong", [None, 5, ("a", 5)])
def test_only_names_are_accepted(wrong):
    with pytest.raises(SordineError, match=r"suppress has (None|5)"):
        Policy(wrong)
    assert Policy(iter("ab")).suppress == ("a", "b")


def test_resolving_fills_in_watch_and_names_the_nearest_attribute():
    assert Policy(("a",), ("b",)).watch == ALL_OTHERS
    assert Policy(("a",), ("b",)).resolve(["a", "b", "c", "d"]).watch == ("c", "d")
    assert Policy(("a",), ("b",), ()).resolve(["a", "b", "c"]).watch == ()
    with pytest.raises(SordineError, match="did you mean 'speaker'"):
        Policy(("speeker",)).resolve(["speaker", "word"])
