"""Drawn faces: the labels are distributed as asked, and the pictures show them and nothing else."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import chi2_contingency
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sordine.data.layouts.registry import open_media
from sordine.data.synthetic.face_drawing import CLASSES, Face, draw
from sordine.data.synthetic.faces import ATTRIBUTES, draw_labels, faces, identity, truths, write_faces
from sordine.errors import SordineError
from sordine.run import Run


def counts(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The contingency table of two label columns."""
    rows, a = np.unique(one, return_inverse=True)
    columns, b = np.unique(other, return_inverse=True)
    table = np.zeros((len(rows), len(columns)))
    np.add.at(table, (a, b), 1)
    return table


def cramer(one: np.ndarray, other: np.ndarray) -> float:
    table = counts(one, other)
    return float(np.sqrt(chi2_contingency(table, correction=False).statistic / table.sum() / (min(table.shape) - 1)))


def codes(labels: dict[str, np.ndarray], name: str) -> np.ndarray:
    return np.array([CLASSES[name].index(c) for c in labels[name]])


# ----------------------------------------------------------------------------------------------------------------
# labels


def test_labels_are_balanced_and_every_pair_is_independent():
    labels = draw_labels(4000, seed=5)
    assert tuple(labels) == ATTRIBUTES
    for name, column in labels.items():
        expected = 4000 / (20 if name == "person" else len(CLASSES[name]))
        found = np.unique(column, return_counts=True)[1]
        assert len(found) == round(4000 / expected)
        assert np.abs(found - expected).max() < 4 * np.sqrt(expected), name
    for one, other in itertools.combinations(ATTRIBUTES, 2):
        assert chi2_contingency(counts(labels[one], labels[other])).pvalue > 0.001, (one, other)


@pytest.mark.parametrize(
    ("pair", "r"),
    [
        (("expression", "age"), 0.6),
        (("glasses", "sex"), -0.7),
        (("hair", "sex"), 0.5),
        (("sex", "expression"), 0.6),
        (("person", "hair"), 0.8),
        (("expression", "person"), 0.4),
        (("glasses", "sex"), 1.0),
    ],
)
def test_an_association_is_of_the_size_asked_and_leaves_classes_even(pair, r):
    labels = draw_labels(40_000, seed=2, correlations={pair: r})
    assert cramer(labels[pair[0]], labels[pair[1]]) == pytest.approx(abs(r), abs=0.02)
    for name in CLASSES:
        share = np.unique(labels[name], return_counts=True)[1] / 40_000
        np.testing.assert_allclose(share, 1 / len(CLASSES[name]), atol=0.015)
    if set(pair) == {"glasses", "sex"}:
        found = np.corrcoef(codes(labels, "glasses"), codes(labels, "sex"))[0, 1]
        assert found == pytest.approx(r, abs=0.02)
    rest = [p for p in itertools.combinations(ATTRIBUTES, 2) if set(p) != set(pair)]
    assert max(cramer(labels[a], labels[b]) for a, b in rest) < 0.035


def test_a_tree_of_associations_meets_each_and_reverses_where_negative():
    asked = {("expression", "sex"): 0.6, ("sex", "glasses"): 0.5, ("age", "expression"): -0.7}
    labels = draw_labels(40_000, seed=3, correlations=asked)
    for (one, other), r in asked.items():
        assert cramer(labels[one], labels[other]) == pytest.approx(abs(r), abs=0.02)
    assert cramer(labels["hair"], labels["sex"]) < 0.03
    assert np.corrcoef(codes(labels, "age"), codes(labels, "expression"))[0, 1] < -0.6


def test_what_is_of_the_person_is_one_class_each_and_even_over_people():
    labels = draw_labels(4000, seed=1, people=16, of_person=("sex", "hair"), correlations={("expression", "sex"): 0.5})
    for name in ("sex", "hair"):
        classes = [set(labels[name][labels["person"] == p]) for p in np.unique(labels["person"])]
        assert all(len(c) == 1 for c in classes)
        held = np.unique([c.pop() for c in classes], return_counts=True)[1]
        assert held.max() - held.min() <= 1
        assert len(held) == len(CLASSES[name])
    assert cramer(labels["sex"], labels["hair"]) < 0.07
    assert cramer(labels["sex"], labels["expression"]) == pytest.approx(0.5, abs=0.05)
    assert cramer(labels["person"], labels["age"]) < 0.1


