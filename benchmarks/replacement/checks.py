"""Whether ours has the shape of the paper's: one line a question, with the figures it was decided by."""

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


def with_span(read: Figures) -> str:
    """An accuracy with its interval."""
    return f"{percent(read['share'])} ({percent(read['low'])} to {percent(read['high'])})"


def plane(pooled: Mapping[float, Mapping[str, Figures]]) -> Iterator[str]:
    """ours <= entropy <= likelihood: within the noise of the runs at every budget and strictly from 1.0 on.

    Decided by the differences run by run, which share their data: the interval of their mean by Student's t.
    """
    for epsilon, reads in pooled.items():
        for lower, upper in (("ours", "entropy"), ("entropy", "likelihood")):
            a, b = reads[lower], reads[upper]
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
    """Mean of some runs, and its 95 % interval by Student's t; all of everything where there is one run: (n,) -> mean, low, high."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -np.inf, np.inf
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def order(epsilon: float, both: Figures | None, generator: Figures | None) -> Iterator[str]:
    """Table 2's ordering at one budget."""
    if both is None:
        return
    ours, rivals = both["both"], {"the filter alone": both["filter"]}
    fits = f", {both['fits']} seeds" if "fits" in both else ""
    if generator is not None:
        rivals["the generator alone"] = generator["generator"]
    for name, rival in rivals.items():
        a, b = ours["retrained"], rival["retrained"]
        text = (
            f"budget {epsilon:g}{fits}: the retrained attacker reads less after filter and generator than after {name}: "
            f"{with_span(a)} against {with_span(b)} %, moved by {ours['mean_square']:.4f} against {rival['mean_square']:.4f}"
        )
        if a["share"] < b["share"] and a["high"] >= b["low"]:
            yield f"within noise (lower, but the intervals overlap): {text}"
        else:
            yield verdict(a["high"] < b["low"], text)


def succeeded(found: Figures, original: Figures, secret: str) -> str:
    """The fixed classifier reads s' nearly as well as it reads s of originals."""
    read, best = found["both"]["success"]["share"], original["fixed"][secret]["share"]
    return verdict(
        read >= SUCCESS * best,
        f"at budget {BUDGETS[-1]:g} the fixed classifier reads s' at {percent(read)} %, at least {SUCCESS:g} of its "
        f"{percent(best)} % on originals",
    )


def useful(epsilon: float, found: Figures, original: Figures, names: Sequence[str]) -> str:
    """Utility by fixed classifiers within five points of the originals'."""
    before = sum(original["fixed"][n]["share"] for n in names) / len(names)
    lost = before - found["both"]["utility"]
    text = f"budget {epsilon:g}: fixed classifiers of what is not secret lose {100 * lost:.1f} points, at most {100 * LOST:g}"
    return verdict(lost <= LOST, text)


def independent(epsilon: float, found: Figures) -> str:
    """Table 3: correlations with attributes that are independent."""
    worst = max(found["both"]["correlations"].items(), key=lambda pair: abs(pair[1]))
    return verdict(
        abs(worst[1]) <= INDEPENDENT,
        f"budget {epsilon:g}: the largest correlation of the replaced secret with an independent attribute is "
        f"{worst[1]:+.2f} ({worst[0]}), at most {INDEPENDENT:g}",
    )
