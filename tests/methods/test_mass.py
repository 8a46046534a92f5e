from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.mass.losses import (
    preservation,
    similarity_cosine,
    similarity_cross_entropy,
    similarity_negative_kl,
    suppression,
)
from sordine.methods.mass.method import PRESETS, Information, Mass, MassModifier, Published, place
from sordine.methods.registry import make
from sordine.models.classifier import Classifier, ClassifierOptions, accuracy_of, outputs, train_classifier
from sordine.models.contrastive import Agnostic, AgnosticOptions, train_agnostic
from sordine.models.losses import agnostic, entropy_of_predictions, unit
from sordine.models.modifier import open_modifier
from sordine.models.training import Draw, play
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.clusters import clusters
from tests.models.test_classifier import Stop, same, stop_after

KEY = Key.of_seed(0)
SHORT = {"classifier_epochs": 6, "agnostic_epochs": 5}


def halves(table: Table) -> tuple[Table, Table]:
    middle = 2 * len(table) // 3
    return table.take(np.arange(middle)), table.take(np.arange(middle, len(table)))


def policy_of(table: Table, suppress: tuple[str, ...], preserve: tuple[str, ...] = ()) -> Policy:
    return Policy(suppress, preserve).resolve(table.attributes)


def read_again(modifier: MassModifier, train: Table, unseen: Table, attribute: str) -> float:
    """Accuracy of an attacker retrained on released records."""
    (x, _), (other, _) = (modifier.release(t.x, t.ids, KEY) for t in (train, unseen))
    mean, scale = x.mean(0), x.std(0)
    attacker = LogisticRegression(max_iter=500).fit((x - mean) / scale, train.y[attribute])
    return float(attacker.score((other - mean) / scale, unseen.y[attribute]))


def placed(table: Table, hidden: tuple[int, ...] = (8,), noise: int = 0) -> MassModifier:
    torch.manual_seed(0)
    modifier = MassModifier(table.width, hidden, noise)
    place(modifier, table, "cpu")
    return modifier.eval()


# ------------------------------------------------------------------------------------------------- eq. 1 and its sphere


def test_a_released_record_has_norm_one_on_the_sphere_and_one_radius_in_standardised_units() -> None:
    table = clusters(200)
    modifier = placed(table)
    x_new = torch.from_numpy(modifier_out(modifier, table))
    scaled = (x_new - torch.from_numpy(table.x.mean(0))) / torch.from_numpy(table.x.std(0))
    original = np.linalg.norm((table.x - table.x.mean(0)) / table.x.std(0), axis=1)
    assert torch.allclose(scaled.norm(dim=1), torch.tensor(float(original.mean())), rtol=1e-3)
    assert original.std() > 0.1  # what is given up: a record's own norm
    assert torch.allclose(modifier.sphere.onto(x_new).norm(dim=1), torch.ones(200), atol=1e-5)


def modifier_out(modifier: MassModifier, table: Table) -> np.ndarray:
    with torch.no_grad():
        return modifier(table.batch(slice(0, None)), torch.zeros(len(table), modifier.noise) + 0.3).x.numpy()


def test_eq_1_is_the_normalised_sum_of_two_unit_vectors() -> None:
    modifier = placed(clusters(50))
    v = unit(torch.randn(6, 12))
    change = unit(modifier.step.mlp(v))
    assert torch.allclose(modifier.on_sphere(v, torch.zeros(6, 0)), unit(v + change), atol=1e-6)


def test_unit_vectors_are_the_sphere_itself() -> None:
    table = clusters(50)
    table = table.with_x(table.x / np.linalg.norm(table.x, axis=1, keepdims=True))
    modifier = placed(table)
    x = table.batch(slice(0, None))
    assert torch.allclose(modifier.sphere(x), x, atol=1e-3)
    assert np.allclose(np.linalg.norm(modifier_out(modifier, table), axis=1), 1, atol=1e-5)


def test_a_column_that_never_changes_is_left_as_it_is_and_shapes_return() -> None:
    table = clusters(50)
    x = table.x.copy()
    x[:, 4] = 3.5
    modifier = placed(table.with_x(x.reshape(50, 3, 4)))
    out = modifier_out(modifier, table.with_x(x.reshape(50, 3, 4)))
    assert out.shape == (50, 3, 4)
    assert (out.reshape(50, -1)[:, 4] == 3.5).all()
    assert torch.allclose(modifier.sphere.onto(torch.from_numpy(out)).norm(dim=1), torch.ones(50), atol=1e-5)


# ------------------------------------------------------------------------------------------------- a round by hand


