"""Erasers from other papers: each on data whose truth is known, and all through what every method must hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from benchmarks import peers
from benchmarks.harness import basic_audit
from benchmarks.peers import PEERS
from benchmarks.peers.common import class_moments
from benchmarks.peers.gaussian_ot import AffineModifier, transport_maps
from benchmarks.peers.mute import MuteModifier
from benchmarks.peers.obliviator import dependence, onehot
from benchmarks.unknown.cases import CASES, ENTRIES, Group, known
from sordine import Key, Policy, Run, SordineError, Table, fit, load, transform
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.methods.registry import METHODS, make
from tests.fixtures.clusters import clusters

KEY = Key.of_seed(0)
POLICY = Policy(("person",), ("word",))
FAST: dict[str, dict[str, Any]] = {
    "obliviator": {"rounds": 2, "steps": 5, "batch": 64, "hidden": 32, "features": 96, "size": 12},
    "gaussian-ot": {"probe_features": 64},
    "mute": {"rounds": 2, "probe_features": 64},
    "splince": {},
    "mmd-affine": {"steps": 20, "batch": 256, "probe_features": 64},
}


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    peers.register()
    yield
    peers.unregister()


def of(x: np.ndarray, **labels: np.ndarray) -> Table:
    return Table.of(x.astype(np.float32), {name: codes.astype(str) for name, codes in labels.items()})


def skewed(n: int = 1200, width: int = 5) -> Table:
    """Three classes with other means, covariances and shapes, far enough apart to be predicted."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, n)
    x = rng.gamma(2.0, size=(n, width)) - 2
    mixing = rng.standard_normal((3, width, width)) * 0.25 + np.eye(width)
    x = np.einsum("ni,nij->nj", x, mixing[group])
    x[:, 0] += 12 * group
    return of(x, group=group)


def exclusive_or(n: int = 600) -> Table:
    """The class is the exclusive-or of two signs, which no linear attacker infers; `word` is a third sign."""
    rng = np.random.default_rng(1)
    signs = rng.choice([-1.0, 1.0], size=(n, 3))
    x = np.concatenate([signs + 0.3 * rng.standard_normal((n, 3)), rng.standard_normal((n, 1))], 1)
    return of(x, secret=signs[:, 0] * signs[:, 1] > 0, word=signs[:, 2] > 0)


def released(table: Table, policy: Policy, name: str, **options: Any) -> Table:
    return transform(fit(table, policy, make(name, options), run=Run(key=KEY)), table, KEY)


def probed(before: Table, after: Table, attribute: str, model: Any) -> float:
    """Accuracy of an attacker that is trained on one half of the released records and tested on the other."""
    z = (after.flat() - after.flat().mean(0)) / after.flat().std(0)
    half = np.arange(len(z)) % 2 == 0
    labels = before.y[attribute]
    return float(model.fit(z[half], labels[half]).score(z[~half], labels[~half]))


# ------------------------------------------------------------------------------------------------ every peer


def test_every_peer_is_tried_here_and_is_an_entry() -> None:
    assert FAST.keys() == PEERS.keys()
    assert {e.method for e in ENTRIES.values()} >= PEERS.keys()


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_fitted_saved_loaded_and_audited_as_any_method(name: str, tmp_path: Path) -> None:
    table = clusters(400)
    modifier = fit(table, POLICY, make(name, FAST[name]), run=Run(key=KEY))
    after = transform(modifier, table, KEY)
    assert after.x.shape == table.x.shape
    assert after.x.dtype == np.float32
    assert np.isfinite(after.x).all()
    modifier.save(tmp_path / "m")
    assert (transform(load(tmp_path / "m"), table, KEY).x == after.x).all()
    order = np.random.default_rng(0).permutation(len(table))
    assert (transform(modifier, table.take(order[:9]), KEY).x == after.x[order[:9]]).all()
    again = fit(table, POLICY, make(name, FAST[name]), run=Run(key=KEY))
    assert (transform(again, table, KEY).x == after.x).all()
    budget = basic_audit(families=("logistic",), settings=("A",), person=(), cloud=0)
    options = AuditOptions(pretrained=False, originals=False)
    report = audit(table, after, POLICY, modifier=modifier, key=KEY, budget=budget, options=options)
    assert {f.attribute for f in report.findings} >= {"person", "word"}
    assert report.proved[0].startswith("Nothing is proved")


