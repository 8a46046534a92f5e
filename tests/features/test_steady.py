from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from sordine.data.media.cache import Decoded
from sordine.data.media.folder import read_metadata
from sordine.data.media.kinds import Kind, Media
from sordine.errors import SordineError
from sordine.features.augmentation.views import STILL, one_view
from sordine.features.encoder.extractor import Encoder
from sordine.features.encoder.steady import CHANGES, MOST_COPIES, axes, changed, changes_in, named, within
from sordine.run import Run
from tests.features.test_encoder import SMALL, media, vectors

DATA = os.environ.get("SORDINE_DATA")

# ------------------------------------------------------------------------------------------- axes


def test_axes_against_a_hand_worked_case() -> None:
    # Of two numbers with deviations 2 and 1, the first changes by its own variance and the second by a sixteenth of it.
    turn, ratio = axes(np.array([4.0, 1.0]), np.diag([4.0, 1 / 16]), floor=0)
    assert ratio == pytest.approx([1 / 16, 1])
    # The steadier one comes first, with a deviation of (1/16)^(-1/2) = 4; the other with one of 1.
    assert turn == pytest.approx(np.array([[0, 0.5], [4, 0]]))
    # The floor, a tenth of the mean variance 2.5, is added to what changes: .25 / 4 and .25 / 1.
    assert axes(np.array([4.0, 1.0]), np.diag([4.0, 1 / 16]), floor=0.1)[1] == pytest.approx(
        [1 / 16 + 0.25, 1 + 1 / 16]
    )


def test_axes_are_uncorrelated_and_do_not_depend_on_how_the_numbers_are_turned() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    inside, variance = root @ root.T / 6, rng.uniform(0.5, 2, 6)
    turn, ratio = axes(variance, inside)
    covariance = turn.T @ np.diag(variance) @ turn
    assert covariance == pytest.approx(np.diag(1 / ratio), abs=1e-10)
    total = inside + 0.1 * variance.mean() * np.eye(6)
    assert turn.T @ total @ turn == pytest.approx(np.eye(6), abs=1e-10)
    assert (np.diff(ratio) > 0).all()
    order = rng.permutation(6)
    again, same = axes(variance[order], inside[np.ix_(order, order)])
    assert same == pytest.approx(ratio)
    assert np.abs(again) == pytest.approx(np.abs(turn[order]), abs=1e-8)


def test_an_axis_of_hardly_any_variance_is_not_steady() -> None:
    variance = np.array([1.0, 1e-9])
    turn, ratio = axes(variance, np.diag([0.2, 1e-12]))
    assert ratio[0] < 1 < 1e6 < ratio[1]
    assert np.abs(turn[:, 0]).argmax() == 0


def test_what_varies_within_is_a_mean_over_all_blocks() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(size=(50, 3))
    assert within(iter([d[:20], d[20:]])) == pytest.approx(d.T @ d / 50)


# ------------------------------------------------------------------------------------------- changes


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_changes_records_and_nothing_does_not(kind: Kind) -> None:
    have, _ = media(kind, 6)
    x, lengths = torch.from_numpy(have.x), torch.from_numpy(have.lengths)
    for name, options in CHANGES[kind].items():
        made, _ = one_view(kind, x, lengths, torch.Generator().manual_seed(0), options)
        assert made.shape == x.shape
        assert made.dtype == x.dtype
        assert all((a != b).any() for a, b in zip(made, x, strict=True)), name
    same, left = one_view(kind, x, lengths, torch.Generator().manual_seed(0), STILL)
    assert torch.equal(same, x)
    assert torch.equal(left, lengths)


def test_few_records_are_changed_several_times_and_many_once() -> None:
    def copies(n: int) -> np.ndarray:
        x = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
        have = Decoded(x, np.full(n, 8), np.arange(n), (), "audio")
        made = changed(have, np.arange(n), "gain", 512, torch.Generator().manual_seed(0))
        return np.concatenate([rows for rows, _, _ in made])

    assert np.array_equal(np.bincount(copies(10)), np.full(10, MOST_COPIES))
    many = copies(5000)
    assert len(many) == len(np.unique(many)) == 4096
    assert (many[0], many[-1]) == (0, 4999)


def test_changes_are_named_with_commas_and_others_refused() -> None:
    assert named(" crop, light,,crop ") == ["crop", "light"]
    assert named("none") == named(" , ") == []
    with pytest.raises(SordineError, match=r"steady=voise.*'voice'"):
        Encoder(steady="voise")
    have, of = media("image")
    with pytest.raises(SordineError, match="crop, light, mirror"):
        replace(SMALL["image"], steady="voice").fit(have, of, Run())


# ------------------------------------------------------------------------------------------- encoder


