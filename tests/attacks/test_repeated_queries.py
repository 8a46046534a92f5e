"""Several releases of each record: averaging noise gains under fresh keys, and nothing at all under one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sordine.attacks.base import Split
from sordine.attacks.repeated_queries import RepeatedReleases, attack_queries, knowledge
from sordine.attacks.scenarios import AttackData
from sordine.data.table import Table
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.noise import Noise
from sordine.models.modifier import Modifier, Release
from sordine.policy import Policy
from sordine.run import Run

POLICY = Policy(("speaker",), ("word",))


def noisy(n: int = 600, sigma: float = 3.0) -> tuple[Table, Modifier, AttackData, Split]:
    rng = np.random.default_rng(0)
    who = rng.choice(3, n, p=(0.5, 0.3, 0.2))
    x = (0.3 * rng.standard_normal((n, 5))).astype(np.float32)
    x[np.arange(n), who] += 2
    t = Table.of(x, {"speaker": who, "word": rng.integers(0, 2, n)}, split=np.where(np.arange(n) % 4, "train", "test"))
    modifier = fit(t, POLICY, Noise(sigma=sigma), run=Run(key=Key.of_seed(1)))
    assert t.split is not None
    own = np.flatnonzero(t.split)
    trial = Split(own[own % 4 != 1], own[own % 4 == 1], np.flatnonzero(~t.split))
    scene = AttackData(np.asarray(t.x), t.ids, {"speaker": t.y["speaker"]}, {"speaker": 3}, t.split)
    return t, modifier, scene, trial


def released(modifier: Modifier, t: Table, seeds: list[int]) -> np.ndarray:
    return np.stack([modifier.release(t.x, t.ids, Key.of_seed(s))[0] for s in seeds])


def test_five_queries_under_one_key_read_exactly_what_one_reads() -> None:
    t, modifier, scene, trial = noisy()
    five = attack_queries(
        scene, trial, "speaker", 3, RepeatedReleases(released(modifier, t, [7] * 5), "one"), ("logistic", "mlp")
    )
    once = attack_queries(
        scene, trial, "speaker", 3, RepeatedReleases(released(modifier, t, [7]), "one"), ("logistic", "mlp")
    )
    assert (five.queries, five.distinct, once.distinct) == (5, 1, 1)
    assert five.after == five.one == once.after == once.one
    assert (five.nag, five.low, five.high, five.after_interval) == (once.nag, once.low, once.high, once.after_interval)


def test_queries_under_fresh_keys_average_the_noise_away() -> None:
    t, modifier, scene, trial = noisy()
    fresh = attack_queries(
        scene, trial, "speaker", 3, RepeatedReleases(released(modifier, t, list(range(16))), "fresh"), ("logistic",)
    )
    assert fresh.distinct == 16
    assert fresh.how in ("averaged", "summed")
    assert fresh.after > fresh.one + 0.1
    assert fresh.after_interval[0] > fresh.one
    assert fresh.before > 0.98


def test_unlabelled_records_take_no_part() -> None:
    t, modifier, scene, trial = noisy()
    labels = scene.labels["speaker"].copy()
    labels[::5] = -1
    some = AttackData(scene.x, scene.ids, {"speaker": labels}, scene.classes, scene.fitted)
    found = attack_queries(
        some, trial, "speaker", 3, RepeatedReleases(released(modifier, t, [1, 2, 3]), "fresh"), ("logistic",)
    )
    assert found.records == int((labels[trial.test] >= 0).sum()) < len(trial.test)


class Leaning(Modifier):
    """Releases one of 30 outputs, all alike in where they lie; each speaker's third is a little more likely."""

    noise, discrete = 1, True

    def output_distribution(self, x: Tensor) -> Tensor:
        own = torch.arange(30)[None] % 3 == x[:, :3].argmax(1, keepdim=True)
        return torch.where(own, 1.6 / 30, 0.7 / 30)

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        drawn = (self.output_distribution(x).cumsum(1) < noise).sum(1).clamp(max=29)
        place = torch.randn(30, 5, generator=torch.Generator().manual_seed(0))
        return Release(place[drawn], drawn)


def test_one_who_knows_the_channel_sums_likelihoods_over_the_draws() -> None:
    t, noise, scene, trial = noisy(1600)
    modifier = Leaning()
    modifier.card = noise.card
    keys = [Key.of_seed(s) for s in range(12)]
    given = released(modifier, t, list(range(12)))
    known = knowledge(modifier, t, given, keys)
    assert known is not None
    assert known[1].shape == (12, 1600)
    blind = attack_queries(scene, trial, "speaker", 3, RepeatedReleases(given, "fresh"), ("logistic",))
    knows = attack_queries(scene, trial, "speaker", 3, RepeatedReleases(given, "fresh", known), ("logistic",))
    assert knows.how == "channel"
    assert knows.after > blind.after + 0.05
    assert knows.after > knows.one + 0.05
    # What Bayes' rule reads of twelve draws, by simulation.
    rng = np.random.default_rng(0)
    prior = np.bincount(t.y["speaker"]) / 1600
    who = rng.choice(3, 20_000, p=prior)
    p = np.where(np.eye(3, dtype=bool), 1.6, 0.7) / 3
    counts = np.stack([rng.multinomial(12, p[w]) for w in who])
    best = ((counts @ np.log(p).T + np.log(prior)).argmax(1) == who).mean()
    assert knows.after == pytest.approx(best, abs=0.06)
    once = released(modifier, t, [3] * 5)
    one = attack_queries(
        scene,
        trial,
        "speaker",
        3,
        RepeatedReleases(once, "one", knowledge(modifier, t, once, [keys[3]] * 5)),
        ("logistic",),
    )
    assert (one.distinct, one.after) == (1, one.one)
    assert knowledge(noise, t, released(noise, t, [1]), [Key.of_seed(1)]) is None
