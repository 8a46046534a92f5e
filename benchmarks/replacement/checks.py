"""Whether ours has the shape of the paper's: one line a question, with the figures it was decided by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.replacement.paper import BUDGETS

Figures = Mapping[str, Any]

STRICT = 1.0  # from this budget of the plane on, the order must be strict
SUCCESS = 0.9  # of the fixed classifier's accuracy on originals
LOST = 0.05  # of utility
INDEPENDENT = 0.1


def verdict(holds: bool, what: str) -> str:
    """A line of the page."""
    return f"{'holds' if holds else '**does not hold**'}: {what}"


def percent(value: float) -> str:
    """Per cent, one decimal."""
    return f"{100 * value:.1f}"


def with_span(read: Figures) -> str:
    """An accuracy with its interval."""
    return f"{percent(read['share'])} ({percent(read['low'])} to {percent(read['high'])})"


def plane(pooled: Mapping[float, Mapping[str, Figures]]) -> Iterator[str]:
    """ours <= entropy <= likelihood, within intervals at every budget and strictly from 1.0 on."""
    for epsilon, reads in pooled.items():
        for lower, upper in (("ours", "entropy"), ("entropy", "likelihood")):
            a, b = reads[lower], reads[upper]
            words = f"{percent(a['share'])} against {percent(b['share'])} %"
            if epsilon >= STRICT:
                yield verdict(
                    a["high"] < b["low"], f"budget {epsilon:g}: {lower} under {upper}, intervals apart: {words}"
                )
            else:
                yield verdict(
                    a["low"] <= b["high"], f"budget {epsilon:g}: {lower} at most {upper}, within intervals: {words}"
                )


def order(epsilon: float, both: Figures | None, generator: Figures | None) -> Iterator[str]:
    """Table 2's ordering at one budget."""
    if both is None:
        return
    ours, rivals = both["both"], {"the filter alone": both["filter"]}
    if generator is not None:
        rivals["the generator alone"] = generator["generator"]
    for name, rival in rivals.items():
        a, b = ours["retrained"], rival["retrained"]
        text = (
            f"budget {epsilon:g}: the retrained attacker reads less after filter and generator than after {name}: "
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


def useful(epsilon: float, found: Figures, original: Figures, names: list[str]) -> str:
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
