from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sordine.data.statistics import identity, prepared_moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.models.classifier import Classifier, ClassifierOptions, Prepare, accuracy_of, outputs, train_classifier
from sordine.models.contrastive import Agnostic, AgnosticOptions, PretrainedOutputs, train_agnostic
from sordine.models.training import Batch, Views, fit_batch
from sordine.run import Run
from tests.fixtures.clusters import clusters


def fit_classifier(
    table: Table, attribute: str, epochs: int = 100, prepare: Prepare = identity, **run: Any
) -> Classifier:
    return train_classifier(table, attribute, ClassifierOptions(epochs=epochs), prepare=prepare, run=Run(**run))


def fit_agnostic(table: Table, epochs: int = 100, views: Views | None = None, **run: Any) -> Agnostic:
    return train_agnostic(table, AgnosticOptions(epochs=epochs), views=views, run=Run(**run))


def same(a: nn.Module, b: nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class Stop(Exception):
    """Stands for Ctrl-C."""


def stop_after(number: int):
    def progress(what: str, done: int, of: int) -> None:
        if done == number:
            raise Stop

    return progress


def test_classifier_is_d_512_256_classes_with_batch_norm_and_relu_between() -> None:
    model = Classifier(7, 5)
    sizes = [(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(7, 512), (512, 256), (256, 5)]
    assert [m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm1d)] == [512, 256]
    z = model.eval().features(torch.randn(4, 7))
    assert z.shape == (4, 256)
    assert (z >= 0).all()


def test_agnostic_encoder_is_as_wide_as_the_input() -> None:
    model = Agnostic(9).eval()
    sizes = [(m.in_features, m.out_features) for m in model.encoder.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(9, 9), (9, 9)]
    assert model(torch.randn(3, 9)).shape == (3, 9)
    assert Agnostic(200)(torch.randn(3, 200)).shape == (3, 128)


def test_moments_are_those_of_what_is_shown_and_unit_vectors_are_noticed() -> None:
    x = np.random.default_rng(0).normal(5000, 2, (5000, 3)).astype(np.float32)
    x[:, 1] = 7
    table = replace(clusters(50), x=x, ids=np.arange(5000).astype(str))
    mean, deviation, unit = prepared_moments(table)
    assert np.allclose(mean, x.mean(0, dtype=np.float64), atol=1e-3)
    assert np.allclose(deviation, x.std(0, dtype=np.float64), rtol=1e-3)
    assert deviation[1] == 0
    assert not unit
    assert torch.allclose(prepared_moments(table, lambda v: 2 * v)[1], 2 * deviation)
    assert prepared_moments(table.with_x(x / np.linalg.norm(x, axis=1, keepdims=True)))[2]


def test_a_classifier_reads_unseen_records_in_the_tables_own_scale_and_shape() -> None:
    table = clusters(500)
    model = fit_classifier(table.take(np.arange(350)), "word", seed=0, epochs=8)
    assert not model.training
    unseen = table.take(np.arange(350, 500))
    flat = outputs(model, unseen.x)
    assert accuracy_of(flat, unseen.y["word"]) > 0.9
    assert np.array_equal(flat, outputs(model, unseen.x.reshape(-1, 3, 4)))


def test_unit_vectors_are_not_standardised_again() -> None:
    table = clusters(100)
    x = table.flat()
    unit = fit_classifier(
        table.with_x(x / np.linalg.norm(x, axis=1, keepdims=True)), "word", seed=0, epochs=1
    ).standardise
    assert (unit.mean == 0).all()
    assert (unit.scale == 1).all()
    other = fit_classifier(table, "word", seed=0, epochs=1).standardise
    assert torch.allclose(other.mean, torch.from_numpy(x.mean(0)), atol=1e-4)


def test_unlabelled_records_teach_nothing() -> None:
    table = clusters(200)
    labels = table.y["word"].copy()
    labels[100:] = -1
    half = replace(table, y={**table.y, "word": labels})
    alone = table.take(np.arange(100))
    assert same(fit_classifier(half, "word", seed=3, epochs=2), fit_classifier(alone, "word", seed=3, epochs=2))
    labels[1:] = -1
    with pytest.raises(SordineError, match="'word' has 1 labelled"):
        fit_classifier(half, "word", seed=0)
    with pytest.raises(SordineError, match="no attribute 'wrd'"):
        fit_classifier(half, "wrd", seed=0)


def test_accuracy_leaves_unlabelled_records_out() -> None:
    logits = np.array([[1.0, 0], [1, 0], [0, 1]])
    assert accuracy_of(logits, np.array([0, 1, -1])) == 0.5
    assert np.isnan(accuracy_of(logits, np.array([-1, -1, -1])))


def test_the_batch_shrinks_with_the_table() -> None:
    assert fit_batch(10_000, 256) == 256
    assert fit_batch(800, 256) == 100
    assert fit_batch(40, 256) == 16
    assert fit_batch(5, 256) == 5


def test_the_callers_random_numbers_go_on_untouched() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_classifier(clusters(60), "word", seed=0, epochs=1)
    fit_agnostic(clusters(60), seed=0, epochs=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
@pytest.mark.parametrize("train", [fit_classifier, fit_agnostic])
def test_an_interrupted_training_ends_with_the_same_weights(train, tmp_path: Path) -> None:
    table = clusters(120)
    known = {"attribute": "word"} if train is fit_classifier else {}
    whole = train(table, **known, seed=1, epochs=8)
    with pytest.raises(Stop):
        train(table, **known, seed=1, epochs=8, folder=tmp_path, progress=stop_after(6))  # saved after 5
    epochs: list[int] = []
    again = train(table, **known, seed=1, epochs=8, folder=tmp_path, progress=lambda _, done, of: epochs.append(done))
    assert epochs == [6, 7, 8]
    assert same(whole, again)
    finished = train(table, **known, seed=1, epochs=8, folder=tmp_path, progress=stop_after(8))  # nothing left to do
    assert same(whole, finished)
    assert not same(whole, train(table, **known, seed=2, epochs=8, folder=tmp_path))


def test_other_records_or_labels_are_another_training(tmp_path: Path) -> None:
    table = clusters(120)
    fit_classifier(table, "word", seed=1, epochs=1, folder=tmp_path)
    fit_classifier(table.with_x(table.x + 1), "word", seed=1, epochs=1, folder=tmp_path)
    fit_classifier(table, "person", seed=1, epochs=1, folder=tmp_path)
    fit_classifier(table, "word", seed=1, epochs=1, folder=tmp_path, prepare=lambda x: 2 * x)
    fit_classifier(table, "word", seed=1, epochs=1, folder=tmp_path)  # known already
    assert len(list(tmp_path.glob("classifier-*.safetensors"))) == 4


def test_the_agnostic_model_tells_records_apart_and_finds_a_disturbed_one_again() -> None:
    table = clusters(300)
    terms: list[str] = []
    model = fit_agnostic(table, seed=0, epochs=10, log=terms.append)
    assert "NT-Xent" in terms[0]
    shaken = table.x + 0.3 * table.x.std(0) * np.random.default_rng(0).normal(size=table.x.shape).astype(np.float32)
    p, q = (torch.nn.functional.normalize(torch.from_numpy(outputs(model, x))) for x in (table.x, shaken))
    assert ((p @ q.T).argmax(1) == torch.arange(300)).float().mean() > 0.5


def test_views_of_the_raw_media_may_be_plugged_in() -> None:
    table = clusters(60)
    asked: list[Tensor] = []

    def views(batch: Batch, random: torch.Generator) -> tuple[Tensor, Tensor]:
        asked.append(batch.rows)
        return batch.x, batch.x + 0.1 * torch.randn(batch.x.shape, generator=random)

    fit_agnostic(table, seed=0, epochs=2, views=views)
    assert len(torch.cat(asked).unique()) > 40


def test_outputs_for_originals_are_the_same_from_memory_and_from_a_file(tmp_path: Path) -> None:
    table = clusters(60)
    model = fit_classifier(table, "word", seed=0, epochs=1).requires_grad_(False)
    np.save(tmp_path / "x.npy", table.x)
    mapped = table.with_x(np.load(tmp_path / "x.npy", mmap_mode="r"))
    rows = torch.tensor([3, 1, 59])
    x = table.batch(rows.numpy())
    stored, fresh = (PretrainedOutputs({"word": model}, t, lambda v: v, "cpu") for t in (table, mapped))
    assert set(stored.known) == {"word"}
    assert not fresh.known
    assert torch.allclose(stored("word", x, rows), fresh("word", x, rows), atol=1e-5)
