from __future__ import annotations

import numpy as np
import pytest
import torch

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import load, make
from sordine.methods.substitution.method import Embeddings, Substitution, SubstitutionModifier, same_records
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform
from tests.fixtures.clusters import clusters

POLICY = Policy(("person",), ("word",))
FAST = {"epochs": 25, "batch": 128, "hidden": 32, "size": 16}
KEY = Key.of_seed(0)


def test_the_index_is_drawn_from_the_channel():
    torch.manual_seed(0)
    modifier = SubstitutionModifier(Embeddings(3, 8, 4), 5, 3, 4, tau=0.5)
    modifier.embedded = torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    modifier.substitutes = torch.arange(15.0).reshape(5, 3)
    x = torch.randn(1, 3)
    p = modifier.output_distribution(x)[0]
    assert p.sum().item() == pytest.approx(1)
    noise = (torch.arange(20000) + 0.5).unsqueeze(1) / 20000
    out = modifier(x.expand(20000, 3), noise)
    share = torch.bincount(out.index, minlength=5) / 20000
    assert (share - p).abs().max() < 1e-3
    assert (out.x == modifier.substitutes[out.index]).all()


def test_what_is_released_is_a_real_record_of_the_pool():
    table = clusters(400)
    modifier = fit(table, POLICY, make("substitution", FAST), run=Run(key=KEY))
    train = table.with_split(POLICY, KEY).part("train")
    originals = {row.tobytes() for row in train.x}
    released = transform(modifier, table, KEY)
    assert all(row.tobytes() in originals for row in released.x)
    assert len(modifier.substitutes) == len(train) // 2
    assert "real records" in modifier.card.notes[0]


def test_the_pool_is_balanced_over_the_suppressed_classes():
    rng = np.random.default_rng(0)
    rare = np.where(rng.random(1000) < 0.1, "rare", "common")
    table = Table.of(rng.normal(size=(1000, 4)).astype(np.float32), {"person": rare, "word": ["a", "b"] * 500})
    rows = Substitution().choose_pool(table, table, POLICY, 0)
    assert len(rows) == len(set(rows)) == 500
    count = (rare[rows] == "rare").sum()
    assert count == (rare == "rare").sum()  # fewer than half: all of them
    few = Substitution(substitutes=100).choose_pool(table, table, POLICY, 0)
    assert (rare[few] == "rare").sum() == 50


def test_a_pool_from_another_table():
    table, others = clusters(400), clusters(300, seed=7)
    swapped = Table.of(
        others.x,
        {"word": [others.classes["word"][c] for c in others.y["word"]][::-1][::-1]},
        ids=[f"other{i}" for i in range(300)],
        source="volunteers",
    )
    modifier = fit(table, POLICY, make("substitution", FAST), pool=swapped, run=Run(key=KEY))
    foreign = {row.tobytes() for row in others.x}
    assert all(row.tobytes() in foreign for row in transform(modifier, table, KEY).x)
    assert "volunteers" in modifier.card.notes[0]
    with pytest.raises(SordineError, match="no attribute 'word'"):
        fit(table, POLICY, make("substitution", FAST), pool=Table.of(others.x, {}), run=Run(key=KEY))
    with pytest.raises(SordineError, match=r"shape \(3,\), those of the table \(12,\)"):
        fit(
            table,
            POLICY,
            make("substitution", FAST),
            pool=Table.of(others.x[:, :3], {"word": others.y["word"]}),
            run=Run(key=KEY),
        )


def test_exact_figures_are_stored_jointly_and_beside_what_is_kept():
    table = clusters(500)
    modifier = fit(table, Policy(("person", "sex"), ("word",)), make("substitution", FAST), run=Run(key=KEY))
    seen = {(tuple(e["attributes"]), tuple(e["kept"]), e["on"]) for e in modifier.card.fit["exact"]}
    for on in ("fitted", "unseen"):
        assert {
            (("person",), (), on),
            (("sex",), (), on),
            (("person", "sex"), (), on),
            (("person", "sex"), ("word",), on),
        } <= seen
    for e in modifier.card.fit["exact"]:
        assert e["guess"] - 1e-9 <= e["accuracy"] <= 1
        assert e["permuted"] <= e["permuted_high"] + 1e-9


def test_an_interrupted_fit_goes_on_where_it_was(tmp_path):
    table = clusters(400)
    whole = fit(table, POLICY, make("substitution", FAST), run=Run(key=KEY))

    class Killed(Exception):
        pass

    def kill(what: str, done: int, of: int) -> None:
        if done == 17:
            raise Killed

    with pytest.raises(Killed):
        fit(table, POLICY, make("substitution", FAST), run=Run(key=KEY, folder=tmp_path, progress=kill))
    epochs: list[int] = []
    again = fit(
        table,
        POLICY,
        make("substitution", FAST),
        run=Run(key=KEY, folder=tmp_path, progress=lambda w, d, o: epochs.append(d)),
    )
    assert epochs[0] > 10
    assert torch.equal(whole.embedded, again.embedded)


def test_no_record_gets_itself_where_that_is_ruled_out():
    table = clusters(400)
    fields = {**FAST, "substitutes": 300}
    shares = {}
    for itself in (True, False):
        modifier = fit(table, POLICY, make("substitution", {**fields, "itself": itself}), run=Run(key=KEY))
        released = transform(modifier, table, KEY)
        shares[itself] = float((np.asarray(released.x) == np.asarray(table.x)).all(1).mean())
    assert shares[True] > 0
    assert shares[False] == 0


def test_itself_survives_saving(tmp_path):
    table = clusters(400)
    modifier = fit(table, POLICY, make("substitution", {**FAST, "itself": False}), run=Run(key=KEY))
    modifier.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.itself is False
    assert (transform(again, table, KEY).x == transform(modifier, table, KEY).x).all()


def test_a_record_that_all_substitutes_equal_still_gets_one():
    x, substitutes = torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 5.0]]), torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert same_records(x, substitutes).tolist() == [[False, False], [False, False], [False, False]]
    mixed = torch.tensor([[1.0, 2.0], [1.0, 5.0]])
    assert same_records(x, mixed).tolist() == [[True, False], [False, False], [False, True]]