def judged(table: Table) -> tuple[dict[str, Classifier], Agnostic, MassModifier]:
    modifier = placed(table)
    judges = {
        name: train_classifier(table, name, ClassifierOptions(epochs=2), prepare=modifier.sphere).requires_grad_(False)
        for name in table.attributes
    }
    common = train_agnostic(table, AgnosticOptions(epochs=2), prepare=modifier.sphere).requires_grad_(False)
    return judges, common, modifier


def test_a_round_is_eq_9_term_by_term_and_only_the_modifier_moves() -> None:
    table = clusters(32)
    labels = table.y["sex"].copy()
    labels[::5] = -1
    table = replace(table, y={**table.y, "sex": labels})
    judges, common, modifier = judged(table)
    before = copy.deepcopy((judges, common, modifier))
    fields = Mass(
        w_rec=1.5,
        w_s={"person": 2.0, "sex": 3.0},
        h_s=(0.5, 0.25),
        w_agnostic=4.0,
        w_r=5.0,
        similarity={"sex": "cross_entropy"},
    ).settled()
    game = Published(fields, modifier, judges, common, Policy(("person", "sex"), ("word",)), table)
    draw = Draw(table, 32, table.attributes)
    epoch = next(play(game, draw, 1))

    x = table.batch(slice(0, None))
    v = before[2].sphere.onto(x)
    v_new = unit(v + unit(before[2].step.mlp(v)))
    x, x_new = before[2].sphere.back(v), before[2].sphere.back(v_new)
    person, sex, word = (judges[a] for a in ("person", "sex", "word"))
    y = torch.from_numpy(labels)
    expected = {
        "reconstruction": 1.5 * (v_new - v).norm(dim=1).mean(),
        "suppress person": suppression(
            similarity_cosine(person.features(x_new), person.features(x)),
            entropy_of_predictions(person(x_new)),
            2.0,
            0.5,
        ),
        "suppress sex": suppression(
            similarity_cross_entropy(sex(x_new), y), entropy_of_predictions(sex(x_new)), 3.0, 0.25, y
        ),
        "agnostic": agnostic(common(x), common(x_new), fields.tau, 4.0),
        "preserve word": preservation(similarity_negative_kl(word(x_new), word(x)), 5.0),
    }
    assert set(epoch.terms) == {f"modifier/{term}" for term in expected}
    for term, value in expected.items():
        assert epoch.terms[f"modifier/{term}"] == pytest.approx(value.item(), rel=1e-3, abs=1e-4), term
    # The one step of the round moved the modifier's weights and nothing else: no weight, no running statistic.
    assert all(same(judges[a], before[0][a]) for a in judges)
    assert same(common, before[1])
    assert same(modifier.sphere, before[2].sphere)
    assert not same(modifier.step, before[2].step)


def test_in_the_information_form_every_player_moves_itself_alone() -> None:
    table = clusters(32)
    judges, common, modifier = judged(table)
    before = copy.deepcopy((judges, common))
    fields = Mass(form="information").settled()
    goals = {"person": (1.3, 0.0), "word": (1.0, 0.9)}
    pair = {a: judges[a] for a in goals}
    game = Information(fields, modifier, pair, common, Policy(("person",), ("word",)), table, goals)
    assert game.moves == ("modifier", "read person", "read word")
    assert set(game.players) == set(game.moves)
    moved = []
    draw = Draw(table, 32, table.attributes)
    for name, _ in game.round(draw):
        moved.append(name)
    assert tuple(moved) == game.moves
    epoch = next(play(game, draw, 1))
    assert set(epoch.terms) == {
        *(f"modifier/{t}" for t in ("reconstruction", "suppress person", "preserve word", "agnostic")),
        "read person/cross_entropy",
        "read word/cross_entropy",
    }
    assert all(same(judges[a], before[0][a]) for a in judges)  # the readers are copies
    assert same(common, before[1])
    assert not same(game.readers["person"], judges["person"])


# ------------------------------------------------------------------------------------------------- what a fit reaches


@pytest.fixture(scope="module")
def fitted() -> tuple[MassModifier, Table, Table]:
    train, unseen = halves(clusters(600))
    modifier = Mass(epochs=40, lr=0.004, **SHORT).fit(train, policy_of(train, ("person",), ("word",)), Run())
    return modifier, train, unseen


@pytest.mark.slow
def test_the_pretrained_classifier_fails_on_person_and_still_reads_word(fitted) -> None:
    modifier, train, unseen = fitted
    for attribute, role in (("person", "suppress"), ("word", "preserve")):
        judge = train_classifier(train, attribute, ClassifierOptions(epochs=6), prepare=modifier.sphere)
        y = unseen.y[attribute]
        before = accuracy_of(outputs(judge, unseen.x, prepare=modifier.sphere), y)
        out, _ = modifier.release(unseen.x, unseen.ids, KEY)
        after = accuracy_of(outputs(judge, out), y)
        guess = np.bincount(y).max() / len(y)
        assert before > 0.85, attribute
        if role == "suppress":
            assert after <= guess
        else:
            assert after >= before - 0.03


