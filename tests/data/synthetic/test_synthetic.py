"""Synthetic data: what is promised about them holds."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sordine.data.synthetic.gaussians import BAYES_ACCURACY, channel, gaussians
from sordine.data.synthetic.voices import ACCENTS, PHONEMES, SPEAKERS, WORDS, voices
from sordine.errors import SordineError
from sordine.features.extract import extract


def test_the_best_attacker_on_the_gaussians_is_as_promised():
    table = gaussians(200_000, seed=1)
    guess = table.x[:, 0] > table.x[:, 1]
    assert abs((guess == table.y["secret"]).mean() - BAYES_ACCURACY) < 0.002
    assert pytest.approx(0.955, abs=0.001) == BAYES_ACCURACY
    secret, utility = table.y["secret"], table.y["utility"]
    assert abs(np.corrcoef(secret, utility)[0, 1]) < 0.01
    np.testing.assert_allclose(table.x[secret == 0].mean(axis=0), [-1, 1], atol=0.01)
    np.testing.assert_allclose(np.cov(table.x[secret == 1].T), 0.7 * np.eye(2), atol=0.01)


def test_gaussians_are_the_seed_s_and_split_as_asked():
    one, again, other = (gaussians(1000, seed=s, test=100) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.x, again.x)
    assert not np.array_equal(one.x, other.x)
    assert (~one.split).sum() == 100
    with pytest.raises(SordineError, match="test records"):
        gaussians(10, seed=0, test=10)


@pytest.mark.parametrize(
    ("classes", "outputs", "accuracy"), [(2, 2, 0.5), (2, 7, 0.8), (4, 12, 0.6), (5, 5, 1.0), (10, 64, 0.1)]
)
def test_the_channel_leaks_exactly_what_was_asked(classes, outputs, accuracy):
    made = channel(40_000, classes, outputs, accuracy, seed=5)
    assert made.accuracy == pytest.approx(accuracy, abs=1e-12)
    np.testing.assert_allclose(made.conditional.sum(axis=1), 1)
    output, secret = made.table.x.argmax(axis=1), made.table.y["secret"]
    counts = np.zeros((classes, outputs))
    np.add.at(counts, (secret, output), 1)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), made.conditional, atol=0.02)
    best = made.conditional.argmax(axis=0)
    assert (best[output] == secret).mean() == pytest.approx(accuracy, abs=0.01)


def test_a_channel_that_cannot_be_is_refused():
    for classes, outputs, accuracy, wrong in [
        (3, 2, 0.5, "3 classes and 2 outputs"),
        (1, 4, 1.0, "1 classes and 4 outputs"),
        (4, 8, 0.2, "accuracy is 0.2"),
        (4, 8, 1.1, "accuracy is 1.1"),
    ]:
        with pytest.raises(SordineError, match=wrong):
            channel(10, classes, outputs, accuracy, seed=0)


def test_voices_are_balanced_and_their_tables_hang_together():
    assert all(p in PHONEMES for word in WORDS.values() for p in word)
    assert all(s.accent in ACCENTS for s in SPEAKERS)
    pairs = Counter((s.sex, s.accent) for s in SPEAKERS)
    assert len(pairs) == 2 * len(ACCENTS)
    assert len(set(pairs.values())) == 1
    # An accent can be heard in every word.
    for name, accent in ACCENTS.items():
        assert name == "plain" or all(accent.shift.keys() & set(word) for word in WORDS.values())


def read_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metadata.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_voices_are_the_seed_s_and_a_take_does_not_depend_on_the_others(tmp_path):
    for name, clips, seed in (("a", 30, 7), ("b", 30, 7), ("c", 144, 7), ("d", 30, 8)):
        voices(tmp_path / name, clips, seed)
    same = [(tmp_path / "a" / p.name).read_bytes() == p.read_bytes() for p in sorted((tmp_path / "b").iterdir())]
    assert all(same)
    assert len(same) == 31
    key = ("speaker", "word", "take")
    longer = {tuple(r[k] for k in key): tmp_path / "c" / r["file_name"] for r in read_rows(tmp_path / "c")}
    assert len(longer) == 144
    for row in read_rows(tmp_path / "a"):
        sound = (tmp_path / "a" / row["file_name"]).read_bytes()
        assert longer[tuple(row[k] for k in key)].read_bytes() == sound
    assert (tmp_path / "d" / "clip_00001.wav").read_bytes() != (tmp_path / "a" / "clip_00001.wav").read_bytes()
    with pytest.raises(SordineError, match="--force"):
        voices(tmp_path / "a", 3)


@pytest.mark.slow
def test_a_linear_probe_hears_the_word_the_speaker_and_the_sex(tmp_path):
    voices(tmp_path / "v", 864)
    extract(tmp_path / "v", "logmel", tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    x = table["x"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    train = np.arange(len(x)) < 648
    for attribute, least in (("word", 0.9), ("speaker", 0.8), ("sex", 0.95), ("accent", 0.75)):
        y = np.array(table[attribute].to_pylist())
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=60)).fit(x[train], y[train])
        assert probe.score(x[~train], y[~train]) > least, attribute
    # What a file's place tells of its attributes is nothing.
    take = np.array(table["take"].to_pylist())
    assert abs(np.corrcoef(np.arange(len(x)), take)[0, 1]) < 0.15