@pytest.mark.parametrize("name", PEERS)
def test_bad_input_gives_one_line(name: str) -> None:
    table = clusters(60)
    with pytest.raises(SordineError, match="at least one attribute to suppress"):
        fit(table, Policy((), ("word",)), name)
    with pytest.raises(SordineError, match="has no option 'depth'"):
        make(name, {"depth": 1})
    whole = table.with_split(POLICY, KEY)
    assert whole.split is not None
    bare = replace(whole, y={**whole.y, "person": np.where(whole.split, -1, whole.y["person"])})
    with pytest.raises(SordineError, match="no train record has a label of 'person'") as error:
        fit(bare, POLICY, name, run=Run(key=KEY))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in PEERS if name != "splince"])
def test_one_class_alone_is_refused(name: str) -> None:
    table = clusters(60).with_split(POLICY, KEY)
    assert table.split is not None
    one = replace(table, y={**table.y, "person": np.where(table.split, 0, table.y["person"])})
    with pytest.raises(SordineError, match="it needs two classes") as error:
        fit(one, POLICY, make(name, FAST[name]), run=Run(key=KEY))
    assert "\n" not in str(error.value)
    few = one.y["person"].copy()
    few[np.flatnonzero(table.split)[0]] = 1
    with pytest.raises(SordineError, match="two records of each class"):
        fit(replace(one, y={**one.y, "person": few}), POLICY, make(name, FAST[name]), run=Run(key=KEY))


@pytest.mark.parametrize("name", PEERS)
def test_unlabelled_records_and_constant_numbers_are_no_obstacle(name: str) -> None:
    table = clusters(300)
    x = table.flat().copy()
    x[:, 3] = 7
    person = np.where(np.arange(300) % 5 == 0, -1, table.y["person"])
    after = released(replace(table, x=x, y={**table.y, "person": person}), POLICY, name, **FAST[name])
    assert np.isfinite(after.x).all()
    if name != "obliviator":
        assert np.abs(after.x[:, 3] - 7).max() < 1e-3


def test_the_registry_is_left_as_it_was() -> None:
    peers.unregister()
    try:
        assert not PEERS.keys() & METHODS.keys()
        group = Group(CASES["fsdd"], "unknown", ENTRIES["mute"], 0)
        assert known(group.entry)
        assert group.name(0).startswith("fsdd--unknown--mute--fold0-key0-")
    finally:
        peers.register()


# ------------------------------------------------------------------------------------------------ each on its own


def test_gaussian_transport_gives_all_classes_one_mean_and_covariance() -> None:
    table = skewed()
    policy = Policy(("group",))
    modifier = fit(table, policy, make("gaussian-ot", {"shrinkage": 0}), run=Run(key=KEY))
    assert isinstance(modifier, AffineModifier)
    split, codes, x = table.with_split(policy, KEY).split, table.y["group"], table.flat()
    predicted = modifier.probe(torch.from_numpy(x)).argmax(1).numpy()
    assert (predicted == codes).mean() > 0.99
    with torch.no_grad():
        to = modifier.moved(torch.from_numpy(x), torch.from_numpy(codes)).numpy()[split]
    own = codes[split]
    covariances = [np.cov(to[own == k].T, bias=True) for k in range(3)]
    size = np.linalg.norm(covariances[0])
    for k in range(3):
        assert np.abs(to[own == k].mean(0) - to.mean(0)).max() < 1e-3 * np.sqrt(size)
        assert np.linalg.norm(covariances[k] - covariances[0]) < 1e-3 * size
    before = [np.cov(x[split][own == k].T, bias=True) for k in range(3)]
    assert np.linalg.norm(before[1] - before[0]) > 0.2 * size
    after = transform(modifier, table, KEY)
    assert probed(table, table, "group", LogisticRegression()) > 0.99
    assert probed(table, after, "group", LogisticRegression()) < 0.42


