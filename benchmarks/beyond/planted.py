"""Releases of pure noise with a leak of known size, audits of each, and a simple attacker beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.harness import Store, basic_audit
from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.metrics.nag import nag, nag_interval
from sordine.policy import Policy

RECORDS, NUMBERS, SEED = 2000, 40, 0
PERIODS = 50  # of the fine pattern, in the range of one feature from 0 to 1
WAVES = 64  # frequencies that the simple attacker tries
FOR_FEW = ("discriminant", "screening")

Plant = Callable[[np.ndarray, np.ndarray, float, np.random.Generator], None]


@dataclass(frozen=True)
class Leak:
    """A leak: what it is, its true size (NAG of the best possible attacker), and the function that plants it.

    `plant(x, secret, leakage, rng)` changes noise x (n, d) in place, for classes (n,) 0 and 1.
    """

    name: str
    sentence: str
    leakage: float
    plant: Plant


def _agrees(secret: np.ndarray, leakage: float, rng: np.random.Generator) -> np.ndarray:
    """Return classes (n,) of which a share of (1 + leakage) / 2 is right."""
    return np.where(rng.random(len(secret)) < (1 + leakage) / 2, secret, 1 - secret)


def _parity(count: int) -> Plant:
    def plant(x: np.ndarray, secret: np.ndarray, leakage: float, rng: np.random.Generator) -> None:
        wanted = 2 * _agrees(secret, leakage, rng) - 1
        x[:, 0] *= wanted * np.sign(x[:, :count]).prod(1)

    return plant


def _pattern(x: np.ndarray, secret: np.ndarray, leakage: float, rng: np.random.Generator) -> None:
    strip = 2 * rng.integers(0, PERIODS, len(x)) + _agrees(secret, leakage, rng)
    x[:, 0] = (strip + rng.random(len(x))) / (2 * PERIODS)


def _lowest_bit(x: np.ndarray, secret: np.ndarray, leakage: float, rng: np.random.Generator) -> None:
    bits = np.ascontiguousarray(x[:, 0], np.float32).view(np.uint32)
    bits = (bits & ~np.uint32(1)) | _agrees(secret, leakage, rng).astype(np.uint32)
    x[:, 0] = bits.view(np.float32)


def _mean(share: float) -> Plant:
    """Move the means of a share of the features; together they have the leakage."""

    def plant(x: np.ndarray, secret: np.ndarray, leakage: float, rng: np.random.Generator) -> None:
        count = max(1, round(share * x.shape[1]))
        distance = 2 * norm.ppf((1 + leakage) / 2) / np.sqrt(count)
        x[:, :count] += np.outer(secret - 0.5, np.full(count, distance))

    return plant


def _variance(x: np.ndarray, secret: np.ndarray, leakage: float, rng: np.random.Generator) -> None:
    def variation(scale: float) -> float:  # total variation of N(0, 1) and N(0, scale^2)
        edge = np.sqrt(2 * np.log(scale) / (1 - scale**-2))
        return float(2 * (norm.cdf(edge) - norm.cdf(edge / scale)))

    x[secret == 1, 0] *= brentq(lambda scale: variation(scale) - leakage, 1.001, 50)


def _some_records(x: np.ndarray, secret: np.ndarray, leakage: float, rng: np.random.Generator) -> None:
    chosen = rng.random(len(x)) < leakage
    x[chosen, 0] = 10.0 * (2 * secret[chosen] - 1)


LEAKS = {
    leak.name: leak
    for leak in (
        Leak("parity2", "exclusive-or of two features", 0.2, _parity(2)),
        Leak("parity3", "exclusive-or of three features", 0.2, _parity(3)),
        Leak("pattern", "fine periodic pattern of one feature", 0.2, _pattern),
        Leak("bit", "lowest mantissa bit of one feature", 0.2, _lowest_bit),
        Leak("mean20", "mean of one feature", 0.2, _mean(0)),
        Leak("mean10", "mean of one feature", 0.1, _mean(0)),
        Leak("mean5", "mean of one feature", 0.05, _mean(0)),
        Leak("means", "mean of all features", 0.1, _mean(1)),
        Leak("variance", "variance of one feature", 0.2, _variance),
        Leak("some", "3 % of the records leak entirely", 0.03, _some_records),
    )
}


def tables(leak: Leak) -> tuple[Table, Table]:
    """Return originals, which show their class in every feature, and a release that has the leak alone."""
    rng = np.random.default_rng(SEED)
    secret = rng.permutation(np.arange(RECORDS) % 2)
    x = rng.standard_normal((RECORDS, NUMBERS)).astype(np.float32)
    original = x + 2 * secret[:, None]
    released = rng.standard_normal(x.shape).astype(np.float32)
    leak.plant(released, secret, leak.leakage, rng)
    ids = [f"r{i:04d}" for i in range(RECORDS)]
    return Table.of(original, {"secret": np.array(["a", "b"])[secret]}, ids=ids), Table.of(released, {}, ids=ids)


def candidates(x: np.ndarray) -> np.ndarray:
    """Return what the simple attacker tests, (n, m): features, sizes, products of two, waves, lowest bits."""
    left, right = np.triu_indices(x.shape[1], 1)
    turns = 2 * np.pi * np.arange(1, WAVES + 1)
    waves = [wave(np.outer(column, turns)) for column in x.T for wave in (np.sin, np.cos)]
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32) & 1
    return np.concatenate([x, np.abs(x), x[:, left] * x[:, right], *waves, bits], axis=1).astype(np.float64)


def screened(released: np.ndarray, secret: np.ndarray) -> float:
    """Return the accuracy of an attacker that predicts by the one candidate that correlates most with the class.

    It is cross-validated in two halves.
    """
    tested = candidates(released)
    right = 0
    for part in (0, 1):
        learned = np.arange(len(secret)) % 2 != part
        centre = tested[learned].mean(0)
        deviation = tested[learned].std(0) + 1e-12
        slope = ((tested[learned] - centre) / deviation).T @ (secret[learned] - secret[learned].mean())
        best = int(np.abs(slope).argmax())
        side = (tested[~learned, best] > np.median(tested[learned, best])).astype(int)
        right += int(((side if slope[best] > 0 else 1 - side) == secret[~learned]).sum())
    return right / len(secret)


def measure(store: Store, leak: Leak) -> None:
    """Audit a release with the leak, and store what the audits and the simple attacker find."""
    original, released = tables(leak)
    secret = original.y["secret"]
    accuracy, baseline = screened(released.flat(), secret), float(np.bincount(secret).max() / len(secret))
    low, high = nag_interval(accuracy, 1.0, baseline, len(secret)) or (np.nan, np.nan)
    figures = {
        "leakage": leak.leakage,
        "audit": _audited(original, released, basic_audit(person=(), cloud=0)),
        "for few numbers": _audited(original, released, basic_audit(families=FOR_FEW, person=(), cloud=0)),
        "screened": {"nag": nag(accuracy, 1.0, baseline), "low": low, "high": high},
    }
    store.put(f"planted--{leak.name}", figures)


def _audited(original: Table, released: Table, budget: Budget) -> dict[str, Any]:
    options = AuditOptions(pretrained=False)
    report = audit(original, released, Policy(("secret",)), budget=budget, options=options)
    head = report.headlines[0]
    return {"nag": head.nag, "low": head.low, "high": head.high, "verdict": report.verdict.level}
