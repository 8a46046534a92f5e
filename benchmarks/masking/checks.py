"""Compare the measured figures with the claims of the paper's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.harness import percent, verdict
from benchmarks.masking.cases import SEEDS, Case, Row, rows_of
from benchmarks.masking.measure import figures

Figures = dict[str, Any]
COST = 0.03  # of the task's accuracy, at most, against the non-adversarial masker


def curve(case: Case, kind: str, reading: str) -> list[tuple[float, float]]:
    """Return the (face similarity, task accuracy) points of block or blur, by similarity, with the original last."""
    points = []
    for row in rows_of(case):
        found = figures(case, row)
        if found is not None and row.kind in (kind, "original") and "similarity" in found:
            points.append((found["similarity"], next(iter(found["tasks"].values()))[reading]))
    return sorted(points)


def at(points: Sequence[tuple[float, float]], similarity: float) -> float:
    """Return a curve's accuracy at a face similarity, by linear interpolation.

    Beyond its ends it is the accuracy of the end, which favours a block or blur that hides less at its strongest.
    """
    x, y = zip(*points, strict=True)
    return float(np.interp(similarity, x, y))


RELEASES = ("hard", "soft")


def against_baselines(case: Case) -> Iterator[str]:
    """Check that at equal face similarity the adversarial masker has a higher task accuracy than block and blur."""
    (task,) = case.tasks
    rows = sorted((r for r in compared(case) if r.adversarial), key=lambda r: (r.fields["keep"], r.seed))
    for release in RELEASES:
        for kind in ("block", "blur"):
            for reading in ("fixed", "retrained"):
                points = curve(case, kind, reading)
                found = [(r, f[release]) for r in rows if (f := figures(case, r)) is not None]
                if len(points) < 2 or not found:
                    continue
                pairs, ahead = [], []
                for row, f in found:
                    accuracy = f["tasks"][task]
                    mine, theirs = accuracy[reading], at(points, f["similarity"])
                    ahead.append((mine - theirs) / max(noise(mine, theirs, accuracy["records"]), 1e-9))
                    seed = f" seed {row.seed}" if row.seed else ""
                    pairs.append(f"K {row.fields['keep']}{seed} {percent(mine)} to {percent(theirs)}")
                words = (
                    f"{release} release, {reading} classifier: more accurate than {kind} at equal face similarity; "
                    f"above by more than noise in {sum(a > 1 for a in ahead)} of {len(ahead)} fits, below in "
                    f"{sum(a < -1 for a in ahead)}: "
                )
                yield verdict(min(ahead) > 1, words + "; ".join(pairs), undecided=min(ahead) >= -1)


def compared(case: Case) -> list[Row]:
    """Return the maskers that are compared, without those with other choices."""
    return [r for r in rows_of(case) if r.kind == "masking" and not r.tried]


def noise(one: float, other: float, records: int) -> float:
    """Return two standard errors of the difference of two accuracies on `records` records each."""
    return 2 * float(np.sqrt((one * (1 - one) + other * (1 - other)) / records))


def against_itself(case: Case) -> Iterator[str]:
    """Check that at equal K the adversary reduces face similarity, at a task cost of at most three points."""
    (task,) = case.tasks
    rows = [r for r in rows_of(case) if r.kind == "masking" and set(r.tried) <= {"steps"}]
    every = {(r.fields["keep"], r.tried.get("steps", 0), r.seed, r.adversarial): figures(case, r) for r in rows}
    for release in RELEASES:
        for keep, steps in sorted({k[:2] for k in every}, key=lambda k: (-k[0], k[1])):
            pairs = [
                (ours[release], plain[release])
                for seed in SEEDS
                if (ours := every.get((keep, steps, seed, True))) and (plain := every.get((keep, steps, seed, False)))
            ]
            if not pairs:
                continue
            longer = f", {steps:,} steps" if steps else ""
            count = f"{release} release, K {keep}{longer}, {len(pairs)} seed{'s' * (len(pairs) > 1)}"
            if "similarity" in pairs[0][0]:
                near, far = ([p[i]["similarity"] for p in pairs] for i in (0, 1))
                lower = sum(a < b for a, b in zip(near, far, strict=True))
                yield verdict(
                    lower == len(pairs),
                    f"{count}: less face similarity than without the adversary, in {lower} of {len(pairs)}: "
                    f"{spread(near)} to {spread(far)}",
                    undecided=float(np.mean(near)) < float(np.mean(far)),
                )
            costs = []
            for reading in ("fixed", "retrained"):
                near, far = ([p[i]["tasks"][task][reading] for p in pairs] for i in (0, 1))
                text = f"{spread(near, 100, 1)} to {spread(far, 100, 1)} ({reading})"
                costs.append((float(np.mean(far) - np.mean(near)) <= COST, text))
            yield verdict(
                all(ok for ok, _ in costs),
                f"{count}: the adversary costs at most 3 points of {task}, {', '.join(text for _, text in costs)}",
            )


def spread(values: Sequence[float], times: float = 1, digits: int = 3) -> str:
    """Return the mean and, for several values, the range."""
    scaled = [v * times for v in values]
    mean = f"{np.mean(scaled):.{digits}f}"
    return mean if len(scaled) < 2 else f"{mean} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"