def test_a_record_is_the_same_whatever_comes_after_it_and_another_with_another_seed():
    long, short, other = draw_labels(90, seed=4), draw_labels(30, seed=4), draw_labels(30, seed=6)
    assert all((long[a][:30] == short[a]).all() for a in ATTRIBUTES)
    assert any((other[a] != short[a]).any() for a in ATTRIBUTES)
    one, again, more = faces(12, 4, size=24), faces(12, 4, size=24), faces(30, 4, size=24, test=3)
    np.testing.assert_array_equal(one.x, again.x)
    np.testing.assert_array_equal(one.x, more.x[:12])
    assert (one.x != faces(12, 6, size=24).x).any()


def test_the_split_is_as_asked_by_record_or_by_person():
    table = faces(40, 0, size=16, test=7)
    assert table.x.shape == (40, 3, 16, 16)
    assert table.x.dtype == np.uint8
    assert (~table.split).sum() == 7
    assert table.group is None
    assert table.attributes == ATTRIBUTES
    grouped = faces(200, 0, size=16, people=8, group_by_person=True)
    np.testing.assert_array_equal(grouped.group, grouped.y["person"])
    assert not set(grouped.group[grouped.split]) & set(grouped.group[~grouped.split])
    assert len(set(grouped.group[~grouped.split])) == 2


# --------------------------------------------------------------------------------------------------------------
# pictures


def changed(before: Face, **what: object) -> np.ndarray:
    """Where a picture of 96 x 96 differs: (96, 96) bool."""
    return (draw(before, 96) != draw(replace(before, **what), 96)).any(axis=0)


def rows_of(face: Face, low: float, high: float) -> np.ndarray:
    """Which pixel rows of an unturned, unshifted face lie between two heights of its own frame: (96,) bool."""
    y = ((np.arange(96) + 0.5) / 48 - 1) / face.scale
    return (y > low - 0.04) & (y < high + 0.04)


@pytest.mark.parametrize("person", range(5))
@pytest.mark.parametrize("sex", CLASSES["sex"])
def test_a_smile_changes_eyes_cheeks_and_mouth_alone(person, sex):
    it = identity(7, person)
    face = Face(it, sex=sex)
    differs = changed(face, expression="smiling")
    nose = it.eye_y + it.nose_length
    mouth = rows_of(face, nose + 0.02, it.height)
    assert differs[mouth].any()
    assert not differs[~rows_of(face, it.eye_y - 0.12, it.height)].any()
    # Outside the face nothing changes, and of the face most stays.
    assert not differs[:, : 48 - 30].any()
    assert not differs[:, 48 + 30 :].any()
    assert differs.mean() < 0.12
    # Light teeth show where lips were: a plain change, not a shade.
    assert np.abs(draw(face, 96).astype(int) - draw(replace(face, expression="smiling"), 96)).max() > 80


def test_surprise_leaves_what_is_below_the_chin_and_glasses_all_but_the_eyes():
    it = identity(7, 3)
    face = Face(it)
    surprised, glasses = changed(face, expression="surprised"), changed(face, glasses="yes")
    assert not surprised[rows_of(face, it.height + 0.12, 2)].any()
    assert not surprised[: 48 - 30].any()
    assert glasses[rows_of(face, it.eye_y - 0.1, it.eye_y + 0.1)].any()
    assert not glasses[~rows_of(face, it.eye_y - 0.25, it.eye_y + 0.25)].any()


def test_hair_colour_leaves_the_mouth_and_every_class_is_another_picture():
    face = Face(identity(7, 2))
    it = face.identity
    nose = it.eye_y + it.nose_length
    dyed = changed(face, hair="blond")
    middle = np.abs(np.arange(96) - 47.5) < 6
    assert dyed[:40].any()
    assert not dyed[np.ix_(rows_of(face, nose + 0.06, it.height - 0.1), middle)].any()
    for name, classes in CLASSES.items():
        for one, other in itertools.combinations(classes, 2):
            before = replace(face, **{name: one})
            assert changed(before, **{name: other}).sum() > 40, (name, one, other)


def test_a_person_is_the_same_head_in_every_picture_and_light_comes_from_its_side():
    left, right = (draw(Face(identity(7, 0), light=light), 64).astype(float).mean(axis=(0, 1)) for light in (-1, 1))
    assert left[:24].mean() > right[:24].mean() + 10
    assert right[-24:].mean() > left[-24:].mean() + 10
    labels = draw_labels(60, seed=9, people=4)
    heads = {(person, face.identity) for person, face in zip(labels["person"], truths(labels, 9), strict=True)}
    assert len(heads) == 4
    assert identity(9, 0) in {it for _, it in heads}


