"""Check whether our results have the shape of the paper's: one line per claim, with its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.harness import percent, verdict
from benchmarks.replacement.paper import BUDGETS

Figures = Mapping[str, Any]

STRICT = 1.0  # from this budget of the plane on, the order must be strict
SUCCESS = 0.9  # of the fixed classifier's accuracy on originals
LOST = 0.05  # of utility
INDEPENDENT = 0.1


def with_span(found: Figures) -> str:
    """Return an accuracy with its interval."""
    return f"{percent(found['share'])} ({percent(found['low'])} to {percent(found['high'])})"


def plane(pooled: Mapping[float, Mapping[str, Figures]]) -> Iterator[str]:
    """Check ours <= entropy <= likelihood: within the noise of the runs at every budget and strictly from 1.0 on.

    The differences of the runs, which share their data, decide: the interval of their mean by Student's t.
    """
    for epsilon, releases in pooled.items():
        for lower, upper in (("ours", "entropy"), ("entropy", "likelihood")):
            a, b = releases[lower], releases[upper]
            between, low, high = spread(np.subtract(a["runs"], b["runs"]))
            words = (
                f"{percent(a['share'])} against {percent(b['share'])} %, run by run {100 * between:+.1f} "
                f"({100 * low:+.1f} to {100 * high:+.1f})"
            )
            if epsilon < STRICT:
                yield verdict(low <= 0, f"budget {epsilon:g}: {lower} at most {upper}: {words}")
            elif low <= 0 <= high:
                yield f"**not settled by the runs**: budget {epsilon:g}: {lower} under {upper}: {words}"
            else:
                yield verdict(high < 0, f"budget {epsilon:g}: {lower} under {upper}: {words}")


def spread(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of some runs (n,) and its 95 % interval by Student's t, which is infinite for one run."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -np.inf, np.inf
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def order(epsilon: float, both: Figures | None, generator: Figures | None) -> Iterator[str]:
    """Check table 2's ordering at one budget."""
    if both is None:
        return
    ours, rivals = both["both"], {"the filter alone": both["filter"]}
    fits = f", {both['fits']} seeds" if "fits" in both else ""
    if generator is not None:
        rivals["the generator alone"] = generator["generator"]
    for name, rival in rivals.items():
        a, b = ours["retrained"], rival["retrained"]
        text = (
            f"budget {epsilon:g}{fits}: the retrained attacker is less accurate after filter and generator than after "
            f"{name}: {with_span(a)} against {with_span(b)} %, moved by {ours['mean_square']:.4f} against "
            f"{rival['mean_square']:.4f}"
        )
        if a["share"] < b["share"] and a["high"] >= b["low"]:
            yield f"within noise (lower, but the intervals overlap): {text}"
        else:
            yield verdict(a["high"] < b["low"], text)


def succeeded(found: Figures, original: Figures, secret: str) -> str:
    """Check that the fixed classifier infers s' nearly as accurately as it infers s from originals."""
    share, best = found["both"]["success"]["share"], original["fixed"][secret]["share"]
    return verdict(
        share >= SUCCESS * best,
        f"at budget {BUDGETS[-1]:g} the fixed classifier has {percent(share)} % for s', at least {SUCCESS:g} of its "
        f"{percent(best)} % on originals",
    )


def useful(epsilon: float, found: Figures, original: Figures, names: Sequence[str]) -> str:
    """Check that utility by fixed classifiers is within five points of the originals'."""
    before = sum(original["fixed"][n]["share"] for n in names) / len(names)
    lost = before - found["both"]["utility"]
    points = f"{100 * lost:.1f} points, at most {100 * LOST:g}"
    text = f"budget {epsilon:g}: fixed classifiers of the other attributes lose {points}"
    return verdict(lost <= LOST, text)


def independent(epsilon: float, found: Figures) -> str:
    """Check table 3: correlations with independent attributes."""
    worst = max(found["both"]["correlations"].items(), key=lambda pair: abs(pair[1]))
    return verdict(
        abs(worst[1]) <= INDEPENDENT,
        f"budget {epsilon:g}: the largest correlation of the replaced secret with an independent attribute is "
        f"{worst[1]:+.2f} ({worst[0]}), at most {INDEPENDENT:g}",
    )