def test_a_map_between_two_lines_is_the_known_one() -> None:
    # In one dimension the barycentre's deviation is the mean deviation, and the map a ratio.
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.standard_normal(500), 5 + 3 * rng.standard_normal(500)])[:, None].astype(np.float32)
    codes = np.repeat([0, 1], 500)
    found = class_moments(x, codes, 0.0)
    deviations = np.array([x[codes == k].std() for k in (0, 1)])
    maps, rounds = transport_maps(found, 50)
    assert rounds < 10
    assert maps[:, 0, 0] == pytest.approx(deviations.mean() / deviations, rel=1e-3)
    few = class_moments(np.repeat(x, 4, 1) + rng.standard_normal((1000, 4)).astype(np.float32), codes)
    assert ((few.weights > 0) & (few.weights < 0.2)).all()


def test_splince_erases_one_covariance_and_keeps_the_other() -> None:
    rng = np.random.default_rng(3)
    secret = rng.integers(0, 3, 1500)
    word = np.where(rng.random(1500) < 0.6, secret % 2, rng.integers(0, 2, 1500))  # depends on what is suppressed
    x = rng.standard_normal((1500, 6)) @ rng.standard_normal((6, 6))
    x[:, :3] += 3 * np.eye(3)[secret]
    x[:, 2] += 2 * word
    table = of(x, secret=secret, word=word)
    split = table.with_split(Policy(("secret",), ("word",)), KEY).split

    def covariance(some: Table, attribute: str) -> np.ndarray:
        z = np.eye(int(table.y[attribute].max()) + 1)[table.y[attribute][split]]
        u = some.flat()[split].astype(np.float64)
        return (u - u.mean(0)).T @ (z - z.mean(0)) / len(u)

    after = released(table, Policy(("secret",), ("word",)), "splince")
    assert np.abs(covariance(after, "secret")).max() < 1e-5
    assert covariance(after, "word") == pytest.approx(covariance(table, "word"), abs=1e-5)
    plain = released(table, Policy(("secret",)), "splince")
    erased = released(table, Policy(("secret",)), "leace")
    assert plain.x == pytest.approx(erased.x, abs=1e-4)
    assert np.abs(covariance(plain, "word") - covariance(table, "word")).max() > 0.05
    with pytest.raises(SordineError, match="share a linear direction") as error:
        fit(of(x, secret=secret, word=secret % 2), Policy(("secret",), ("word",)), "splince")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("output", ["normal", "pooled"])
def test_mute_makes_every_class_normal(output: str) -> None:
    table = skewed()
    policy = Policy(("group",))
    modifier = fit(table, policy, make("mute", {"output": output, "rounds": 3, "shrinkage": 0}), run=Run(key=KEY))
    assert isinstance(modifier, MuteModifier)
    split, codes, x = table.with_split(policy, KEY).split, table.y["group"], table.flat()
    levels = np.linspace(0.1, 0.9, 9)
    normal = np.quantile(np.random.default_rng(0).standard_normal(200_000), levels)
    with torch.no_grad():
        z = modifier.gaussian(torch.from_numpy(x), torch.from_numpy(codes) + 1).numpy()
        back = modifier.inverse(torch.from_numpy(z)).numpy() @ modifier.basis.numpy().T + modifier.centre.numpy()
    for k in range(3):
        own = np.quantile(z[split & (codes == k)], levels, axis=0)
        assert np.abs(own - normal[:, None]).max() < 0.1
        raw = x[split & (codes == k)]
        raw = (raw - raw.mean(0)) / raw.std(0)
        assert np.abs(np.quantile(raw, levels, axis=0) - normal[:, None]).max() > 0.15
        assert np.abs(np.corrcoef(z[split & (codes == k)].T) - np.eye(5)).max() < 0.15
    after = transform(modifier, table, KEY).x
    if output == "normal":
        assert after.std(0) == pytest.approx(np.ones(5), abs=0.15)
    else:
        assert after[(codes < 3) & split] == pytest.approx(back[split], abs=0.05)  # the probe predicts every class
        assert after.mean(0) == pytest.approx(x.mean(0), abs=0.15 * float(x.std()))
        assert after.std(0) == pytest.approx(x.std(0), rel=0.3)
    assert probed(table, transform(modifier, table, KEY), "group", SVC()) < 0.45


