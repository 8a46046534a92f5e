"""A sweep: leakage against utility of several options of one or more methods.

Each point is fitted and applied on its own, as `fit` and `transform` do. Then its single records are attacked. The
points share the split, what a method pretrains, and the attacks on the original records. Finished points stay in the
sweep's folder and are not repeated. A point that fails is named, and the others are measured.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sordine.attacks.budget import Budget
from sordine.data.files import atomic
from sordine.data.table import Table
from sordine.data.table_io import rows_at_once
from sordine.errors import SordineError, WriteError
from sordine.evaluation.audit import audit
from sordine.evaluation.comparison import compare
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import LIMIT, Comparison, Failed, Report
from sordine.evaluation.report_json import from_json, to_json
from sordine.methods.registry import load
from sordine.metrics.information import is_decided
from sordine.models.modifier import versions
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords, duration, silent
from sordine.workflow.halves import fit_candidate
from sordine.workflow.leakage_limit import Candidate
from sordine.workflow.stages import MODIFIER, POINT_OUTPUTS, POINTS, REPORT, SHARED, Stages
from sordine.workflow.transform import transform

BLOCK = 4096  # records hashed at a time
LONG = 10  # seconds of remaining fits from which their run time is logged
# Errors that the options of one point cause: they are refused, or training diverges. Any other error ends the sweep.
REFUSED = (SordineError, ArithmeticError, np.linalg.LinAlgError, torch.linalg.LinAlgError)

# Parts of a budget that a sweep leaves out: it compares attacks on single records.
LEFT_OUT: dict[str, Any] = {
    "person": (),
    "queries": 0,
    "linkage": False,
    "risks": False,
    "known": (),
    "tail": False,
    "plants": 0,
}


@dataclass(frozen=True)
class Swept:
    """One point of a sweep.

    Parameters
    ----------
    candidate
        The method and its options.
    report
        Report of the audit.
    modifier
        Directory of the modifier.
    """

    candidate: Candidate
    report: Report
    modifier: Path


@accepts_run_keywords
def sweep(
    table: Table,
    policy: Policy,
    candidates: Sequence[Candidate],
    run: Run | None = None,
    *,
    folder: Path,
    budget: Budget | None = None,
) -> tuple[Comparison, list[Swept]]:
    """Fit, apply and audit every point, and compare the points.

    Parameters
    ----------
    table
        Records with labels.
    policy
        Attributes to suppress (at least one), to preserve and to watch. Where none is preserved or watched, the utility
        is the share of nearest neighbours that are kept.
    candidates
        The points: `leakage_limit.candidates` of one or more methods.
    run
        Device, seed, secret key, workers, log and progress.
    folder
        Folder for finished points and for what a method pretrains. The same sweep continues from it.
    budget
        Attacks on single records; persons, repeated queries, linkability and other risks are left to `audit`.

    Returns
    -------
    Comparison, list of Swept
        The curves, and the points in the order of `candidates` without those that failed (`Comparison.failed`).

    Raises
    ------
    SordineError
        Where the policy does not fit the table, every point fails, or the points cannot be compared.
    """
    run, policy = run or Run(), _checked(table, policy)
    table = table.with_split(policy, run.key)
    table.require_labels(policy.suppress, "train")
    table.require_labels(policy.suppress, "test")
    budget = replace(budget or Budget(), utility=True, cloud=0, **LEFT_OUT)
    work = _Sweep(table, policy, budget, run, folder, [_Point(candidate) for candidate in candidates])
    work.measure()
    failed = [point for point in work.points if point.failure]
    each = "; ".join(f"{point.candidate}: {point.failure}" for point in failed)
    if len(failed) == len(work.points):
        reasons = list(dict.fromkeys(point.failure for point in failed))
        raise SordineError(reasons[0] if len(reasons) == 1 else f"every point failed: {each}")
    swept = [Swept(p.candidate, p.report, p.folder / MODIFIER) for p in work.points if p.report is not None]
    leaks = [a for a in policy.watch if is_decided(table.y, a, policy.suppress)]
    try:
        found = compare([(str(p.candidate), p.report) for p in swept], watched=True, leaks=leaks)
    except SordineError as error:
        raise SordineError(f"{error}; failed points: {each}" if each else str(error)) from error
    lost = tuple(Failed(str(point.candidate), point.failure) for point in failed)
    return replace(found, notes=(*found.notes, *_notes(swept, budget)), failed=lost), swept


def _checked(table: Table, policy: Policy) -> Policy:
    """The policy, resolved. Raises SordineError where it suppresses no attribute."""
    policy = table.require(policy)
    if not policy.suppress:
        raise SordineError("a sweep plots leakage against utility: name the attributes to suppress with -s")
    return policy


@dataclass
class _Point:
    """One point while the sweep runs: its folder, its stages, and its report or the reason why it has none."""

    candidate: Candidate
    folder: Path = field(default_factory=Path)
    stages: Stages | None = None
    report: Report | None = None
    failure: str = ""

    def try_to(self, work: Callable[[], object], log: Callable[[str], None]) -> None:
        """Do something, unless an earlier step failed. A failure that the point's options cause is stored."""
        if self.failure:
            return
        try:
            work()
        except WriteError:
            raise
        except REFUSED as error:
            message = " ".join(str(error).split())
            diverged = f"training diverged ({message or type(error).__name__})"
            self.failure = message if isinstance(error, SordineError) else diverged
            log(f"{self.candidate}: failed: {self.failure}")


