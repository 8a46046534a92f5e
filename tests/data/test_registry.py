"""Classes by name, and how their options are parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import Field

from sordine.data.registry import Registry
from sordine.errors import SordineError


@dataclass
class Thing:
    count: int | None = None
    label: str | float = "x"
    sizes: tuple[int, ...] | None = None
    weight: float | dict[str, Annotated[float, Field(ge=0)]] = 1.0


class Plain:
    pass


THINGS: Registry[Any] = Registry("thing", {"one": Thing}, option="setting")


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"count": "many"}, "thing 'one': count = 'many': "),
        ({"label": [1]}, "thing 'one': label = [1]: "),
        ({"sizes": [1, "z"]}, "thing 'one': sizes.1 = 'z': "),
        ({"weight": {"a": 1, "b": -1}}, "thing 'one': weight.b = -1: "),
        ({"weight": "much"}, "thing 'one': weight = 'much': "),
    ],
)
def test_a_wrong_value_is_reported_by_its_option_and_not_by_a_type(options: dict[str, Any], place: str) -> None:
    with pytest.raises(SordineError, match=f"^{re.escape(place)}"):
        THINGS.make("one", options)


def test_text_is_parsed_by_one_of_several_types() -> None:
    assert THINGS.make("one", {"count": "3", "label": "7", "sizes": ["2"]}) == Thing(3, "7", (2,))


def test_a_class_needs_fields_where_it_has_options() -> None:
    with pytest.raises(SordineError, match=r"^thing 'two': Plain is not a dataclass"):
        THINGS.register("two", Plain)
    assert list(THINGS) == ["one"]
    bare: Registry[Any] = Registry("part", {}, has_options=False)
    bare.register("two", Plain)
    assert isinstance(bare.make("two"), Plain)
    with pytest.raises(SordineError, match=r"^part 'two' has no option 'size'; it has none$"):
        bare.make("two", {"size": 1})
