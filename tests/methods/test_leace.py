"""The theorem: linear probes are at the baseline, the mean stays, and no affine map of the rank moves less."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from sordine.data.table import Table
from sordine.methods.leace import Leace, LeaceFitter
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.clusters import clusters

POLICY = Policy(("person", "word"))


def erased(table: Table) -> tuple[np.ndarray, int]:
    modifier = Leace().fit(table, POLICY, Run())
    x, _ = modifier.release(table.x, table.ids, Run().key)
    return x, modifier.card.fit["rank"]


def test_no_linear_attacker_reads_any_of_several_attributes():
    table = clusters(1500)
    x, rank = erased(table)
    for name in POLICY.suppress:
        guess = np.bincount(table.y[name]).max() / len(table)
        assert LogisticRegression(max_iter=1000).fit(table.x, table.y[name]).score(table.x, table.y[name]) > 0.95
        # on the very records of the fit: no class of any attribute is told by any direction
        assert LogisticRegression(C=1e6, max_iter=1000).fit(x, table.y[name]).score(x, table.y[name]) < guess + 0.01
        for c in range(len(table.classes[name])):
            assert np.abs(np.cov(x.T, (table.y[name] == c).astype(float))[-1, :-1]).max() < 1e-4
    assert rank == (4 - 1) + (3 - 1)
    assert np.abs(x.mean(0) - table.x.mean(0)).max() < 1e-3
    assert np.linalg.matrix_rank((x - table.x) - (x - table.x).mean(0), tol=1e-2) == rank


def test_it_moves_less_than_any_other_eraser():
    table = clusters(1500)
    x, _ = erased(table)
    mean = table.x.mean(0)
    onehot = np.concatenate([np.eye(len(table.classes[n]))[table.y[n]] for n in POLICY.suppress], 1)
    cross = (table.x - mean).T @ (onehot - onehot.mean(0)) / len(table)
    basis = np.linalg.svd(cross, full_matrices=False)[0][:, :5]
    orthogonal = table.x - (table.x - mean) @ basis @ basis.T  # erases too: projects the class means away
    assert np.abs((orthogonal - mean).T @ (onehot - onehot.mean(0)) / len(table)).max() < 1e-4
    assert ((x - table.x) ** 2).sum() <= ((orthogonal - table.x) ** 2).sum() * (1 + 1e-6)


def test_blocks_add_up_to_the_whole():
    table = clusters(1000)
    whole, parts = (LeaceFitter(table.x.mean(0).astype(np.float64) + 1, [4]) for _ in range(2))
    labels = np.where(np.arange(1000) % 10 == 0, -1, table.y["person"])  # some unlabelled
    whole.update(table.x.astype(np.float64), [labels])
    for start in range(0, 1000, 137):
        parts.update(table.x[start : start + 137].astype(np.float64), [labels[start : start + 137]])
    for a, b in zip(whole.covariances(), parts.covariances(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    np.testing.assert_allclose(whole.covariances()[0], np.cov(table.x.T, bias=True), atol=1e-4)
    known = labels >= 0
    expected = np.cov(table.x[known].T.astype(np.float64), np.eye(4)[labels[known]].T, bias=True)[:12, 12:]
    np.testing.assert_allclose(whole.covariances()[1], expected, atol=1e-9)


def test_constant_and_repeated_columns_are_no_obstacle():
    table = clusters(500)
    x = np.concatenate([table.x, table.x[:, :2], np.full((500, 1), 3.0, np.float32)], 1)
    wide = Table.of(x, {n: table.y[n] for n in table.y})
    out, _ = erased(Table(wide.x, wide.y, wide.ids, table.classes))
    assert np.isfinite(out).all()
    assert (out[:, -1] == 3).all()
    assert np.abs(out[:, 0] - out[:, 12]).max() < 1e-3