class _Sweep:
    """What the points of a sweep share."""

    def __init__(
        self, table: Table, policy: Policy, budget: Budget, run: Run, folder: Path, points: Sequence[_Point]
    ) -> None:
        self.table, self.policy, self.budget, self.run = table, policy, budget, run
        self.shared, self.points = folder / SHARED, points
        self.memory: dict[Any, Any] = {}  # results of the attacks on the originals
        self.announced: set[str] = set()
        given = fingerprint_of(table, policy, run)
        for point in points:
            point.folder = folder / POINTS / _address(given, policy, point.candidate, budget)
            point.stages = Stages(point.folder, POINT_OUTPUTS, False, self._logger(point))

    def _logger(self, point: _Point) -> Callable[[str], None]:
        return lambda line: self.run.log(f"{point.candidate}: {line}")

    def measure(self) -> None:
        """Fit every point, then audit every point."""
        for i, point in enumerate(self.points):
            self.fit(point, i)
        for done, point in enumerate(self.points, 1):
            point.try_to(lambda point=point: self.audit(point), self.run.log)  # type: ignore[misc]
            self.run.step("audits", done, len(self.points))

    def fit(self, point: _Point, place: int) -> None:
        """Fit a point, unless that is done, and log how long the other fits of its method take."""
        began = time.monotonic()
        done: list[bool] = []
        point.try_to(lambda: done.append(self._fit(point)), self.run.log)
        rest = [p for p in self.points[place + 1 :] if p.candidate.name == point.candidate.name]
        took = time.monotonic() - began
        if done == [True] and point.candidate.name not in self.announced:
            self.announced.add(point.candidate.name)
            if took * len(rest) >= LONG:
                about = duration(took * len(rest))
                self.run.log(f"{point.candidate}: fitted in {duration(took)}; {len(rest)} more fits take about {about}")
        self.run.step("fits", place + 1, len(self.points))

    def _fit(self, point: _Point) -> bool:
        def work() -> None:
            self.shared.mkdir(parents=True, exist_ok=True)
            began = time.monotonic()
            modifier = fit_candidate(
                point.candidate, self.table, self.policy, replace(self.run, log=silent, folder=self.shared)
            )
            modifier.card.fit["seconds"] = round(time.monotonic() - began, 1)
            modifier.save(point.folder / MODIFIER, force=True)

        assert point.stages is not None
        return point.stages.do("fit", {"point": point.folder.name}, work)

    def audit(self, point: _Point) -> None:
        """Apply a point's modifier and audit the result, unless that is done, and read the report."""

        def work() -> None:
            modifier = load(point.folder / MODIFIER)
            released = transform(modifier, self.table, self.run.key, run=replace(self.run, log=silent))
            _require_finite(released)
            report = audit(
                self.table,
                released,
                self.policy,
                modifier=modifier,
                key=self.run.key,
                budget=self.budget,
                options=AuditOptions(pretrained=False, memory=self.memory),
                run=replace(self.run, log=silent),
            )
            with atomic(point.folder / REPORT) as temporary:
                temporary.write_text(to_json(report), encoding="utf-8")

        assert point.stages is not None
        inputs = {"point": point.folder.name, "modifier": point.stages.hashes[MODIFIER]}
        point.stages.do("audit", inputs, work)
        point.report = from_json((point.folder / REPORT).read_bytes())