@pytest.mark.slow
def test_mass_is_not_privacy_a_retrained_attacker_reads_person_as_before(fitted) -> None:
    modifier, train, unseen = fitted
    guess = np.bincount(unseen.y["person"]).max() / len(unseen)
    assert read_again(modifier, train, unseen, "person") > guess + 0.3


@pytest.mark.slow
def test_the_card_says_what_was_done_and_reached(fitted) -> None:
    card = fitted[0].card
    assert card.fields["w_s"] == PRESETS["published"]["w_s"]
    assert card.policy == {"suppress": ["person"], "preserve": ["word"], "watch": ["sex"]}
    figures = card.fit
    assert figures["pretrained_accuracy_before"]["person"] > 0.9
    assert figures["pretrained_accuracy_after"]["person"] <= figures["guess"]["person"]
    assert set(figures["terms"]) == {
        f"modifier/{t}" for t in ("reconstruction", "suppress person", "agnostic", "preserve word")
    }
    assert all(len(v) == len(figures["epochs"]) == 20 for v in figures["terms"].values())
    assert 0 < figures["distortion_l2"] < 2
    assert figures["distortion_mean_square"] < figures["distortion_l2"]
    assert not any("sex" in str(v) for v in figures.values())  # watched: hidden from the method
    assert "never retrained" in card.notes[0]


@pytest.mark.slow
def test_several_attributes_each_with_its_own_weight_and_unlabelled_records() -> None:
    train = clusters(300)
    for name in train.y:
        train.y[name][:: 7 + len(name)] = -1
    method = Mass(epochs=40, lr=0.004, w_s={"person": 30.0, "sex": 30.0}, h_s=(2.0, 1.0), w_r={"word": 6.0}, **SHORT)
    modifier = method.fit(train, policy_of(train, ("person", "sex"), ("word",)), Run())
    after = modifier.card.fit["pretrained_accuracy_after"]
    assert after["person"] < 0.3
    assert after["sex"] < 0.55
    assert after["word"] > 0.8
    assert modifier.card.fields["w_s"] == {"person": 30.0, "sex": 30.0}


def test_the_same_seed_gives_the_same_modifier_and_an_interrupted_fit_too(tmp_path: Path) -> None:
    table = clusters(120)
    policy = policy_of(table, ("person",), ("word",))
    method = Mass(epochs=8, classifier_epochs=3, agnostic_epochs=3)
    whole = method.fit(table, policy, Run(seed=4))

    def stop(what: str, done: int, of: int) -> None:
        if what == "modifier":
            stop_after(7)(what, done, of)

    with pytest.raises(Stop):
        method.fit(table, policy, Run(seed=4, folder=tmp_path, progress=stop))
    seen: list[tuple[str, int]] = []
    resumed = method.fit(table, policy, Run(seed=4, folder=tmp_path, progress=lambda w, d, of: seen.append((w, d))))
    assert seen == [("modifier", 6), ("modifier", 7), ("modifier", 8)]
    assert same(whole, resumed)
    assert whole.card.fit == resumed.card.fit
    assert not same(whole, method.fit(table, policy, Run(seed=5)))


# ------------------------------------------------------------------------------------------------- information form


@pytest.mark.slow
def test_the_information_form_brings_co_trained_and_retrained_readers_down_and_takes_noise() -> None:
    train, unseen = halves(clusters(600))
    policy = policy_of(train, ("person",), ("word",))
    method = Mass(form="information", n=0.8, epochs=20, **SHORT)
    assert method.stochastic
    assert not Mass().stochastic
    modifier = method.fit(train, policy, Run())
    left = modifier.card.fit["terms"]["read person/cross_entropy"][-1]
    assert left > 0.9 * np.log(4)  # nats of person that the co-trained reader cannot tell, of about 1.39
    assert modifier.card.fit["terms"]["read word/cross_entropy"][-1] < 0.7 * np.log(3)
    guess = np.bincount(unseen.y["person"]).max() / len(unseen)
    assert read_again(modifier, train, unseen, "person") < guess + 0.15
    assert read_again(modifier, train, unseen, "word") > 0.6
    first, second = (modifier.release(unseen.x, unseen.ids, Key.of_seed(k))[0] for k in (1, 2))
    assert not np.allclose(first, second)
    assert np.array_equal(first, modifier.release(unseen.x, unseen.ids, Key.of_seed(1))[0])


