"""Cross-fitted modifiers: the map of a record was fitted without it, and without equal records."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.flow.method import Flow
from sordine.methods.flow.modifier import FlowModifier
from sordine.methods.registry import load
from sordine.methods.transport.method import Transport
from sordine.methods.transport.modifier import TransportModifier
from sordine.models.cross_fitted import CrossFitted, part_of
from sordine.models.fingerprints import fingerprints
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run

KEY, PARTS = Key.of_seed(0), 3
POLICY = Policy(("who",), (), ("what",))


def table(n: int = 360) -> Table:
    rng = np.random.default_rng(0)
    who, what = rng.integers(0, 3, n), rng.integers(0, 2, n)
    x = rng.standard_normal((n, 8)) + 2 * rng.standard_normal((3, 8))[who] + 2 * rng.standard_normal((2, 8))[what]
    x[1] = x[0]  # the same record under another id
    made = Table.of(x.astype(np.float32), {"who": who.astype(str), "what": what.astype(str)})
    return made.with_split(POLICY, KEY)


@pytest.fixture(scope="module")
def fitted() -> tuple[Table, Modifier, list[Table]]:
    """A table, a modifier, and the tables that its maps were fitted on."""
    seen: list[Table] = []
    whole = Transport.fit_map

    def fit_map(self, part, policy, run):  # type: ignore[no-untyped-def]
        seen.append(part)
        return whole(self, part, policy, run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "fit_map", fit_map)
        data = table()
        modifier = fit(data, POLICY, Transport(parts=PARTS, cells=16, rounds=2, size=4), run=Run(key=KEY))
    return data, modifier, seen


def test_no_map_has_seen_what_it_releases(fitted: tuple[Table, Modifier, list[Table]]) -> None:
    data, modifier, seen = fitted
    part = part_of(torch.from_numpy(np.asarray(data.x)), PARTS).numpy()
    assert part[0] == part[1], "equal records are in one part"
    assert np.bincount(part, minlength=PARTS).min() > 90
    assert data.split is not None
    for k, used in enumerate(seen):
        assert set(used.ids) == set(data.ids[data.split & (part != k)])
    x, index = modifier.release(data.x, data.ids, KEY)
    assert index is not None
    outputs = [len(m.substitutes) for m in modifier.maps]  # type: ignore[union-attr, arg-type]
    assert (np.searchsorted(np.cumsum(outputs), index, side="right") == part).all()
    assert np.array_equal(x, modifier.substitutes[torch.from_numpy(index)].numpy())  # type: ignore[index, union-attr]


def test_a_record_is_released_as_its_map_alone_does(fitted: tuple[Table, Modifier, list[Table]]) -> None:
    data, modifier, _ = fitted
    part = part_of(torch.from_numpy(np.asarray(data.x)), PARTS).numpy()
    assert isinstance(modifier, CrossFitted)
    released, _ = modifier.release(data.x, data.ids, KEY)
    for k, one in enumerate(modifier.maps):
        one.card = modifier.card
        alone, _ = one.release(data.x, data.ids, KEY)
        assert np.array_equal(alone[part == k], released[part == k])
        assert not np.array_equal(alone[part != k], released[part != k])


def test_its_output_distribution(fitted: tuple[Table, Modifier, list[Table]]) -> None:
    data, modifier, _ = fitted
    assert isinstance(modifier, CrossFitted)
    p = modifier.output_distributions(data.x)
    assert p.shape == (len(data), len(modifier.substitutes))
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    _, index = modifier.release(data.x, data.ids, KEY)
    assert index is not None
    assert (p[np.arange(len(p)), index] > 0).all()


def test_it_is_saved_and_loaded(fitted: tuple[Table, Modifier, list[Table]], tmp_path) -> None:  # type: ignore[no-untyped-def]
    data, modifier, _ = fitted
    modifier.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert isinstance(again, CrossFitted)
    assert np.array_equal(again.release(data.x, data.ids, KEY)[0], modifier.release(data.x, data.ids, KEY)[0])
    assert again.card.fit["parts"] == PARTS
    assert "no record is released by a map that was fitted on it" in Transport.guarantees(again.card.fit)


def test_one_part_is_one_map() -> None:
    modifier = fit(table(), POLICY, Transport(cells=16, rounds=2, size=4, parts=1), run=Run(key=KEY))
    assert isinstance(modifier, TransportModifier)


@pytest.mark.parametrize("parts", [0, 51])
def test_parts_out_of_range(parts: int) -> None:
    with pytest.raises(SordineError, match="parts"):
        Transport(parts=parts)


def test_a_flow_of_several_maps(tmp_path) -> None:  # type: ignore[no-untyped-def]
    data = table()
    flow = Flow(space="standardised", size=6, rounds=6, features=30, parts=PARTS)
    modifier = fit(data, POLICY, flow, run=Run(key=KEY))
    assert isinstance(modifier, CrossFitted)
    assert not modifier.discrete
    part = part_of(torch.from_numpy(np.asarray(data.x)), PARTS).numpy()
    assert data.split is not None
    held = [fingerprints(torch.from_numpy(data.x[part == k])) for k in range(PARTS)]
    for k, one in enumerate(modifier.maps):
        assert isinstance(one, FlowModifier)
        assert not torch.isin(held[k], one.votes.prints).any(), "no neighbour of a record is the record itself"
    released, index = modifier.release(data.x, data.ids, KEY)
    assert index is None
    modifier.save(tmp_path / "m")
    assert np.array_equal(load(tmp_path / "m").release(data.x, data.ids, KEY)[0], released)
