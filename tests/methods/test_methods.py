"""Every method through one table: what each must hold, whatever it does inside."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from sklearn.linear_model import LogisticRegression

from sordine.data.synthetic.faces import faces
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import METHODS, default_method, load, make
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform
from tests.fixtures.clusters import clusters

FAST = {
    "mass": {"epochs": 3, "classifier_epochs": 3, "agnostic_epochs": 3},
    "substitution": {"epochs": 120, "batch": 128, "hidden": 32, "size": 16},
    "transport": {"cells": 24, "size": 6, "rounds": 3, "parts": 2},
    "flow": {"space": "standardised", "size": 6, "rounds": 20, "features": 60},
    "leace": {},
    "noise": {"sigma": 3.0},
    "nothing": {},
    "replacement": {"epochs": 2, "hidden": (16, 16)},
    "inversion": {"encoder": "resnet10", "width": 8, "fc": 8, "hidden": 8, "steps": 4, "batch": 32},
    "masking": {"widths": (4, 4, 8), "predictor_widths": (4, 4, 4, 4), "dense": 8, "steps": 3},
}
ON_PICTURES = tuple(name for name, cls in METHODS.items() if cls.needs_pictures)
POLICY = Policy(("person", "sex"), ("word",))
TASK = Policy((), ("expression",))
KEY = Key.of_seed(0)


@pytest.fixture(scope="module")
def table() -> Table:
    return clusters(800)


@pytest.fixture(scope="module")
def tables(table: Table) -> dict[str, Table]:
    """What each method is tried on: vectors, or small faces where it takes pictures alone."""
    faces_table = faces(160, 0, size=16, people=4)
    return {name: faces_table if name in ON_PICTURES else table for name in METHODS}


class Fitted(dict):
    """A modifier of each method, fitted when it is first asked for."""

    def __init__(self, tables: dict[str, Table]) -> None:
        self.tables = tables

    def __missing__(self, name: str) -> Modifier:
        self[name] = fit(self.tables[name], policy_of(name), make(name, FAST[name]), run=Run(key=KEY))
        return self[name]


@pytest.fixture(scope="module")
def fitted(tables: dict[str, Table]) -> Fitted:
    return Fitted(tables)


def policy_of(name: str) -> Policy:
    return TASK if name in ON_PICTURES else POLICY


def probe(before: Table, after: Table, attribute: str) -> float:
    """Accuracy of a fresh logistic attacker, trained on the fitted side and tried on the other."""
    split = before.with_split(POLICY, KEY).split
    model = LogisticRegression(max_iter=500).fit(after.flat()[split], before.y[attribute][split])
    return float(model.score(after.flat()[~split], before.y[attribute][~split]))


def test_every_method_is_tried_here():
    assert FAST.keys() == METHODS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_release_has_the_shape_and_scale_of_the_table(name, tables, fitted):
    table = tables[name]
    released = transform(fitted[name], table, KEY)
    assert released.attributes == policy_of(name).preserve  # what is suppressed or only watched does not come along
    said = fitted[name].card.output
    assert released.x.shape == (len(table), *(said["shape"] if said else table.shape))
    assert released.x.dtype == (np.float32 if said else table.x.dtype)
    assert np.isfinite(released.x).all()
    if name not in ON_PICTURES:
        assert np.abs(released.x.mean(0) - table.x.mean(0)).max() < 1.5 * table.x.std(0).max()


@pytest.mark.parametrize("name", METHODS)
def test_saved_and_loaded_it_gives_the_same_bits(name, tables, fitted, tmp_path):
    table = tables[name]
    fitted[name].save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert (transform(loaded, table, KEY).x == transform(fitted[name], table, KEY).x).all()
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["modifier.json", "modifier.safetensors"]
    card = json.loads((tmp_path / "m" / "modifier.json").read_text())
    assert card["schema"] == 1
    assert card["method"] == name
    assert tuple(card["policy"]["suppress"]) == policy_of(name).suppress
    whole = b"".join(p.read_bytes() for p in (tmp_path / "m").iterdir())
    for text in [*table.ids[:20], KEY.secret.hex()]:  # no record's id, no key
        assert text.encode() not in whole
    assert not {"p0", "p1", "w0", "w1", "p00", "smiling", "neutral"} & set(
        re.findall(r"\w+", json.dumps(card))
    )  # no label


@pytest.mark.parametrize("name", METHODS)
def test_bits_depend_on_record_and_key_alone(name, tables, fitted):
    modifier, table = fitted[name], tables[name]
    released = transform(modifier, table, KEY).x
    order = np.random.default_rng(0).permutation(len(table))
    assert (transform(modifier, table.take(order), KEY).x == released[order]).all()
    assert (transform(modifier, table.take(order[:7]), KEY, run=Run(workers=1)).x == released[order[:7]]).all()
    assert (transform(modifier, table, KEY, run=Run(workers=3)).x == released).all()
    other = transform(modifier, table, Key.of_seed(1)).x
    assert (other != released).any() == METHODS[name].stochastic


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_fits_under_one_seed_are_equal(name, tables, fitted):
    table = tables[name]
    again = fit(table, policy_of(name), make(name, FAST[name]), run=Run(key=KEY))
    assert (transform(again, table, KEY).x == transform(fitted[name], table, KEY).x).all()


@pytest.mark.parametrize("name", METHODS)
def test_it_knows_what_it_was_fitted_on(name, tables, fitted):
    table = tables[name]
    split = table.with_split(policy_of(name), KEY).split
    assert (fitted[name].was_fitted_on(table.ids, KEY) == split).all()
    assert not fitted[name].was_fitted_on(table.ids, Key.of_seed(1)).any()


@pytest.mark.parametrize("name", ["substitution", "transport", "leace"])
def test_a_retrained_linear_probe_reads_before_and_not_after(name, table, fitted):
    released = transform(fitted[name], table, KEY)
    for secret in POLICY.suppress:
        guess = np.bincount(table.y[secret]).max() / len(table)
        assert probe(table, table, secret) > 0.9
        assert probe(table, released, secret) < guess + 0.08
    assert probe(table, released, "word") > 0.9


def test_the_controls_change_what_they_say(table, fitted):
    assert (transform(fitted["nothing"], table, KEY).x == table.x).all()
    split = table.with_split(POLICY, KEY).split
    spread = table.x[split].std(0)
    drawn = (transform(fitted["noise"], table, KEY).x - table.x) / spread
    assert np.abs(drawn.std(0) - 3).max() < 0.35
    assert np.abs(np.corrcoef(drawn.T) - np.eye(table.width)).max() < 0.15


def test_settings_are_parsed_and_named():
    assert make("noise", {"sigma": "2.5"}).sigma == 2.5
    for name, settings, named in [
        ("leece", {}, "did you mean 'leace'"),
        ("noise", {"sigmo": 1}, "did you mean 'sigma'"),
        ("noise", {"sigma": "loud"}, "sigma"),
        ("noise", {"sigma": -1}, "sigma"),
        ("substitution", {"tau": 0}, "tau"),
        ("transport", {"rounds": 0}, "rounds"),
        ("transport", {"cells": 0}, "cells"),
        ("flow", {"rounds": 0}, "rounds"),
        ("flow", {"rounds": 1_000_001}, "rounds"),
        ("flow", {"step": 1.5}, "step"),
        ("flow", {"noise": -0.1}, "noise"),
        ("flow", {"noise": 1e-5}, "noise"),
        ("flow", {"ridge": float("nan")}, "ridge"),
        ("flow", {"space": "askew"}, "space"),
    ]:
        with pytest.raises(SordineError, match=f"{named} (=|is) " if named in settings else named) as error:
            make(name, settings)
        assert "\n" not in str(error.value)
        if named in settings:
            with pytest.raises(SordineError, match=f"{named} (=|is) "):
                METHODS[name](**settings)  # the class called directly checks as well


def test_the_method_is_chosen_and_its_needs_are_checked(table):
    assert default_method(Policy(("person",), ("word",))) == "transport"
    with pytest.raises(SordineError, match="at least one attribute to suppress"):
        fit(table, Policy((), ("word",)), "leace")
    for name in ON_PICTURES:
        with pytest.raises(SordineError, match="needs a task"):
            fit(table, Policy(("person",)), name)
        with pytest.raises(SordineError, match="not pictures"):
            fit(table, Policy((), ("word",)), name)
    with pytest.raises(SordineError, match="no attribute 'nobody'"):
        fit(table, Policy(("nobody",)), "leace")


@pytest.mark.parametrize("name", [name for name, cls in METHODS.items() if cls.needs_labels])
def test_nothing_is_fitted_where_no_training_record_has_a_label(name, tables):
    policy = policy_of(name)
    whole = tables[name].with_split(policy, KEY)
    attribute = (*policy.suppress, *policy.preserve)[0]
    y = {**whole.y, attribute: np.where(whole.split, -1, whole.y[attribute])}
    with pytest.raises(SordineError, match=f"no train record has a label of '{attribute}'"):
        fit(dataclasses.replace(whole, y=y), policy, make(name, FAST[name]), run=Run(key=KEY))


def test_fit_says_what_is_entangled(table):
    lines: list[str] = []
    fit(table, Policy(("person",), ("sex",)), "leace", run=Run(key=KEY, log=lines.append))
    assert any("person" in line and "sex" in line for line in lines)


@pytest.mark.parametrize("name", ["transport", "substitution"])
@pytest.mark.parametrize("attribute", ["sex", "word"])
def test_an_unseen_side_without_labels_is_refused_before_training(name, attribute, table, monkeypatch):
    monkeypatch.setattr(METHODS[name], "fit", lambda *given: pytest.fail("it trained"))
    whole = table.with_split(POLICY, KEY)
    bare = np.where(whole.split, whole.y[attribute], -1)
    with pytest.raises(SordineError, match=f"no test record has a label of '{attribute}'") as e:
        fit(dataclasses.replace(whole, y={**whole.y, attribute: bare}), POLICY, name, run=Run(key=KEY))
    assert "\n" not in str(e.value)
    odd = np.arange(len(whole)) % 2
    apart = {a: np.where(~whole.split & (odd == k), -1, whole.y[a]) for k, a in enumerate(("person", "word"))}
    with pytest.raises(SordineError, match="no test record has a label of 'person' and 'sex' and 'word'"):
        fit(dataclasses.replace(whole, y={**whole.y, **apart}), POLICY, name, run=Run(key=KEY))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "modifier.json").unlink(), "modifier.json is missing"),
        (lambda d: (d / "modifier.safetensors").write_bytes(b"half"), "truncated or damaged"),
        (lambda d: (d / "modifier.json").write_text("{"), "modifier.json is damaged"),
        (
            lambda d: (d / "modifier.json").write_text(
                (d / "modifier.json").read_text().replace('"schema": 1', '"schema": 7')
            ),
            "schema 7",
        ),
    ],
)
def test_damaged_modifiers_give_one_line(tmp_path, fitted, damage, message):
    fitted["leace"].save(tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(SordineError, match=message) as error:
        load(tmp_path / "m")
    assert "\n" not in str(error.value)


def test_a_method_that_is_not_known_is_named(tmp_path, fitted):
    modifier = copy.copy(fitted["leace"])
    modifier.card = dataclasses.replace(modifier.card, method="lethe")
    modifier.save(tmp_path / "m")
    with pytest.raises(SordineError, match="the method 'lethe'"):
        load(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("masking", lambda card: card["fields"].update(keep=100.0)),
        ("leace", lambda card: card["policy"].update(suppress=[])),
        ("transport", lambda card: card["fit"]["exact"][0].update(accuracy=0.0)),
        ("noise", lambda card: card.update(method="nothing", fields={})),
        ("nothing", lambda card: card["notes"].append("It hides all.")),
        ("inversion", lambda card: card.update(more=1)),
        ("substitution", lambda card: card.update(key="0" * 16)),
    ],
)
def test_a_card_that_was_changed_is_not_believed(tmp_path, fitted, name, change):
    fitted[name].save(tmp_path / "m")
    file = tmp_path / "m" / "modifier.json"
    card = json.loads(file.read_text())
    file.write_text(json.dumps(dict(reversed(card.items()))))  # laid out otherwise it is the same card
    assert load(tmp_path / "m").card.method == name
    change(card)
    file.write_text(json.dumps(card))
    with pytest.raises(SordineError, match=r"modifier\.json was changed after it was saved with .* fit anew") as error:
        load(tmp_path / "m")
    assert "\n" not in str(error.value)


def test_a_modifier_of_before_cards_were_bound_is_read_and_bound_when_saved(tmp_path, fitted, table):
    fitted["leace"].save(tmp_path / "m")
    unbound(tmp_path / "m")
    old = load(tmp_path / "m")
    assert (transform(old, table, KEY).x == transform(fitted["leace"], table, KEY).x).all()
    old.save(tmp_path / "m", force=True)
    file = tmp_path / "m" / "modifier.json"
    file.write_text(file.read_text().replace('"word"', '"sex"'))
    with pytest.raises(SordineError, match="was changed after it was saved"):
        load(tmp_path / "m")


def unbound(folder: Path) -> None:
    """Make a modifier's directory as it was written before the weights held the card's digest."""
    weights, file = folder / "modifier.safetensors", folder / "modifier.json"
    blob = safetensors.torch.save(safetensors.torch.load(weights.read_bytes()))
    weights.write_bytes(blob)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"weights": hashlib.sha256(blob).hexdigest()}))


def test_wrong_width_at_transform(table, fitted):
    narrow = Table.of(table.x[:, :5], {"word": table.y["word"]})
    with pytest.raises(SordineError, match=r"shape \(5,\).*fitted on \(12,\)"):
        transform(fitted["leace"], narrow, KEY)