def test_eq_1_with_a_co_trained_reader_still_carries_the_record_along() -> None:
    train, unseen = halves(clusters(450))
    method = Mass(form="information", residual=True, n=0.8, epochs=5, **SHORT)
    modifier = method.fit(train, policy_of(train, ("person",), ("word",)), Run())
    guess = np.bincount(unseen.y["person"]).max() / len(unseen)
    assert read_again(modifier, train, unseen, "person") > guess + 0.3


@pytest.mark.parametrize("fields", [{}, {"form": "information", "noise": 3}, {"form": "information", "residual": True}])
def test_a_modifier_is_read_back_from_its_directory(fields: dict, tmp_path: Path) -> None:
    table = clusters(60)
    method = Mass(epochs=1, classifier_epochs=1, w_agnostic=0.0, hidden=(9,), **fields)
    modifier = method.fit(table, policy_of(table, ("person",), ("word",)), Run())
    modifier.fitted = KEY.digest("fitted", table.ids, 8)
    modifier.save(tmp_path / "m")
    again = open_modifier(tmp_path / "m", Mass.build)
    assert again.noise == modifier.noise
    assert np.array_equal(modifier.release(table.x, table.ids, KEY)[0], again.release(table.x, table.ids, KEY)[0])


def test_a_training_that_diverges_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise FloatingPointError("epoch 1: loss a is no longer finite")

    monkeypatch.setattr("sordine.methods.mass.method.train", diverge)
    with pytest.raises(SordineError, match="set a lower lr"):
        fit(clusters(60), Policy(("person",), ("word",)), Mass(epochs=1, classifier_epochs=1, agnostic_epochs=1))


def test_bounds_that_cannot_hold_together_are_refused_before_training() -> None:
    table = clusters(300)
    with pytest.raises(SordineError, match="`sex` and `person` are entangled") as caught:
        Mass(form="information").fit(table, policy_of(table, ("person",), ("sex",)), Run())
    assert "\n" not in str(caught.value)
    with pytest.raises(SordineError, match=r"`word`: its bound is .* has only"):
        Mass(form="information", n={"word": 5.0}, bounds="nats").fit(
            table, policy_of(table, ("person",), ("word",)), Run()
        )


# ------------------------------------------------------------------------------------------------- the configuration


def test_presets_are_table_7_and_explicit_fields_win() -> None:
    assert Mass(preset="adience").settled().w_agnostic == 40
    own = Mass(preset="pa_hmdb", w_rec=7.0).settled()
    assert (own.w_rec, own.w_agnostic, own.w_r, own.batch, own.lr) == (7.0, 1000.0, 50.0, 512, 0.01)
    assert Mass(preset="audiomnist").settled().w_r == (0.01, 0.001)  # the last one repeated
    assert Mass().hidden == (256, 128, 256)


def test_fields_are_parsed_from_a_command_line() -> None:
    method = make("mass", {"hidden": "64,32", "w_s": "person:5,sex:2", "h_s": "1", "similarity": "sex:negative_kl"})
    assert isinstance(method, Mass)
    assert method.hidden == (64, 32)
    assert method.w_s == {"person": 5.0, "sex": 2.0}
    assert method.h_s == 1.0
    assert method.similarity == {"sex": "negative_kl"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"similarity": "cosin"}, "similarity"),
        ({"preset": "adiance"}, "did you mean 'adience'"),
        ({"epochs": 0}, "epochs"),
        ({"w_s": {"person": -1.0}}, r"w_s\.person = -1\.0: .*greater"),
        ({"lr": 1e9}, "lr"),
        ({"agnostic_dropout": 1.5}, "agnostic_dropout"),
        ({"agnostic_dropout": float("nan")}, "agnostic_dropout"),
        ({"agnostic_noise": float("inf")}, "agnostic_noise"),
        ({"agnostic_noise": -1}, "agnostic_noise"),
    ],
)
def test_wrong_fields_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(SordineError, match=message):
        Mass(**fields)


def test_weights_by_name_must_match_the_policy() -> None:
    table = clusters(60)
    for weights, message in (({"persn": 1.0}, "did you mean 'person'"), ({}, "has no value for 'person'")):
        with pytest.raises(SordineError, match=message):
            Mass(w_s=weights, w_agnostic=0.0, classifier_epochs=1).fit(table, policy_of(table, ("person",)), Run())
    with pytest.raises(SordineError, match="similarity names 'word'"):
        Mass(similarity={"word": "cosine"}).fit(table, policy_of(table, ("person",), ("word",)), Run())
    with pytest.raises(SordineError, match="at least one attribute to suppress"):
        fit(table, policy_of(table, (), ("word",)), "mass", run=Run())