def _require_finite(released: Table) -> None:
    size = rows_at_once(released.shape)
    parts = (released.x[start : start + size] for start in range(0, len(released), size))
    bad = sum(int((~np.isfinite(part)).reshape(len(part), -1).any(1).sum()) for part in parts)
    if bad:
        raise SordineError(f"{bad:,} of {len(released):,} released records contain NaN or infinity")


def _notes(swept: Sequence[Swept], budget: Budget) -> list[str]:
    families, scenarios = ", ".join(swept[0].report.made["families"]), ", ".join(budget.settings)
    notes = [
        f"This is a sweep: each point was attacked by {families} in the scenarios {scenarios}. Classifiers that are "
        "never retrained, attacks on several records of a person and risks beside inference were left out. `sordine "
        "audit` of the point you choose includes them."
    ]
    hidden: dict[str, list[str]] = {}  # leaks that the figures of the plot do not show
    for point in swept:
        verdict, headlines = point.report.verdict, point.report.headlines
        shown = any(h.role == "suppress" and h.low is not None and h.low > LIMIT for h in headlines)
        if verdict.level == "leaks" and not shown:
            hidden.setdefault(verdict.title, []).append(str(point.candidate))
    return notes + [f"{title} (not visible in this plot): {'; '.join(names)}." for title, names in hidden.items()]


def fingerprint_of(table: Table, policy: Policy, run: Run) -> str:
    """Return a digest of everything that a fit depends on besides its method.

    That is every record of the table (ids, numbers, labels, split, groups), the policy, the key and the seed. Two
    tables of the same records have the same digest, whatever file they came from.
    """
    parts = [asdict(policy), run.key.fingerprint, run.seed, _digest(table)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _digest(table: Table) -> str:
    hashed = hashlib.sha256(json.dumps([table.shape, str(table.x.dtype), list(map(str, table.ids))]).encode())
    for name in sorted(table.y):
        hashed.update(json.dumps([name, [str(c) for c in table.classes[name]]]).encode())
        hashed.update(table.y[name].astype(np.int64).tobytes())
    for name in sorted(table.targets):
        hashed.update(np.ascontiguousarray(table.targets[name]).tobytes())
    for part in (table.split, table.group):
        hashed.update(b"-" if part is None else part.astype(np.int64).tobytes())
    for start in range(0, len(table), BLOCK):  # x may be a mapped file
        hashed.update(np.ascontiguousarray(table.x[start : start + BLOCK]).tobytes())
    return hashed.hexdigest()


def _address(given: str, policy: Policy, candidate: Candidate, budget: Budget) -> str:
    """The name of a point's folder: another one where a figure of its report may differ."""
    parts = {
        "given": given,
        "attributes": list(policy.named),
        "method": candidate.name,
        "fields": asdict(candidate.method),  # type: ignore[call-overload]
        "budget": asdict(budget),
        "versions": versions(),
    }
    text = json.dumps(parts, default=str, sort_keys=True)
    return f"{candidate.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
