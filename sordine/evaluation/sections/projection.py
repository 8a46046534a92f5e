"""Records in two dimensions, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sordine.attacks.principal_axes import WIDEST, Axes, principal_axes
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.evaluation.page import charts
from sordine.evaluation.report import Cloud, Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.keys import Key

FIT = 4000  # records from which the axes are computed


class Projection(Section):
    """Some records on two principal axes."""

    title = "The records in two dimensions"
    runs_beside = True
    menu = "Projection"
    key = "cloud"
    finding = Cloud | None

    def run(self, data: AuditData) -> Cloud | None:
        """Return the projection; None where there are fewer than three records."""
        return project(data.before, data.after, list(data.roles), data.budget.cloud, data.options.originals)

    def view(self, found: Cloud | None, report: Report) -> dict[str, Any] | None:
        """Return panels coloured by a suppressed attribute and by a preserved or watched one."""
        if found is None or not found.after:
            return None
        return {"cloud": found, "panels": panels(found, report)}


def project(before: Table, after: np.ndarray, attributes: list[str], most: int, originals: bool) -> Cloud | None:
    """Return at most `most` records on two axes, unseen records where there are any.

    Parameters
    ----------
    before
        Originals (n records). `before.split` is True for records of the fit.
    after
        Released records (n, *shape), in the same order.
    attributes
        Attributes whose codes colour the records.
    most
        Largest number of records.
    originals
        Whether the originals may be shown.

    Returns
    -------
    Cloud or None
        None where there are fewer than three records.
    """
    assert before.split is not None
    side = ~before.split if (~before.split).sum() > 2 else np.ones(len(before), bool)
    rows = sample(Key.of_seed(0), "cloud", before.ids, most, np.flatnonzero(side))
    same = before.x.shape == after.shape
    base = before.x if originals and same else after
    if len(rows) < 3 or base[0].size < 1:
        return None
    axes = _axes(base, Key.of_seed(0).order("cloud axes", before.ids)[:FIT])

    def points(x: np.ndarray) -> tuple[tuple[float, float], ...]:
        found = axes(x[rows])
        found = np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
        return tuple((float(a), float(b)) for a, b in np.round(found, 3))

    which = "unseen" if side.sum() < len(before) else "all"
    of = "original" if originals and same else "released"
    return Cloud(
        before=points(before.x) if originals and same else (),
        after=points(after),
        codes={name: tuple(int(c) for c in before.y[name][rows]) for name in attributes},
        classes={name: before.classes[name] for name in attributes},
        how=f"{len(rows)} of the {which} records on the first two principal axes of the {of} records",
    )


def _axes(base: np.ndarray, rows: np.ndarray) -> Axes:
    if base[0].size > WIDEST:
        return principal_axes(base, 2)
    flat = base.reshape(len(base), -1)
    mean, scale = flat.mean(0), flat.std(0)
    scale[scale <= 1e-12] = 1
    z = ((flat - mean) / scale)[rows].astype(np.float64)
    along = torch.linalg.svd(torch.from_numpy(z), full_matrices=False).Vh[:2].numpy().T.astype(np.float32)
    return Axes(mean, scale, along)


def panels(cloud: Cloud, report: Report) -> list[charts.Panels]:
    """Return panels for the first suppressed attribute and for the first preserved or watched one."""
    known = set(cloud.codes)
    chosen: list[str] = []
    for roles in (("suppress",), ("preserve", "watch")):
        names = [h.attribute for role in roles for h in report.headlines if h.role == role and h.attribute in known]
        names += [a for role in roles for a in report.policy.get(role, ()) if a in known]
        chosen += names[:1]
    return [charts.panels(cloud, name) for name in chosen or list(known)[:1]]
