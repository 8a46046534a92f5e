"""Where records lie in two dimensions before and after, and how far they moved."""

from __future__ import annotations

import numpy as np
import torch

from sordine.attacks.principal_axes import WIDEST, Axes, principal_axes
from sordine.data.table import Table
from sordine.evaluation.report import Cloud
from sordine.keys import Key


def cloud(before: Table, after: np.ndarray, attributes: list[str], most: int, originals: bool) -> Cloud | None:
    """At most so many records in two dimensions, unseen ones where there are any: originals and what became of them (n, *shape),
    on the same axes. originals: whether those may be shown. None where there are fewer than three records."""
    assert before.split is not None
    side = ~before.split if (~before.split).sum() > 2 else np.ones(len(before), bool)
    some = np.flatnonzero(side)
    some = np.sort(some[Key.of_seed(0).order("cloud", before.ids[some])[:most]])
    same = before.x.shape == after.shape
    base = before.x if originals and same else after
    if len(some) < 3 or base[0].size < 1:
        return None
    picked = Key.of_seed(0).order("cloud axes", before.ids)[:4000]
    axes = principal_axes(base, 2) if base[0].size > WIDEST else _plane(base.reshape(len(base), -1), picked)

    def seen(x: np.ndarray) -> tuple[tuple[float, float], ...]:
        points = axes(x[some])
        points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
        return tuple((float(a), float(b)) for a, b in np.round(points, 3))

    which = "unseen" if side.sum() < len(before) else "all"
    of = "original" if originals and same else "released"
    return Cloud(
        before=seen(before.x) if originals and same else (),
        after=seen(after),
        codes={name: tuple(int(c) for c in before.y[name][some]) for name in attributes},
        classes={name: before.classes[name] for name in attributes},
        how=f"{len(some)} of the {which} records on the first two principal axes of the {of} ones",
    )


def _plane(base: np.ndarray, picked: np.ndarray) -> Axes:
    mean, scale = base.mean(0), base.std(0)
    scale[scale <= 1e-12] = 1
    z = ((base - mean) / scale)[picked].astype(np.float64)
    along = torch.linalg.svd(torch.from_numpy(z), full_matrices=False).Vh[:2].numpy().T.astype(np.float32)
    return Axes(mean, scale, along)
