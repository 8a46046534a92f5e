"""The outputs of transport: how far they are apart, and how little they tell of a single record."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.methods.transport.method import Transport
from sordine.methods.transport.outputs import linear_outputs, noise_level
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.clusters import clusters

RECORDS, WIDTH, SIZE, GROUPS = 400, 60, 6, 2


def drawn(seed: int, n: int = RECORDS) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, preserved classes, and records that follow them up to normal noise of unit variance."""
    law = torch.Generator().manual_seed(99)
    slopes, offsets = torch.randn(SIZE, WIDTH, generator=law), torch.randn(GROUPS, WIDTH, generator=law)
    generator = torch.Generator().manual_seed(seed)
    code, group = torch.randn(n, SIZE, generator=generator), torch.arange(n) % GROUPS
    return code, group, code @ slopes + offsets[group] + torch.randn(n, WIDTH, generator=generator)


def entries() -> tuple[Tensor, Tensor]:
    return torch.randn(40, SIZE, generator=torch.Generator().manual_seed(7)), torch.arange(40) % GROUPS


def recognition(seed: int, recognised: float) -> float:
    """Return the area under the curve of the best test that a record was in the fit of these outputs.

    The attacker knows the law of the records. What the outputs add to that law is a sum over the records of the fit of
    residual times leverage, so that a record of the fit agrees with it.
    """
    (code, group, x), (other, which, new) = drawn(seed), drawn(seed + 1000)
    codebook, owner = entries()
    made = linear_outputs(codebook, owner, code, group, x, key=Key.of_seed(seed), recognised=recognised)
    design = lambda c, g: torch.cat([functional.one_hot(g, GROUPS), c], 1)  # noqa: E731
    law = torch.Generator().manual_seed(99)
    slopes, offsets = torch.randn(SIZE, WIDTH, generator=law), torch.randn(GROUPS, WIDTH, generator=law)
    known = torch.cat([offsets, slopes])
    error = torch.linalg.lstsq(design(codebook, owner), made).solution - known  # of the coefficients
    score = [
        ((records - design(c, g) @ known) * (design(c, g) @ error)).sum(1).numpy()
        for c, g, records in ((code, group, x), (other, which, new))
    ]
    return float(roc_auc_score(np.repeat([1, 0], RECORDS), np.concatenate(score)))


def test_the_noise_worked_out_by_hand() -> None:
    # sqrt(4 * 8 * 30 / 960) = 1; a test with an area of .55 is sqrt(2) * .12566 = .17771 deviations off.
    assert noise_level(960, 8, 30, 4, 0.55) == pytest.approx(1 / 0.17771, rel=1e-4)
    assert noise_level(4 * 960, 8, 30, 4, 0.55) == pytest.approx(0.5 / 0.17771, rel=1e-4)
    # One deviation and a half between members and others is an area of Phi(1.5 / sqrt(2)) = .8556.
    assert noise_level(960, 8, 30, 4, 0.8556) == pytest.approx(1 / 1.5, rel=1e-3)
    assert noise_level(960, 8, 30, 4, 1.0) == 0


@pytest.mark.parametrize("recognised", [0.55, 0.65, 1.0])
def test_records_of_the_fit_are_recognised_as_often_as_asked(recognised: float) -> None:
    """The other records are unknown to this attacker: their chance adds one standard error to the noise."""
    c = noise_level(RECORDS, SIZE + GROUPS, WIDTH, 1, recognised)
    apart = math.sqrt((SIZE + GROUPS) * WIDTH / RECORDS) / math.sqrt(1 + c**2)
    expected = 0.5 * (1 + math.erf(apart / 2))
    assert np.mean([recognition(seed, recognised) for seed in range(20)]) == pytest.approx(expected, abs=0.025)
    assert expected <= recognised
    assert recognised < 1 or expected > 0.75
    assert recognised > 0.6 or expected > 0.54


def test_entries_stay_apart_and_constant_columns_stay_constant() -> None:
    (code, group, x), (codebook, owner) = drawn(0), entries()
    x[:, 3] = 5.0
    made = linear_outputs(codebook, owner, code, group, x, key=Key.of_seed(0))
    assert torch.pdist(made).min() > 1
    assert torch.allclose(made[:, 3], torch.full((40,), 5.0), atol=1e-3)
    # Without noise, they are what records of these codes are on average.
    law = torch.Generator().manual_seed(99)
    slopes, offsets = torch.randn(SIZE, WIDTH, generator=law), torch.randn(GROUPS, WIDTH, generator=law)
    exact = linear_outputs(codebook, owner, code, group, x, key=Key.of_seed(0), recognised=1)
    expected = codebook @ slopes + offsets[owner]
    expected[:, 3] = 5.0
    assert (exact - expected).abs().max() < 0.8
    assert (exact - expected).std() < 0.2 * (made - expected).std()


def test_other_records_have_other_noise_under_one_key() -> None:
    (code, group, x), (codebook, owner) = drawn(0), entries()

    def noise(x: Tensor, key: int) -> np.ndarray:
        noisy, exact = (
            linear_outputs(codebook, owner, code, group, x, key=Key.of_seed(key), recognised=r) for r in (0.55, 1)
        )
        return (noisy - exact).flatten().numpy()

    changed = x.clone()
    changed[0, 0] += 1e-3
    first = noise(x, 0)
    assert np.array_equal(first, noise(x, 0))
    for other in (noise(changed, 0), noise(x, 1)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.3
        assert other.std() == pytest.approx(first.std(), rel=0.3)


def test_what_is_guaranteed_names_maps_and_noise_only_where_they_apply() -> None:
    table, small = clusters(300), {"cells": 12, "size": 4, "rounds": 2}

    def guarantees(**options: float) -> str:
        modifier = fit(table, Policy(("person",)), make("transport", {**small, **options}), run=Run(key=Key.of_seed(0)))
        return Transport.guarantees(modifier.card.fit)

    default = guarantees()
    assert "there are 5 maps" in default
    assert "in about 55 % of pairs" in default
    assert "there are 3 maps" in guarantees(parts=3, recognised=0.6)
    assert "in about 60 % of pairs" in guarantees(parts=3, recognised=0.6)
    one = guarantees(parts=1, recognised=1)
    assert one.startswith("Computed: on the records of the fit")
    assert "maps" not in one
    assert "pairs" not in one
    assert "pairs" not in guarantees(records=2), "real records have no noise"