@pytest.mark.slow
def test_a_small_linear_probe_reads_every_attribute_above_chance():
    table = faces(1200, 3, size=32, people=6)
    x = table.flat() / 255
    for name, least in (
        ("person", 0.33),
        ("expression", 0.5),
        ("hair", 0.6),
        ("glasses", 0.75),
        ("sex", 0.85),
        ("age", 0.5),
    ):
        y = table.y[name]
        probe = make_pipeline(PCA(60, whiten=True, random_state=0), LogisticRegression(C=0.1, max_iter=200))
        assert probe.fit(x[table.split], y[table.split]).score(x[~table.split], y[~table.split]) > least, name
        # No one pixel gives an attribute away.
        if len(table.classes[name]) == 2:
            spread = x[y == 1].std(axis=0) + x[y == 0].std(axis=0)
            apart = np.abs(x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0)) / spread
            assert apart.max() < 1.2, name


def test_written_faces_open_as_media_with_the_same_labels_and_pixels(tmp_path):
    steps = []
    run = Run(progress=lambda what, done, total: steps.append((done, total)))
    folder = write_faces(tmp_path / "f", 12, 8, size=32, people=3, group_by_person=True, run=run)
    table = faces(12, 8, size=32, people=3, group_by_person=True)
    media = open_media(folder)
    assert media.kind == "image"
    assert len(media) == 12
    for name in ATTRIBUTES:
        classes = np.array(table.classes[name])[table.y[name]]
        assert media.records[name].to_pylist() == classes.tolist()
    assert media.records["split"].to_pylist() == np.where(table.split, "train", "test").tolist()
    assert media.records["group"].to_pylist() == media.records["person"].to_pylist()
    for name, picture in zip(media.files, table.x, strict=True):
        np.testing.assert_array_equal(np.moveaxis(np.array(Image.open(folder / name)), -1, 0), picture)
    assert steps[0] == (1, 12)
    assert steps[-1] == (12, 12)
    with pytest.raises(SordineError, match="--force"):
        write_faces(folder, 12, 8)
    write_faces(folder, 8, 8, size=16, force=True)
    with open(folder / "metadata.csv", newline="") as file:
        assert csv.DictReader(file).fieldnames == ["file_name", *ATTRIBUTES, "split"]
    assert len(list(folder.iterdir())) == 9
    with pytest.raises(SordineError, match="noise=-1"):
        write_faces(tmp_path / "none", 8, 8, noise=-1)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 3}, "0 test records of 3"),
        ({"test": 40}, "40 test records of 40"),
        ({"seed": -1}, "seed=-1"),
        ({"size": 8}, "size=8"),
        ({"noise": float("nan")}, "noise=nan"),
        ({"people": 1}, "people=1"),
        ({"people": 101}, "people=101"),
        ({"of_person": ("gender",)}, "'gender'"),
        ({"of_person": ("person",)}, "'person'"),
        ({"correlations": {("sex", "beard"): 0.3}}, "'beard'"),
        ({"correlations": {("sex", "sex"): 0.3}}, "'sex' with itself"),
        ({"correlations": {("sex", "age", "hair"): 0.3}}, "a pair of attributes as its key"),
        ({"correlations": {("sex", "glasses"): 1.1}}, "from -1 to 1"),
        ({"correlations": {("sex", "glasses"): float("nan")}}, "from -1 to 1"),
        ({"correlations": {("sex", "age"): 0.95}}, "at most 0.816"),
        ({"correlations": {("sex", "age"): 0.1, ("age", "hair"): 0.1, ("hair", "sex"): 0.1}}, "form a cycle"),
        ({"correlations": {("sex", "age"): 0.1, ("age", "sex"): 0.1}}, "form a cycle"),
        ({"of_person": ("sex",), "correlations": {("person", "sex"): 0.5}}, "form a cycle"),
        ({"of_person": ("sex", "hair"), "correlations": {("hair", "sex"): 0.5}}, "form a cycle"),
    ],
)
def test_bad_input_is_refused_in_one_line(changes, says):
    with pytest.raises(SordineError, match=says) as refused:
        faces(**{"n": 40, "seed": 0, "size": 16, **changes})
    assert "\n" not in str(refused.value)
