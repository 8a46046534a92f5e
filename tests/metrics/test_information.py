"""Entropies by hand and against scikit-learn, entanglement of known columns, and the optimal accuracy by loops."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from sordine.errors import SordineError
from sordine.metrics import information
from sordine.metrics.accuracy import majority
from sordine.metrics.nag import resolvable


def conditional_entropy(of: np.ndarray, given: np.ndarray) -> float:
    """H(of | given) in bits, without a correction for chance."""
    both = information.joint([of, given])
    return information.entropy(both) - information.entropy(np.where(both >= 0, given, -1))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_entropies_by_hand() -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    assert information.entropy(a) == 1
    assert information.entropy(b) == pytest.approx(1.5)
    assert conditional_entropy(b, a) == pytest.approx(0.5)
    assert conditional_entropy(a, b) == 0
    assert information.accuracy_from_labels(b, a) == pytest.approx(0.75)
    assert information.accuracy_from_labels(a, b) == 1
    assert information.entropy(np.array([-1, 3, 3])) == 0
    assert information.entropy(np.array([-1])) == 0


def test_unlabelled_records_are_dropped_pairwise() -> None:
    a, b = np.array([0, 0, 1, 1, -1, 0]), np.array([0, 0, 1, 1, 1, -1])
    assert conditional_entropy(a, b) == 0
    assert information.joint([a, b]).tolist() == [0, 0, 1, 1, -1, -1]
    with pytest.raises(SordineError, match="shape"):
        information.joint([a, b[:2]])


def test_mutual_information_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    a = rng.integers(0, 7, 500)
    b = np.where(rng.random(500) < 0.5, a % 3, rng.integers(0, 3, 500))
    mutual = (information.entropy(b) - conditional_entropy(b, a)) * np.log(2)
    assert mutual == pytest.approx(mutual_info_score(a, b))


def test_joint_codes_differ_for_each_combination(rng: np.random.Generator) -> None:
    columns = [rng.integers(0, k, 400) for k in (60, 90, 90, 90)]
    code = information.joint(columns)
    rows = np.unique(np.column_stack(columns), axis=0)
    assert code.max() + 1 == len(rows) == len(np.unique(code))


def test_independent_columns_give_no_sentence() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = {"speaker": rng.integers(0, 24, 1000), "accent": rng.integers(0, 6, 1000)}
        # the trap: the plug-in estimate shows a dependence, and accuracy rises
        assert conditional_entropy(y["accent"], y["speaker"]) < information.entropy(y["accent"]) - 0.05
        assert information.accuracy_from_labels(y["accent"], y["speaker"]) > majority(y["accent"]) + 0.05
        found = information.entanglement(y, ["speaker"], ["accent"], test_records=250)
        assert found.sentences == ()
        assert found.keeps == {"accent": 1.0}
        assert not any(p.decides for p in found.pairs)


def test_a_speaker_decides_the_accent(rng: np.random.Generator) -> None:
    speaker = np.repeat(np.arange(24), 40)
    y = {"speaker": speaker, "accent": speaker % 6, "digit": rng.integers(0, 10, 960), "sex": speaker % 2}
    found = information.entanglement(y, ["speaker"], ["accent", "digit"], ["sex"], test_records=600)
    assert len(found.pairs) == 4 * 3
    by_name = {(p.of, p.given): p for p in found.pairs}
    assert by_name["accent", "speaker"].decides
    assert by_name["accent", "speaker"].conditional == pytest.approx(0)
    assert by_name["sex", "accent"].decides
    assert not by_name["speaker", "accent"].decides
    assert by_name["speaker", "accent"].conditional == pytest.approx(2, abs=0.1)  # 4 speakers to an accent
    assert found.keeps == {"accent": pytest.approx(0), "digit": pytest.approx(1)}
    assert found.smallest == {"speaker": resolvable(1.0, 1 / 24, 600)}
    forward, backward, watched = found.sentences  # none about the digit
    assert "`sex`" in watched
    assert "`accent`" in forward
    assert "4.2 % to 25.0 %" in backward
    assert "0.22" in backward  # (1/4 - 1/24) / (1 - 1/24)
    known = information.entanglement(y, ["speaker"], ["accent"], originals={"speaker": (0.9, 0.05)}, test_records=600)
    assert known.smallest == {"speaker": resolvable(0.9, 0.05, 600)}


def test_two_suppressed_attributes_together_decide_what_neither_does(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 2, 2000), rng.integers(0, 2, 2000)
    found = information.entanglement({"a": a, "b": b, "u": a ^ b}, ["a", "b"], ["u"], test_records=500)
    assert found.keeps["u"] == pytest.approx(0, abs=1e-6)
    (sentence,) = found.sentences
    assert all(name in sentence for name in ("`a`", "`b`", "`u`", "at most 0 % of"))


def test_a_column_that_is_nearly_an_id_decides_nothing(rng: np.random.Generator) -> None:
    y = {"id": np.arange(500), "u": rng.integers(0, 4, 500)}
    found = information.entanglement(y, ["u"], ["id"], test_records=100)
    assert not any(p.decides for p in found.pairs if p.of == "u")
    assert found.sentences == ()


def test_partial_entanglement_and_a_single_class(rng: np.random.Generator) -> None:
    s = rng.integers(0, 4, 4000)
    u = np.where(rng.random(4000) < 0.5, s, rng.integers(0, 4, 4000))
    found = information.entanglement(
        {"s": s, "u": u, "same": np.zeros(4000, int)}, ["s"], ["u", "same"], test_records=500
    )
    exact = -(0.625 * np.log2(0.625) + 0.375 * np.log2(0.125)) / 2
    assert found.keeps["u"] == pytest.approx(exact, abs=0.03)
    assert found.keeps["same"] == 1
    assert "`u`" in found.sentences[0]
    with pytest.raises(SordineError, match="did you mean 'u'"):
        information.entanglement({"s": s, "u": u}, ["s"], ["uu"])


def test_feasible_names_the_bounds_that_cannot_hold() -> None:
    speaker = np.repeat(np.arange(8), 50)
    y = {"speaker": speaker, "accent": speaker % 4, "word": np.tile(np.arange(2), 200)}
    assert information.infeasible_bounds(y, {"speaker": 0.0}, {"word": 1.0}) == []
    assert information.infeasible_bounds(y, {"speaker": 1.0}, {"accent": 1.0}) == []
    (entangled,) = information.infeasible_bounds(y, {"speaker": 0.5}, {"accent": 1.5})
    assert "`accent` and `speaker` are entangled" in entangled
    assert any("only 1" in w for w in information.infeasible_bounds(y, {}, {"word": 1.2}))
    assert any("negative" in w for w in information.infeasible_bounds(y, {"speaker": -0.1}, {}))


def by_loops(p: np.ndarray, labels: np.ndarray, classes: int, kept: np.ndarray) -> float:
    usable = [i for i in range(len(p)) if labels[i] >= 0 and kept[i] >= 0]
    total = 0.0
    for k in set(kept[usable].tolist()):
        for j in range(p.shape[1]):
            total += max(sum(p[i, j] for i in usable if kept[i] == k and labels[i] == s) for s in range(classes))
    return total / len(usable)


@pytest.mark.parametrize("chunk", [32 << 20, 256])  # 256 bytes: every loop over chunks runs
def test_the_optimal_accuracy_by_loops(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(information, "CHUNK_BYTES", chunk)
    p = rng.dirichlet(np.ones(6) / 3, 30)
    labels, kept = rng.integers(-1, 4, 30), rng.integers(-1, 3, 30)
    everything = np.zeros(30, int)
    assert information.optimal_accuracy(p, labels, 4) == pytest.approx(by_loops(p, labels, 4, everything))
    assert information.optimal_accuracy(p, labels, 4, kept) == pytest.approx(by_loops(p, labels, 4, kept))
    drawn = information.permuted_accuracy(p, labels, 4, kept, 7, np.random.default_rng(1))
    assert drawn.shape == (7,)
    again = np.random.default_rng(1)  # the same draws, one labelling at a time
    copies = np.tile(labels, (7, 1))
    for k in range(3):
        rows = np.flatnonzero((kept == k) & (labels >= 0))
        copies[:, rows] = again.permuted(np.tile(labels[rows], (7, 1)), axis=1)
    assert drawn == pytest.approx([by_loops(p, c, 4, kept) for c in copies])


def test_the_optimal_accuracy_at_its_ends(rng: np.random.Generator) -> None:
    labels = np.repeat(np.arange(4), 25)
    assert information.optimal_accuracy(np.eye(4)[labels], labels, 4) == 1  # the index is the class
    constant = np.ones((100, 5), np.float32) / 5
    assert (
        information.optimal_accuracy(constant, labels, 4) == pytest.approx(information.optimal_baseline(labels)) == 0.25
    )
    assert information.optimal_accuracy(constant, labels, 4, labels // 2) == pytest.approx(0.5)
    assert information.optimal_baseline(labels, labels // 2) == pytest.approx(0.5)
    noise = rng.dirichlet(np.ones(50) / 50, 100)
    attack = information.optimal_accuracy(noise, labels, 4)
    chance = information.permuted_accuracy(noise, labels, 4, None, 200, rng)
    assert attack > 0.4  # far above the baseline though nothing leaks: few records, many substitutes
    assert np.quantile(chance, 0.005) < attack < np.quantile(chance, 0.995)
    with pytest.raises(SordineError, match="differ in length"):
        information.optimal_accuracy(noise[:3], labels, 4)
    with pytest.raises(SordineError, match="not below"):
        information.optimal_accuracy(noise, labels, 3)


def test_a_large_output_distribution_stays_in_little_memory(rng: np.random.Generator) -> None:
    p = rng.random((4000, 2048), dtype=np.float32)
    p /= p.sum(1, keepdims=True)
    labels = rng.integers(0, 24, 4000)
    tracemalloc.start()
    information.permuted_accuracy(p, labels, 24, labels % 2, 20, rng)
    assert tracemalloc.get_traced_memory()[1] < 160e6
    tracemalloc.stop()


def test_a_bound_holds_on_new_records(rng: np.random.Generator) -> None:
    """Of 200 samples of a known distribution, about one in twenty at most gives a bound below the true accuracy."""
    assert information.optimal_accuracy_bound(0.5, 200) == pytest.approx(0.5 + np.sqrt(np.log(20) / 400))
    assert information.optimal_accuracy_bound(0.9, 3) == 1
    with pytest.raises(SordineError, match="no bound"):
        information.optimal_accuracy_bound(0.5, 0)
    given = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])  # P(j | s), s even: the best attack is 0.7
    low = 0
    for _ in range(200):
        s = rng.integers(0, 2, 60)
        low += information.optimal_accuracy_bound(information.optimal_accuracy(given[s], s, 2), 60) < 0.7
    assert low <= 12
