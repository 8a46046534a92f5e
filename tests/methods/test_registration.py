"""A method from outside the package: one class and one `register` call give it all that a built-in method has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor

from sordine import Key, Policy, Run, SordineError, Table, fit, load, transform
from sordine.attacks.budget import Budget
from sordine.evaluation.guarantees import proved
from sordine.methods.base import Method, Strength
from sordine.methods.registry import METHODS, make
from sordine.models.modifier import Card, Modifier, Release
from sordine.workflow.leakage_limit import candidates, fit_under
from sordine.workflow.release.table import release
from sordine.workflow.transform import transform_file
from tests.fixtures.clusters import clusters

KEY = Key.of_seed(4)
POLICY = Policy(("person",), ("word",))


class Shrunk(Modifier):
    """x' = scale * x."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return the records times the scale."""
        return Release(x * self.scale)


@dataclass(frozen=True)
class Shrink(Method):
    """A method of this test: it shrinks every number, which hides nothing but for a factor of 0."""

    factor: Annotated[float, Field(ge=0, le=1)] = 0.0

    name: ClassVar[str] = "shrink"
    needs_labels: ClassVar[bool] = False
    strength: ClassVar[Strength | None] = Strength("factor", (0.0, 0.5, 1.0))
    guarantee: ClassVar[str] = "Proved: the records were multiplied by {factor:.1f}."

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Store the factor."""
        modifier = Shrunk()
        modifier.scale.fill_(self.factor)
        modifier.card = self.card(policy, table, fit={"factor": self.factor})
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier."""
        return Shrunk()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    METHODS.register("shrink", Shrink)
    yield
    METHODS.unregister("shrink")


def test_it_fits_saves_loads_and_transforms_the_same_bits(tmp_path: Path) -> None:
    table = clusters(200)
    modifier = fit(table, POLICY, make("shrink", {"factor": "0.5"}), run=Run(key=KEY))
    modifier.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert np.array_equal(transform(loaded, table, KEY).x, table.x * np.float32(0.5))
    assert loaded.card.method == "shrink"
    assert loaded.card.fields == {"factor": 0.5}
    assert proved(loaded, ()) == ("Proved: the records were multiplied by 0.5.",)


def test_its_options_are_checked_and_named() -> None:
    for options, wrong in (
        ({"factor": 2}, "factor = 2: "),
        ({"factor": "much"}, "factor = 'much': "),
        ({"factr": 1}, "did you mean 'factor'"),
    ):
        with pytest.raises(SordineError, match=wrong):
            make("shrink", options)
    with pytest.raises(SordineError, match="'mass': w_s = -1"):
        make("mass", {"w_s": -1})
    with pytest.raises(SordineError, match=r"'masking': widths\.1 = 'wide'"):
        make("masking", {"widths": [8, "wide"]})
    with pytest.raises(SordineError, match="factor = 2: "):
        Shrink(factor=2)
    with pytest.raises(SordineError, match="did you mean 'shrink'"):
        make("shrnk")
    with pytest.raises(SordineError, match="does not accept a pool"):
        fit(clusters(60), POLICY, "shrink", pool=clusters(60, seed=1))


def test_its_transformed_table_can_be_released(tmp_path: Path) -> None:
    table = clusters(120)
    table.write(tmp_path / "t.parquet")
    modifier = fit(table, POLICY, "shrink", run=Run(key=KEY))
    transform_file(modifier, tmp_path / "t.parquet", tmp_path / "x.parquet", key=KEY)
    released = release(tmp_path / "x.parquet", tmp_path / "out", key=KEY)
    assert released.rows == 120
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_the_leakage_limit_varies_its_strength() -> None:
    assert [candidate.value for candidate in candidates("shrink")] == [0.0, 0.5, 1.0]
    lines: list[str] = []
    run = Run(key=KEY, log=lines.append)
    budget = Budget(families=("logistic",), settings=("A",), seeds=(0,), person=())
    modifier = fit_under(clusters(400), POLICY, "shrink", 0.4, run, budget=budget)
    # A factor of 0 leaves nothing; half of every number is as informative as the whole.
    assert modifier.card.fit["limit"]["value"] == 0.0
    assert len(modifier.card.fit["limit"]["ladder"]) == 2


@pytest.mark.parametrize(("name", "cls"), [("", Shrink), (None, Shrink), ("thing", None), ("thing", Shrink(0.5))])
def test_a_wrong_registration_is_refused(name, cls) -> None:
    with pytest.raises(SordineError):
        METHODS.register(name, cls)
    assert name not in METHODS


def test_a_class_that_is_no_dataclass_is_refused() -> None:
    class Plain(Method):
        pass

    with pytest.raises(SordineError, match="Plain is not a dataclass"):
        METHODS.register("plain", Plain)
    assert "plain" not in METHODS