def test_obliviator_erases_a_leak_that_is_not_linear() -> None:
    table, policy = exclusive_or(), Policy(("secret",), ("word",))
    options = {"rounds": 5, "steps": 40, "batch": 200, "hidden": 32, "features": 128, "rate": 0.01}
    after = released(table, policy, "obliviator", **options)
    linear = released(table, policy, "leace")
    assert probed(table, table, "secret", SVC()) > 0.95
    assert probed(table, linear, "secret", SVC()) > 0.95
    assert probed(table, after, "secret", SVC()) < 0.6
    assert probed(table, after, "word", SVC()) > 0.9
    columns = onehot(table.y["secret"])

    def hsic(some: Table) -> float:
        z = (some.flat() - some.flat().mean(0)) / some.flat().std(0)
        return float(dependence(torch.from_numpy(z), columns, 5))

    assert hsic(after) < 0.2 * hsic(linear)


def test_obliviator_keeps_what_is_preserved_better_than_without_it() -> None:
    table, policy = exclusive_or(), Policy(("secret",), ("word",))
    rng = np.random.default_rng(5)
    most = rng.standard_normal((600, 1)) + 0.1 * rng.standard_normal((600, 6))  # what one function would follow
    table = replace(table, x=np.concatenate([table.flat(), most.astype(np.float32)], 1))
    options = {"rounds": 1, "steps": 20, "batch": 200, "hidden": 32, "features": 128, "output": "functions"}
    told, untold = (
        released(table, policy, "obliviator", supervised=s, size=1, tau_y=10, **options) for s in (True, False)
    )
    assert told.x.shape == (600, 1)
    assert probed(table, told, "word", SVC()) > 0.85
    assert probed(table, untold, "word", SVC()) < 0.75


@pytest.mark.parametrize("maps", ["class", "shared"])
def test_affine_maps_by_discrepancy_bring_classes_together(maps: str) -> None:
    rng = np.random.default_rng(4)
    group = rng.integers(0, 2, 1000)
    x = rng.standard_normal((1000, 4))
    x[:, 0] += 4 * group
    x[:, 1] *= np.where(group == 1, 2.5, 1)
    table = of(x, group=group)
    after = released(table, Policy(("group",)), "mmd-affine", maps=maps, batch=512, steps=100, rate=0.03)

    def discrepancy(some: Table) -> float:
        z = torch.from_numpy((some.flat() - some.flat().mean(0)) / some.flat().std(0))
        kernel = torch.exp(-torch.cdist(z, z).square() / 8).double().fill_diagonal_(0).numpy()
        one, other = group == 0, group == 1
        a, b = int(one.sum()), int(other.sum())
        within = kernel[one][:, one].sum() / (a * (a - 1)) + kernel[other][:, other].sum() / (b * (b - 1))
        return float(within - 2 * kernel[one][:, other].mean())

    assert discrepancy(after) < discrepancy(table) / (20 if maps == "class" else 2)
    still = released(table, Policy(("group",)), "mmd-affine", maps=maps, batch=256, steps=100, rate=0.05, distance=1e4)
    assert np.abs(still.x - table.x).mean() < 0.5 * np.abs(after.x - table.x).mean()