def rhythms(n: int = 120) -> tuple[Decoded, Media, Decoded]:
    """Tones of two rhythms at any pitch within an octave; and the same three semitones higher."""
    rng = np.random.default_rng(0)
    said, at = np.arange(n) % 2, np.arange(1200) / 2000
    pitch = 250 * 2 ** rng.uniform(0, 1, (n, 1))
    beat = np.sign(np.sin(2 * np.pi * at * np.where(said, 8, 5)[:, None] + rng.uniform(0, 6.28, (n, 1)))) + 1.1
    names = pa.table({"file_name": [f"{i}.wav" for i in range(n)], "said": said})
    both = []
    for turn in (1, 2 ** (3 / 12)):
        x = 0.05 * beat * np.sin(2 * np.pi * turn * pitch * at) + 0.005 * rng.normal(size=(n, 1200))
        both.append(Decoded(x.astype(np.float32), np.full(n, 1200), np.arange(n), (), "audio"))
    return both[0], Media(Path("folder"), "audio", names), both[1]


def nearest_read(x: np.ndarray, y: np.ndarray) -> float:
    """How often the nearest other record is of the same class."""
    like = x @ x.T
    np.fill_diagonal(like, -np.inf)
    return float((y[like.argmax(1)] == y).mean())


@pytest.mark.slow
def test_another_voice_is_nearer_where_numbers_are_steady_under_it_and_the_rest_is_still_told() -> None:
    have, of, higher = rhythms()
    said = np.array(of.records["said"].to_pylist())
    like = []
    for tool in (SMALL["audio"], replace(SMALL["audio"], steady="voice")):
        encode = tool.fit(have, of, Run())
        x, other = vectors(encode, have), vectors(encode, higher)
        like.append(np.mean(np.sum(x * other, axis=1)))
        assert nearest_read(x, said) > 0.9
    assert like[1] > like[0] + 0.1


@pytest.mark.slow
def test_a_mirrored_picture_stays_near_itself() -> None:
    have, of = media("image", 80)
    mirrored = Decoded(have.x[..., ::-1].copy(), have.lengths, have.rows, (), "image")
    like = []
    for tool in (SMALL["image"], replace(SMALL["image"], steady="mirror")):
        encode = tool.fit(have, of, Run())
        like.append(np.mean(np.sum(vectors(encode, have) * vectors(encode, mirrored), axis=1)))
    assert like[1] > like[0] + 0.3


@pytest.mark.slow
def test_other_axes_need_no_other_training_and_stand_in_the_file(tmp_path: Path) -> None:
    have, of = media("image")
    seen: list[int] = []
    turned: list[tuple[int, int]] = []

    def progress(what: str, done: int, of: int) -> None:
        turned.append((done, of)) if what == "steady axes" else seen.append(done)

    work = Run(folder=tmp_path, progress=progress)
    plain = SMALL["image"].fit(have, of, work)
    assert seen == [1, 2]
    tool = replace(SMALL["image"], steady="crop,light")
    steady = tool.fit(have, of, work)
    assert seen == [1, 2]
    assert turned[-1] == (2 * 8 * 40, 2 * 8 * 40)
    one, other = plain.weights(), steady.weights()
    assert set(other) - set(one) == {"steady"}
    assert all(torch.equal(one[k], other[k]) for k in one if k != "projection")
    assert not torch.equal(one["projection"], other["projection"])
    assert np.array_equal(vectors(tool.fit(have, of, Run(folder=tmp_path)), have), vectors(steady, have))
    file = tmp_path / "learnt.safetensors"
    save_file({k: v.contiguous() for k, v in other.items()}, file)
    for named_too in (tool, SMALL["image"], replace(tool, steady="light, crop")):
        again = replace(named_too, weights=file).open("image", Run())
        assert np.array_equal(vectors(again, have), vectors(steady, have))
        assert again.weights()["steady"].numpy().tobytes() == b"crop,light"
    assert changes_in(file) == "crop,light"
    with pytest.raises(SordineError, match="crop,light"):
        replace(tool, weights=file, steady="mirror").open("image", Run())
    save_file({k: v.contiguous() for k, v in one.items()}, file)
    with pytest.raises(SordineError, match="without `steady`"):
        replace(tool, weights=file).open("image", Run())
    assert changes_in(file) == changes_in(tmp_path / "none") == ""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
def test_real_voices_are_told_less_and_their_sentences_no_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.encoder import folds, probe
    from benchmarks.encoder import vectors as made

    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path))
    folder = Path(str(DATA)) / "emodb"
    of = Media(folder, "audio", read_metadata(folder))
    plain, steady = (made(Encoder(seconds=2, epochs=0, width=64, steady=s), of)[0] for s in ("", "voice"))

    def read(x: np.ndarray, attribute: str) -> float:
        y = np.array([str(v) for v in of.records[attribute].to_pylist()])
        return float(np.mean([probe(x, y, *fold) for fold in folds(y)]))

    assert read(steady, "speaker") < read(plain, "speaker") - 0.1
    assert read(steady, "sentence") > read(plain, "sentence") - 0.02
